//! What a meter writes: a reading in one of two forms, as JSON or MessagePack.
//!
//! The short form has `kwh`, the energy of the interval that ends at `ts`, and perhaps a `voltage`. The long one
//! has registers by their OBIS codes, the length of its interval, and may bring the meter's status and the
//! entries of its event logs along.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sluicegate_sdk::{Failure, Map};

/// A message's body, as far as it matters here.
#[derive(Deserialize)]
pub(crate) struct Report<'a> {
    #[serde(borrow)]
    pub(crate) meter: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) ts: Option<Time<'a>>,
    pub(crate) kwh: Option<f64>,
    pub(crate) voltage: Option<f64>,
    pub(crate) seq: Option<u64>,
    /// Seconds of the interval.
    pub(crate) int_s: Option<i64>,
    /// Minutes that the meter's local time is ahead of UTC.
    pub(crate) tz_min: Option<i32>,
    #[serde(borrow, default)]
    pub(crate) obis: Map<Cow<'a, str>, f64>,
    pub(crate) status: Option<Status>,
    #[serde(borrow, default)]
    pub(crate) events: Vec<Entry<'a>>,
    /// What the meter, or who read it, thinks of the value: `E` is estimated.
    #[serde(borrow)]
    pub(crate) q: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Time<'a> {
    Text(Cow<'a, str>),
    Unix(f64),
}

/// How the meter itself is.
#[derive(Deserialize, Serialize)]
pub(crate) struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rssi: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batt_v: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fw: Option<String>,
}

/// An entry of an event log.
#[derive(Deserialize)]
pub(crate) struct Entry<'a> {
    #[serde(borrow)]
    pub(crate) log: Cow<'a, str>,
    pub(crate) id: u32,
    #[serde(borrow)]
    pub(crate) ts: Option<Time<'a>>,
}

// === impl Report ===

impl Report<'_> {
    /// The value of an OBIS code, given as groups C, D and E: of the medium electricity, channel 0, and with or
    /// without the last group.
    pub(crate) fn obis(&self, code: &str) -> Option<f64> {
        let found = self.obis.iter().find(|(written, _)| short(written) == code);
        found.map(|(_, value)| *value).filter(|value| value.is_finite())
    }

    /// Energy of the interval, in kWh, where the meter says it.
    pub(crate) fn interval_kwh(&self) -> Option<f64> {
        self.kwh.or_else(|| self.obis("1.29.0"))
    }

    /// Whether it says anything about energy.
    pub(crate) fn has_energy(&self) -> bool {
        self.interval_kwh().is_some() || self.obis("1.8.0").is_some()
    }

    /// The voltages of the phases that there are.
    pub(crate) fn volts(&self) -> impl Iterator<Item = f64> {
        let phases = ["32.7.0", "52.7.0", "72.7.0"].into_iter();
        self.voltage.into_iter().chain(phases.filter_map(|code| self.obis(code)))
    }

    /// Whether it was estimated before it came here.
    pub(crate) fn is_estimated(&self) -> bool {
        self.q.as_deref().is_some_and(|q| q == "E" || q.eq_ignore_ascii_case("estimated"))
    }
}

/// `1-0:1.8.0*255` and `1.8.0.255` are `1.8.0`.
fn short(code: &str) -> &str {
    let code = code.strip_prefix("1-0:").unwrap_or(code);
    code.strip_suffix("*255").or_else(|| code.strip_suffix(".255")).unwrap_or(code)
}

// === impl Time ===

impl Time<'_> {
    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> Result<f64, Failure> {
        match self {
            Self::Unix(seconds) => Ok(*seconds),
            Self::Text(text) => match text.parse::<Timestamp>() {
                Ok(time) => Ok(time.as_duration().as_secs_f64()),
                Err(error) => Err(Failure::reject("bad_ts", format!("`ts`: {error}"))),
            },
        }
    }
}
