//! Splits what a head-end collected: one message with the load profiles of many meters becomes one for each
//! meter, for a pipeline with the meter for its key; and such a one a reading for each interval.
//!
//! | `into` | from | to the output | with the header |
//! |---|---|---|---|
//! | `meters` | `{"start", "int_s", "profiles": [{"meter", "kwh": […]}, …]}` | `profiles` | `meter-id` |
//! | `intervals` | one of these profiles | `readings` | `meter-id` |
//! | `{ column = "transformer" }` | any message of a meter | `keyed` | `transformer`, from its row in the table `meters` |
//!
//! What follows from a message has ids derived from it, so that a message that comes again is found to have been
//! there. An entry that can't be used is told to the output `exceptions` and the others go on; an interval that
//! is `null` wasn't measured.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluicegate_sdk::{
    ConfigError, Context, Decision, EncodeError, Failure, Map, Message, Plugin, Verdict,
};

/// Bytes of an entry that can't be used, as far as it is told.
const TOLD_BYTES: usize = 500;

/// The operator's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bulk {
    into: Into,
    /// Entries of a message; the host's limit of emissions has to allow as many.
    #[serde(default = "entries_max")]
    entries_max: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Into {
    Meters,
    Intervals,
    Column(String),
}

/// What a head-end collected.
#[derive(Deserialize)]
struct Collected {
    head_end: Option<String>,
    start: Option<Value>,
    int_s: Option<i64>,
    profiles: Vec<Value>,
}

/// A meter's load profile: the energy of each interval, or its register at the end of each.
#[derive(Serialize, Deserialize)]
struct Profile {
    meter: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// When the first interval begins; that of the collection where it isn't said.
    start: Option<Value>,
    int_s: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kwh: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    register: Vec<Value>,
}

/// What can't be used.
#[derive(Serialize)]
struct Unusable<'a> {
    head_end: Option<&'a str>,
    meter: Option<&'a str>,
    entry: usize,
    reason: &'a str,
    content: &'a str,
}

fn entries_max() -> usize {
    1000
}

impl Plugin for Bulk {
    type State = ();

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if !(1..=100_000).contains(&self.entries_max) {
            return Err(ConfigError::new("entries_max", "must be 1 to 100000"));
        }
        Ok(())
    }

    fn process(&self, message: &Message<'_>, (): &mut (), ctx: &mut Context<'_>) -> Decision {
        match &self.into {
            Into::Meters => self.by_meter(message, ctx)?,
            Into::Intervals => self.by_interval(message, ctx)?,
            Into::Column(column) => by_column(message, column, ctx)?,
        }
        Ok(Verdict::done())
    }
}

impl Bulk {
    fn by_meter(&self, message: &Message<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let collected: Collected = message.decode()?;
        self.check_count(collected.profiles.len())?;
        for (n, entry) in collected.profiles.iter().enumerate() {
            let profile = Profile::deserialize(entry).map_err(|error| error.to_string());
            let usable = profile.and_then(|mut profile| {
                profile.start = profile.start.or_else(|| collected.start.clone());
                profile.int_s = profile.int_s.or(collected.int_s);
                profile.check().map(|()| profile)
            });
            match usable {
                Ok(profile) => profile.emit(message, n, ctx)?,
                Err(reason) => {
                    let content = entry.to_string();
                    let unusable = Unusable {
                        head_end: collected.head_end.as_deref(),
                        meter: entry.get("meter").and_then(Value::as_str),
                        entry: n,
                        reason: &reason,
                        content: &content[..content.floor_char_boundary(TOLD_BYTES)],
                    };
                    tell(message, &unusable, ctx)?;
                }
            }
        }
        Ok(())
    }

    fn by_interval(&self, message: &Message<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let profile: Profile = message.decode()?;
        profile.check().map_err(|reason| Failure::reject("bad_profile", reason))?;
        self.check_count(profile.kwh.len() + profile.register.len())?;
        let energies = profile.kwh.iter().map(|value| ("kwh", value)).enumerate();
        let registers = profile.register.iter().map(|value| ("register", value)).enumerate();
        for (n, (name, value)) in energies.chain(registers) {
            if value.is_null() {
                continue;
            }
            match (value.as_f64(), profile.end(n)) {
                (Some(number), Some(end)) => {
                    profile.reading(message, (n, name), number, &end, ctx)?
                }
                _ => {
                    let content = value.to_string();
                    let unusable = Unusable {
                        head_end: None,
                        meter: Some(&profile.meter),
                        entry: n,
                        reason: "no number, or of no time",
                        content: &content[..content.floor_char_boundary(TOLD_BYTES)],
                    };
                    tell(message, &unusable, ctx)?;
                }
            }
        }
        Ok(())
    }

    fn check_count(&self, count: usize) -> Result<(), Failure> {
        if count > self.entries_max {
            let text = format!("{count} entries, at most {} can be", self.entries_max);
            return Err(Failure::reject("too_many_entries", text));
        }
        Ok(())
    }
}

impl Profile {
    /// What is wrong with it as a whole.
    fn check(&self) -> Result<(), String> {
        if self.meter.trim().is_empty() {
            return Err("`meter` is empty".to_owned());
        }
        if self.kwh.is_empty() == self.register.is_empty() {
            return Err("either `kwh` or `register` has its intervals".to_owned());
        }
        if !self.int_s.is_some_and(|int_s| (60..=86_400).contains(&int_s)) {
            return Err("`int_s` must be 60 to 86400".to_owned());
        }
        self.start_s().map(drop).ok_or_else(|| "`start` is no time".to_owned())
    }

    fn start_s(&self) -> Option<i64> {
        match self.start.as_ref()? {
            Value::String(text) => Some(text.parse::<Timestamp>().ok()?.as_second()),
            number => number.as_i64(),
        }
    }

    /// When the nth interval ends.
    fn end(&self, n: usize) -> Option<String> {
        let after_s = self.int_s?.checked_mul(i64::try_from(n).ok()? + 1)?;
        let end = Timestamp::from_second(self.start_s()?.checked_add(after_s)?).ok()?;
        Some(end.to_string())
    }

    fn region<'a>(&'a self, message: &Message<'a>) -> &'a str {
        self.region.as_deref().or_else(|| message.text_header("region")).unwrap_or("unknown")
    }

    fn emit(
        &self,
        message: &Message<'_>,
        n: usize,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        let region = self.region(message);
        ctx.emit("profiles")
            .routing_key(&format!("meter.{region}.{}.profile", self.meter))
            .kind("profile")
            .message_id(&message.derived_id(n as u64))
            .header("meter-id", self.meter.as_str())
            .header("region", region)
            .json(self)?;
        Ok(())
    }

    fn reading(
        &self,
        message: &Message<'_>,
        (n, name): (usize, &str),
        value: f64,
        end: &str,
        ctx: &mut Context<'_>,
    ) -> Result<(), EncodeError> {
        let region = self.region(message);
        let mut reading =
            serde_json::json!({ "meter": self.meter, "ts": end, "int_s": self.int_s });
        match name {
            "kwh" => reading["kwh"] = value.into(),
            _ => reading["obis"] = serde_json::json!({ "1-0:1.8.0": value }),
        }
        ctx.emit("readings")
            .routing_key(&format!("meter.{region}.{}.reading", self.meter))
            .kind("reading")
            .message_id(&message.derived_id(n as u64))
            .header("meter-id", self.meter.as_str())
            .header("region", region)
            .json(&reading)?;
        Ok(())
    }
}

/// Forwards a message with a column of its meter's row for key.
fn by_column(message: &Message<'_>, column: &str, ctx: &mut Context<'_>) -> Result<(), Failure> {
    let row: Option<Map<String, Value>> = message.row("meters")?;
    let value = row.as_ref().and_then(|row| row.get(column));
    let key = match value {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
        _ => {
            let text = format!("the table `meters` has no `{column}` of this meter");
            return Err(Failure::reject("unknown_meter", text));
        }
    };
    ctx.forward("keyed", message).message_id(&message.derived_id(0)).header(column, key.as_str());
    Ok(())
}

fn tell(
    message: &Message<'_>,
    unusable: &Unusable<'_>,
    ctx: &mut Context<'_>,
) -> Result<(), EncodeError> {
    ctx.emit("exceptions")
        .routing_key("bulk.bad_entry")
        .kind("bulk")
        .header("severity", "info")
        .message_id(&message.derived_id(unusable.entry as u64))
        .json(unusable)?;
    Ok(())
}

sluicegate_sdk::export!(Bulk);

#[cfg(test)]
mod tests;
