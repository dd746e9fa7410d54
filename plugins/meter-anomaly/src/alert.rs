//! What was found, and how it is told.

use meter_detector::{Change, Channel, Judged, Surprise};
use serde::Serialize;
use sluicegate_sdk::{Context, EncodeError};

use crate::body::{Body, Leaf};
use crate::config::Watched;

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// A reading that surprises.
    Unusual(Surprise),
    /// Days that are lastingly unlike those before.
    Changed(Change),
    /// A value that has come so often in a row.
    Stuck(u32),
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Severity {
    Info,
    Minor,
    Major,
}

/// Something found in a reading.
pub(crate) struct Finding<'w> {
    pub(crate) what: What,
    pub(crate) severity: Severity,
    /// Bits, less what alarms of late have made usual; a change's sum, a stuck value's times.
    pub(crate) score: f32,
    pub(crate) watched: &'w Watched,
    seen: f32,
}

#[derive(Serialize)]
struct Alert<'a> {
    meter: Option<&'a str>,
    ts: Time<'a>,
    class: &'a str,
    anomaly: &'static str,
    severity: &'static str,
    seen: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<f32>,
    score: f32,
    #[serde(flatten)]
    why: Why,
    text: String,
}

/// What the finding rests on.
#[derive(Serialize)]
#[serde(untagged)]
enum Why {
    Unusual { channel: &'static str, bits: Bits, threshold: f64 },
    Changed { days: u32 },
    Stuck { times: u32 },
}

#[derive(Serialize)]
struct Bits {
    total: f32,
    time_of_day: f32,
    rarity: f32,
    volatility: f32,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Time<'a> {
    Text(&'a str),
    Unix(f64),
}

// === impl What, Severity ===

impl What {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unusual(_) => "unusual",
            Self::Changed(_) => "changed",
            Self::Stuck(_) => "stuck",
        }
    }
}

impl Severity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Minor => "minor",
            Self::Major => "major",
        }
    }
}

// === impl Finding ===

impl<'w> Finding<'w> {
    /// What was found in a reading: nothing, for most. From `alert` bits on somebody should look.
    pub(crate) fn all(
        judged: &Judged,
        watched: &'w Watched,
        alert: f64,
    ) -> impl Iterator<Item = Self> + use<'w> {
        let seen = judged.seen;
        let finding = move |what, severity, score| Self { what, severity, score, watched, seen };
        let surprise = judged.surprise;
        let unusual = judged.alarm.map(|bits| {
            let severity = if f64::from(bits) < alert { Severity::Info } else { Severity::Minor };
            finding(What::Unusual(surprise), severity, bits)
        });
        let changed = judged.change;
        let changed =
            changed.map(|change| finding(What::Changed(change), Severity::Major, change.sum));
        let stuck = judged.stuck;
        let stuck = stuck.map(|times| finding(What::Stuck(times), Severity::Major, times as f32));
        [unusual, changed, stuck].into_iter().flatten()
    }

    /// Emits it as an alert.
    pub(crate) fn tell(
        &self,
        body: &Body<'_>,
        threshold: f64,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        let class = self.watched.name.as_str();
        let (expected, seen, why) = self.why(threshold);
        let alert = Alert {
            meter: body.text(&["meter"]),
            ts: match body.find(&["ts"]) {
                Some(Leaf::Text(text)) => Time::Text(text),
                Some(Leaf::Number(seconds)) => Time::Unix(*seconds),
                _ => Time::Text(""),
            },
            class,
            anomaly: self.what.as_str(),
            severity: self.severity.as_str(),
            seen,
            expected,
            score: self.score,
            why,
            text: self.text(),
        };
        ctx.emit("alerts")
            .routing_key(&format!("alert.{class}"))
            .kind("alert")
            .header("severity", self.severity.as_str())
            .header("anomaly", self.what.as_str())
            .json(&alert)
            .map(drop)
    }

    /// What was expected, what was seen, and the rest of the reasons.
    fn why(&self, threshold: f64) -> (Option<f32>, f32, Why) {
        match self.what {
            What::Unusual(surprise) => {
                let [time_of_day, rarity, volatility] = surprise.bits;
                let bits = Bits { total: surprise.total(), time_of_day, rarity, volatility };
                let channel = surprise.channel().as_str();
                (Some(surprise.expected), self.seen, Why::Unusual { channel, bits, threshold })
            }
            What::Changed(Change { expected, seen, days, .. }) => {
                (Some(expected), seen, Why::Changed { days })
            }
            What::Stuck(times) => (None, self.seen, Why::Stuck { times }),
        }
    }

    /// The same for people.
    fn text(&self) -> String {
        let (name, seen) = (&self.watched.name, self.seen);
        match self.what {
            What::Unusual(surprise) => {
                let (bits, expected) = (surprise.total(), surprise.expected);
                let why = match surprise.channel() {
                    Channel::TimeOfDay => "far from what is usual at that time of the day",
                    Channel::Rarity => "such values hardly ever came",
                    Channel::Volatility => "values change more or less than they did",
                };
                format!("{name} {seen}, usual then is {expected}: {why} ({bits:.0} bits)")
            }
            What::Changed(Change { expected, seen, days, .. }) => {
                format!("{name} is {seen} in the mean for {days} days, and was {expected}")
            }
            What::Stuck(times) => format!("{name} has been {seen} for {times} readings"),
        }
    }
}
