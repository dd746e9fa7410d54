//! `[[plugin]] reload`: how another version of a plugin comes into service.

use std::time::Duration;

use toml::de::DeValue;

use super::plugin::share;
use super::section::Section;
use crate::limits;

/// How another version of a plugin comes into service.
#[derive(Clone, Debug, PartialEq)]
pub struct Reload {
    /// Whether its file is followed.
    pub watch: bool,
    /// How it is tried before it decides anything; `None` is not.
    pub trial: Option<Trial>,
    /// How it is watched once it serves; `None` is not.
    pub probation: Option<Probation>,
}

/// How a version is tried on what the serving one is handed.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// It ends after so many messages.
    pub messages: u64,
    /// Or after that time.
    pub time: Duration,
    /// The share of messages that may be decided otherwise.
    pub max_difference: f64,
}

/// How a version is watched once it serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Probation {
    /// It ends after so many messages.
    pub messages: u64,
    /// Or after that time.
    pub time: Duration,
    /// How much larger the share of failed messages may be than before.
    pub max_rise: f64,
}

/// Reads `reload`, which may be absent.
pub(super) fn read(section: Option<Section<'_>>) -> Reload {
    let mut reload = Reload::default();
    let Some(section) = section else { return reload };
    reload.watch = section.flag("watch", true);
    let usual = Trial::default();
    reload.trial = unless_off(&section, "trial", |table| Trial {
        messages: messages(table).unwrap_or(usual.messages),
        time: time(table).unwrap_or(usual.time),
        max_difference: share(table, "max_difference").unwrap_or(usual.max_difference),
    });
    let usual = Probation::default();
    reload.probation = unless_off(&section, "probation", |table| Probation {
        messages: messages(table).unwrap_or(usual.messages),
        time: time(table).unwrap_or(usual.time),
        max_rise: share(table, "max_rise").unwrap_or(usual.max_rise),
    });
    section.finish();
    reload
}

/// `false`, or a table; the usual where there is neither.
fn unless_off<T: Default>(
    section: &Section<'_>,
    key: &'static str,
    read: impl FnOnce(&Section<'_>) -> T,
) -> Option<T> {
    let Some(item) = section.item(key) else { return Some(T::default()) };
    match item.value {
        DeValue::Boolean(false) => None,
        DeValue::Table(_) => {
            let table = item.section()?;
            let meant = read(&table);
            table.finish();
            Some(meant)
        }
        _ => {
            let remedy = format!("write `{key} = {{ messages = 1000, time = \"1s\" }}`");
            item.expected("`false` or a table", &remedy);
            Some(T::default())
        }
    }
}

fn messages(table: &Section<'_>) -> Option<u64> {
    table.number("messages", 1..=limits::RELOAD_MESSAGES_MAX)
}

fn time(table: &Section<'_>) -> Option<Duration> {
    table.duration("time", Duration::from_millis(10)..=limits::RELOAD_TIME_MAX)
}

impl Default for Reload {
    fn default() -> Self {
        let (trial, probation) = (Some(Trial::default()), Some(Probation::default()));
        Self { watch: true, trial, probation }
    }
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            messages: limits::TRIAL_MESSAGES,
            time: limits::TRIAL_TIME,
            max_difference: limits::TRIAL_MAX_DIFFERENCE,
        }
    }
}

impl Default for Probation {
    fn default() -> Self {
        Self {
            messages: limits::PROBATION_MESSAGES,
            time: limits::PROBATION_TIME,
            max_rise: limits::PROBATION_MAX_RISE,
        }
    }
}
