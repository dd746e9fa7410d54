//! Finds readings that are unlike the meter's own past: consumption, voltage, whatever is a number.
//!
//! Each quantity of a meter is a series of its own, judged by the statistics in `detector/`: three channels
//! that are surprised by single readings, one that adds up days to find what changes slowly, one for values
//! that stay the same. What is surprising goes on with the headers `anomaly-score` (bits), `severity` and `anomaly`;
//! what somebody should look at is an alert besides, which says why. State has a fixed size however long it
//! runs. Readings that are late, repeated or estimated, and numbers that are none, teach nothing.

mod alert;
mod body;
mod config;
mod state;

use jiff::Timestamp;
use meter_detector::Moment;
use serde::Deserialize;
use sluicegate_sdk::{
    Bytes, Change, ConfigError, Context, Decision, Failure, Message, Plugin, Verdict,
};

use self::alert::{Finding, Severity};
use self::body::{Body, Leaf};
use self::config::{Config, Watched};
use self::state::Meter;

/// Milliseconds since 1970 that a time may have: up to the year 9999.
const TIME_MAX_MS: f64 = 253_402_300_799_000.0;

#[derive(Deserialize)]
#[serde(from = "Config")]
struct Detector {
    config: Config,
    watched: Vec<Watched>,
}

impl From<Config> for Detector {
    fn from(config: Config) -> Self {
        Self { config, watched: Vec::new() }
    }
}

impl Plugin for Detector {
    type State = Bytes<Meter>;
    const STATE_VERSION: u32 = 2;

    fn prepare(&mut self) -> Result<(), ConfigError> {
        self.watched = self.config.watched()?;
        Ok(())
    }

    fn process(
        &self,
        message: &Message<'_>,
        meter: &mut Bytes<Meter>,
        ctx: &mut Context<'_>,
    ) -> Decision {
        if message.kind().is_some_and(|kind| kind != "reading") {
            return Ok(Verdict::next());
        }
        let body: Body<'_> = message.decode()?;
        if body.text(&["q"]).is_some_and(|quality| quality.starts_with('E')) {
            return Ok(Verdict::next());
        }
        let at = Moment { unix_ms: unix_ms(&body)?, ahead_s: self.ahead_s(&body) };
        meter.is(body.text(&["serial"]));
        let mut worst: Option<Finding<'_>> = None;
        for watched in &self.watched {
            let Some(value) = body.number(&watched.path) else { continue };
            let series = meter.series(watched.id, &self.watched);
            let Some(judged) = series.judge(at, value, &watched.settings) else { continue };
            for finding in Finding::all(&judged, watched, self.config.alert) {
                if finding.severity > Severity::Info {
                    finding.tell(&body, self.config.threshold, ctx)?;
                }
                worst = worst.filter(|worst| worst.severity >= finding.severity).or(Some(finding));
            }
        }
        Ok(match worst {
            None => Verdict::next(),
            Some(Finding { what, severity, score, watched, .. }) => Verdict::next_with(
                Change::new()
                    .header("anomaly-score", f64::from(score))
                    .header("severity", severity.as_str())
                    .header("anomaly", what.as_str())
                    .header("anomaly-quantity", watched.name.as_str()),
            ),
        })
    }

    /// What was learnt by other statistics is of no use to these: every meter begins anew.
    fn migrate(_: u32, _: &[u8]) -> Result<Bytes<Meter>, String> {
        Ok(Bytes::default())
    }
}

impl Detector {
    /// What the meter's clock is ahead of UTC, as it says itself or the operator does.
    #[expect(clippy::cast_possible_truncation, reason = "minutes of a day")]
    fn ahead_s(&self, body: &Body<'_>) -> i32 {
        let minutes = body.number(&["tz_min"]).filter(|minutes| minutes.abs() <= 1440.0);
        minutes.map_or(self.config.utc_offset_min, |minutes| minutes as i32) * 60
    }
}

/// When it was measured, in milliseconds since 1970.
fn unix_ms(body: &Body<'_>) -> Result<i64, Failure> {
    let bad = |text: String| Failure::reject("bad_ts", format!("`ts`: {text}"));
    match body.find(&["ts"]) {
        #[expect(clippy::cast_possible_truncation, reason = "within the bounds")]
        Some(Leaf::Number(seconds)) if (seconds * 1000.0).abs() <= TIME_MAX_MS => {
            Ok((seconds * 1000.0) as i64)
        }
        Some(Leaf::Text(text)) => match text.parse::<Timestamp>() {
            Ok(time) => Ok(time.as_millisecond()),
            Err(error) => Err(bad(error.to_string())),
        },
        Some(_) => Err(bad("neither RFC 3339 nor seconds since 1970".to_owned())),
        None => Err(Failure::reject("missing_ts", "no `ts` says when it was measured")),
    }
}

sluicegate_sdk::export!(Detector);

#[cfg(test)]
mod tests;
