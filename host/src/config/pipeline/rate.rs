//! `rate` and `burst` of a pipeline.

use std::time::Duration;

use toml::de::DeValue;

use super::super::Rate;
use super::super::scalar;
use super::super::section::{Item, Section, quote};
use crate::limits;

const REMEDY: &str = "write messages and a time: \"500/s\", \"30/m\", \"1000/h\"";

/// How fast the pipeline may take messages; `None` is as fast as it can.
pub(super) fn read(section: &Section<'_>) -> Option<Rate> {
    let stated = section.item("rate");
    let burst = section.number("burst", 1..=limits::RATE_BURST_MAX);
    let Some(item) = stated else {
        if section.has("burst") {
            let message = "`burst` is what passes at once of a `rate`, and there is none";
            section.notes.error(&section.at("burst"), message, "add `rate`, or take it out");
        }
        return None;
    };
    let (messages, within) = read_rate(&item)?;
    let usual = limits::RATE_BURST.as_secs_f64() / within.as_secs_f64() * f64::from(messages);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds down")]
    let burst = burst.unwrap_or((usual as u32).max(1));
    Some(Rate { messages, within, burst })
}

fn read_rate(item: &Item<'_>) -> Option<(u32, Duration)> {
    let DeValue::String(text) = item.value else {
        item.expected("a rate", REMEDY);
        return None;
    };
    let Some((messages, within)) = scalar::rate(text) else {
        item.notes.error(&item.path, format!("'{}' is no rate", quote(text)), REMEDY);
        return None;
    };
    let slowest = within.as_secs() / limits::RATE_INTERVAL_MAX.as_secs();
    let slowest = u32::try_from(slowest).unwrap_or(u32::MAX).max(1);
    if !(slowest..=limits::RATE_MESSAGES).contains(&messages) {
        let message = format!("{} is out of range", quote(text));
        let unit = text.trim().rsplit('/').next().unwrap_or_default().trim();
        let most = limits::RATE_MESSAGES;
        let remedy = format!("write a rate from \"{slowest}/{unit}\" to \"{most}/{unit}\"");
        item.notes.error(&item.path, message, remedy);
        return None;
    }
    Some((messages, within))
}
