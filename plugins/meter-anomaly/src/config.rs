//! What an operator may set.

use meter_detector::{Alarms, Channel, PARTS_MAX, Settings, Tuning};
use serde::Deserialize;
use sluicegate_sdk::ConfigError;

use crate::state::id;

/// Quantities of a meter, at the most: each is a kilobyte of state.
const QUANTITIES_MAX: usize = 8;

/// What is looked for, and when it is told.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Bits of surprise from which a reading is tagged.
    pub(crate) threshold: f64,
    /// Bits from which it is an alert, too.
    pub(crate) alert: f64,
    /// Days of a series in which nothing is told.
    quiet_days: u32,
    /// Days that a change must last to be told: more than people are on holiday.
    lasting_days: u32,
    /// Readings after an alarm in which there is no other.
    rest: u32,
    /// Bits that each alarm of late adds to the threshold.
    habit: f64,
    /// Parts of the day, each with a usual value of its own.
    bins: usize,
    /// Minutes that meters which don't say it are ahead of UTC.
    pub(crate) utc_offset_min: i32,
    /// Which of [`CHANNELS`] look at every quantity.
    channels: Vec<String>,
    quantities: Vec<Quantity>,
}

/// A number in a body, and what it is called.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantity {
    name: String,
    /// Where it is, `/` between a map and what is in it; its name if unset.
    field: Option<String>,
    /// It counts up: what is judged is its growth in an hour.
    #[serde(default)]
    register: bool,
    /// Less than this is no difference, in its unit.
    #[serde(default)]
    resolution: f64,
    /// Whether lasting changes are told.
    #[serde(default = "yes")]
    lasting: bool,
    /// Equal readings in a row from which it is stuck; 0 for never.
    #[serde(default = "eight")]
    stuck: u32,
}

/// A quantity that is watched.
pub(crate) struct Watched {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) path: Vec<String>,
    pub(crate) settings: Settings,
}

fn yes() -> bool {
    true
}

fn eight() -> u32 {
    8
}

impl Default for Config {
    fn default() -> Self {
        let quantity = |name: &str, field: &str, resolution| Quantity {
            name: name.to_owned(),
            field: Some(field.to_owned()),
            register: false,
            resolution,
            lasting: true,
            stuck: eight(),
        };
        let alarms = Alarms::default();
        Self {
            threshold: 20.0,
            alert: 33.0,
            quiet_days: 14,
            lasting_days: 15,
            rest: alarms.rest,
            habit: alarms.habit.into(),
            bins: Tuning::default().parts,
            utc_offset_min: 0,
            channels: Channel::ALL.map(|channel| channel.as_str().to_owned()).to_vec(),
            quantities: vec![
                quantity("consumption", "kwh", 0.01),
                quantity("voltage", "voltage", 0.1),
            ],
        }
    }
}

impl Config {
    /// What to watch, once all is checked.
    pub(crate) fn watched(&self) -> Result<Vec<Watched>, ConfigError> {
        let is_positive = |bits: f64| bits > 0.0 && bits <= 1000.0;
        if !is_positive(self.threshold) {
            return Err(ConfigError::new("threshold", "must be above 0 bits, at most 1000"));
        }
        if !is_positive(self.alert) || self.alert < self.threshold {
            return Err(ConfigError::new(
                "alert",
                "must be at least `threshold`, at most 1000 bits",
            ));
        }
        if !(0.0..=1000.0).contains(&self.habit) {
            return Err(ConfigError::new("habit", "must be 0 to 1000 bits"));
        }
        if self.quiet_days > 366 {
            return Err(ConfigError::new("quiet_days", "must be 0 to 366"));
        }
        if !(1..=90).contains(&self.lasting_days) {
            return Err(ConfigError::new("lasting_days", "must be 1 to 90"));
        }
        if !(1..=PARTS_MAX).contains(&self.bins) {
            return Err(ConfigError::new("bins", &format!("must be 1 to {PARTS_MAX}")));
        }
        if self.utc_offset_min.abs() > 1440 {
            return Err(ConfigError::new("utc_offset_min", "must be -1440 to 1440"));
        }
        let is_channel = |name: &String| Channel::ALL.iter().any(|it| it.as_str() == name);
        if let Some(name) = self.channels.iter().find(|name| !is_channel(name)) {
            let all = Channel::ALL.map(Channel::as_str).join(", ");
            return Err(ConfigError::new("channels", &format!("no '{name}' among {all}")));
        }
        self.check_quantities()?;
        Ok(self.quantities.iter().map(|quantity| self.watch(quantity)).collect())
    }

    fn check_quantities(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::new("quantities", &text));
        if !(1..=QUANTITIES_MAX).contains(&self.quantities.len()) {
            return wrong(format!("must be 1 to {QUANTITIES_MAX}"));
        }
        for (at, Quantity { name, field, resolution, .. }) in self.quantities.iter().enumerate() {
            let is_name =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
            if name.is_empty() || !name.chars().all(is_name) {
                return wrong(format!("'{name}': a name is of a-z, 0-9, _ and -"));
            }
            if self.quantities[..at].iter().any(|other| id(&other.name) == id(name)) {
                return wrong(format!("'{name}' is there twice"));
            }
            if field.as_ref().is_some_and(|field| field.split('/').any(str::is_empty)) {
                return wrong(format!("'{name}': an empty name in `field`"));
            }
            if !(0.0..=1e9).contains(resolution) {
                return wrong(format!("'{name}': `resolution` must be 0 to 1e9"));
            }
        }
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "checked to be of a size that fits")]
    fn watch(&self, quantity: &Quantity) -> Watched {
        let field = quantity.field.as_ref().unwrap_or(&quantity.name);
        let alarms = Alarms {
            threshold: self.threshold as f32,
            habit: self.habit as f32,
            rest: self.rest,
            ..Alarms::default()
        };
        let resolution = quantity.resolution as f32;
        let tuning = Tuning { parts: self.bins, resolution, ..Tuning::default() };
        Watched {
            id: id(&quantity.name),
            name: quantity.name.clone(),
            path: field.split('/').map(str::to_owned).collect(),
            settings: Settings {
                tuning,
                alarms,
                channels: Channel::ALL
                    .map(|it| self.channels.iter().any(|name| name == it.as_str())),
                quiet_days: self.quiet_days,
                lasting_days: if quantity.lasting { self.lasting_days } else { 0 },
                stuck: quantity.stuck,
                register: quantity.register,
            },
        }
    }
}
