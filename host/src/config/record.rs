//! `record` of a pipeline: which calls are kept as capsules, how much of them, how long.

use std::time::Duration;

use toml::de::DeValue;

use super::section::Section;
use super::{Bodies, Record};
use crate::limits;

/// Reads it; absent, failures alone are recorded.
pub(super) fn read(section: Option<Section<'_>>) -> Record {
    let usual = Record::default();
    let Some(section) = section else { return usual };
    let words = [("keep", Bodies::Keep), ("redact", Bodies::Redact), ("none", Bodies::None)];
    let age = Duration::from_secs(60)..=limits::HOST_DURATION_MAX;
    let bytes = limits::MIB as u64..=limits::QUEUE_LENGTH_MAX;
    let record = Record {
        failures: section.flag("failures", usual.failures),
        sample: read_sample(&section).unwrap_or(usual.sample),
        bodies: section.choice("bodies", &words).unwrap_or(usual.bodies),
        max_files: section
            .number("max_files", 1..=limits::RECORD_FILES_MAX)
            .unwrap_or(usual.max_files),
        max_bytes: section.size("max_bytes", bytes).unwrap_or(usual.max_bytes),
        max_age: section.duration("max_age", age).unwrap_or(usual.max_age),
    };
    section.finish();
    record
}

fn read_sample(section: &Section<'_>) -> Option<f64> {
    let item = section.item("sample")?;
    let remedy = "write the share of messages to record, from 0 to 1: `sample = 0.001`";
    let share = match item.value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(number) => number.as_str().parse().ok(),
        _ => {
            item.expected("a number from 0 to 1", remedy);
            return None;
        }
    };
    let share = share.filter(|share: &f64| (0.0..=1.0).contains(share));
    if share.is_none() {
        item.notes.error(&item.path, "that is no share of all messages", remedy);
    }
    share
}

// === impl Record ===

impl Default for Record {
    /// Bodies are kept: a failed message lies whole in its dead-letter queue too, and without them a
    /// failure can't be run again. Samples, of messages that succeeded, are for who asks for them.
    fn default() -> Self {
        Self {
            failures: true,
            sample: 0.0,
            bodies: Bodies::Keep,
            max_files: limits::RECORD_FILES,
            max_bytes: limits::RECORD_BYTES,
            max_age: limits::RECORD_AGE,
        }
    }
}
