//! Which failures are meant.

use std::time::Duration;

use crate::report::Report;
use crate::route::topic_matches;

#[cfg(test)]
mod tests;

/// What a failure must be. What is empty asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Ids, beginnings of ids, or ids of messages; any of them.
    pub ids: Vec<String>,
    /// Codes; any of them.
    pub codes: Vec<String>,
    /// Classes; any of them.
    pub classes: Vec<String>,
    /// Plugins; any of them.
    pub plugins: Vec<String>,
    /// Pipelines; any of them.
    pub pipelines: Vec<String>,
    /// Queues where it failed; any of them.
    pub queues: Vec<String>,
    /// A topic pattern for the original routing key.
    pub routing_key: Option<String>,
    /// Headers with their values; all of them.
    pub headers: Vec<(String, String)>,
    /// Failed at this second or later, since 1970.
    pub since: Option<u64>,
    /// Failed before this second, since 1970.
    pub until: Option<u64>,
    /// Words that are all in its text, code, ids, routing key or backtrace, whatever their case.
    pub text: Vec<String>,
    /// The beginning of a fingerprint.
    pub fingerprint: Option<String>,
}

impl Filter {
    /// Whether it asks for nothing, so that everything matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let lists = [&self.ids, &self.codes, &self.classes, &self.plugins, &self.pipelines];
        lists.iter().all(|list| list.is_empty())
            && self.queues.is_empty()
            && self.headers.is_empty()
            && self.text.is_empty()
            && self.routing_key.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.fingerprint.is_none()
    }

    /// Whether this failure is meant.
    #[must_use]
    pub fn matches(&self, report: &Report) -> bool {
        let any = |wanted: &[String], found: &str| {
            wanted.is_empty() || wanted.iter().any(|one| one == found)
        };
        self.is_named(report)
            && any(&self.codes, &report.code)
            && any(&self.classes, &report.class)
            && any(&self.plugins, report.plugin.as_deref().unwrap_or_default())
            && any(&self.pipelines, &report.pipeline)
            && any(&self.queues, &report.queue)
            && self.routing_key.as_ref().is_none_or(|p| topic_matches(p, &report.routing_key))
            && self.fingerprint.as_ref().is_none_or(|f| report.fingerprint.starts_with(f.as_str()))
            && self.since.is_none_or(|since| report.failed_at >= since)
            && self.until.is_none_or(|until| report.failed_at < until)
            && self.headers.iter().all(|(name, value)| has_header(report, name, value))
            && self.text.iter().all(|word| says(report, word))
    }

    fn is_named(&self, report: &Report) -> bool {
        let id = |wanted: &String| {
            !report.id.is_empty() && report.id.starts_with(wanted.as_str())
                || !report.letter.is_empty() && report.letter == *wanted
                || report.message_id.as_ref() == Some(wanted)
        };
        self.ids.is_empty() || self.ids.iter().any(id)
    }
}

fn has_header(report: &Report, name: &str, value: &str) -> bool {
    report.headers.get(name).is_some_and(|found| match found {
        serde_json::Value::String(text) => text == value,
        // As it is written: `7`, `true`.
        other => {
            let written = other.to_string();
            written == value
        }
    })
}

fn says(report: &Report, word: &str) -> bool {
    let word = word.to_lowercase();
    let texts = [
        &report.text,
        &report.code,
        &report.routing_key,
        &report.id,
        report.message_id.as_ref().unwrap_or(&report.id),
        report.key.as_ref().unwrap_or(&report.id),
    ];
    texts.into_iter().chain(&report.backtrace).any(|text| text.to_lowercase().contains(&word))
}

/// A point in time, seconds since 1970: RFC 3339, or an age before `now`: `90s`, `2h`, `7d`.
///
/// # Errors
/// How it is written.
pub fn point_in_time(text: &str, now: u64) -> Result<u64, String> {
    if let Some(age) = crate::config::duration(text) {
        return Ok(now.saturating_sub(age.as_secs()));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(u64::try_from(time.as_second()).unwrap_or(0)),
        Err(_) => Err(format!(
            "'{text}' is no time: write an age (90s, 2h, 7d) or a time with its zone \
             (2026-03-01T12:00:00Z)"
        )),
    }
}

/// An age in one or two units, for people: `4s`, `12m`, `3h 5m`, `2d 4h`.
#[must_use]
pub fn age(seconds: u64) -> String {
    let age = Duration::from_secs(seconds);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match age.as_secs() {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..86_400 if minutes % 60 == 0 => format!("{hours}h"),
        3600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ if hours % 24 == 0 || days > 9 => format!("{days}d"),
        _ => format!("{days}d {}h", hours % 24),
    }
}
