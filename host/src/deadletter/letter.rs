//! A message in a dead-letter queue, read back into what its producer published, with what its headers
//! tell of its end.

use crate::limits::{REPLAY_EXCHANGE, RETURN_EXCHANGE};
use crate::message::{FieldValue, Message, Table};
use crate::pipeline::headers;
use crate::report::{self, Report};

#[cfg(test)]
mod tests;

/// What a letter without a report has for a class.
pub const UNREPORTED: &str = "unreported";

/// A dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// The message as its producer published it, without the headers that only hosts and brokers write.
    pub message: Message,
    /// The headers that brokers wrote before it came to the queue where it failed.
    pub brokers: Table,
    /// The queue where it failed; `None` where nothing tells.
    pub queue: Option<String>,
    /// Its failure report's id, where it carries one.
    pub failure_id: Option<String>,
    /// Ties it to its report: see [`report::letter`]. Empty where its queue isn't known.
    pub digest: String,
    /// How often it was replayed before.
    pub replay_count: u32,
    /// Its deaths by the broker's hand, newest first.
    pub deaths: Vec<Death>,
    /// What annotated headers say of its failure.
    reason: Reason,
}

/// One entry of `x-death`.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Death {
    /// The queue it died in.
    pub queue: String,
    /// `rejected`, `expired`, `maxlen`, `delivery_limit`.
    pub reason: String,
    /// The exchange it had been published to.
    pub exchange: String,
    /// The routing key it had been published with.
    pub routing_key: String,
    /// How often it died so.
    pub count: u64,
    /// Seconds since 1970, of the first time.
    pub time: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Reason {
    pipeline: String,
    class: String,
    code: String,
    text: String,
    plugin: Option<String>,
    plugin_digest: Option<String>,
    first_failed_at: u64,
    failed_at: u64,
    attempt: u32,
}

impl Letter {
    /// Reads a message of a dead-letter queue.
    #[must_use]
    pub fn read(mut message: Message) -> Self {
        let deaths = deaths(&message.properties.headers);
        let told = &message.properties.headers;
        let mut letter = match deaths.first().cloned() {
            // A nack brought it: what a host says of it is true where a host's exchange delivered it.
            Some(death) => {
                let trusted = [RETURN_EXCHANGE, REPLAY_EXCHANGE].contains(&death.exchange.as_str());
                let reason = if trusted { reason(told) } else { Reason::default() };
                let expiration = original_expiration(told);
                message.exchange.clone_from(&death.exchange);
                message.routing_key.clone_from(&death.routing_key);
                forget_newest_death(&mut message.properties.headers);
                let history = headers::restore(&mut message);
                message.properties.expiration = message.properties.expiration.take().or(expiration);
                Self {
                    queue: Some(death.queue.clone()),
                    failure_id: None,
                    replay_count: history.replay_count,
                    // Of a retried message: what the attempt before said, so not of this end.
                    reason: Reason { first_failed_at: reason.first_failed_at, ..Reason::default() },
                    ..Self::bare(message)
                }
            }
            // A host published it here, with its reason.
            None if told.get(headers::FAILURE_ID).is_some()
                || told.text(headers::QUEUE).is_some() =>
            {
                let queue = told.text(headers::QUEUE).map(str::to_owned);
                let failure_id = told.text(headers::FAILURE_ID).map(str::to_owned);
                let reason = reason(told);
                RETURN_EXCHANGE.clone_into(&mut message.exchange);
                let history = headers::restore(&mut message);
                let replay_count = history.replay_count;
                Self { queue, failure_id, replay_count, reason, ..Self::bare(message) }
            }
            None => {
                headers::strip_own(&mut message.properties.headers);
                Self::bare(message)
            }
        };
        letter.deaths = deaths;
        letter.brokers = headers::brokers_own(&letter.message.properties.headers);
        headers::strip_broker(&mut letter.message.properties.headers);
        if let Some(queue) = &letter.queue {
            letter.digest = digest(queue, &letter.message);
        }
        letter
    }

    /// Reads a message that its dead-letter queue kept no longer, and how it left that one.
    #[must_use]
    pub fn archived(mut message: Message) -> (Self, Option<Death>) {
        let left = deaths(&message.properties.headers).into_iter().next();
        if let Some(left) = &left {
            message.exchange.clone_from(&left.exchange);
            message.routing_key.clone_from(&left.routing_key);
            forget_newest_death(&mut message.properties.headers);
        }
        (Self::read(message), left)
    }

    fn bare(message: Message) -> Self {
        Self {
            message,
            brokers: Table::default(),
            queue: None,
            failure_id: None,
            digest: String::new(),
            replay_count: 0,
            deaths: Vec::new(),
            reason: Reason::default(),
        }
    }

    /// Why the broker moved it here last: `rejected`, `expired` and the like; `None` where a host or
    /// anybody else published it.
    #[must_use]
    pub fn death(&self) -> Option<&str> {
        self.deaths.first().map(|death| death.reason.as_str())
    }

    /// What is known of it without a report, in a report's words.
    #[must_use]
    pub fn stand_in(&self) -> Report {
        let reason = &self.reason;
        let properties = &self.message.properties;
        let death = self.deaths.first();
        let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_owned();
        let how = death.map_or("published", |death| death.reason.as_str());
        let died_at = death.map_or(0, |death| death.time);
        let failed_at = if reason.failed_at == 0 { died_at } else { reason.failed_at };
        Report {
            id: self.failure_id.clone().unwrap_or_default(),
            letter: self.digest.clone(),
            message_id: properties.message_id.clone(),
            pipeline: reason.pipeline.clone(),
            queue: self.queue.clone().unwrap_or_default(),
            exchange: self.message.exchange.clone(),
            routing_key: self.message.routing_key.clone(),
            headers: report::headers(&properties.headers),
            class: or(&reason.class, UNREPORTED),
            code: or(&reason.code, how),
            text: or(&reason.text, "no failure report of it is left"),
            plugin: reason.plugin.clone(),
            plugin_digest: reason.plugin_digest.clone(),
            attempt: reason.attempt,
            first_failed_at: if reason.first_failed_at == 0 {
                failed_at
            } else {
                reason.first_failed_at
            },
            failed_at,
            end: "dead_lettered".to_owned(),
            body_bytes: self.message.body.len(),
            body_digest: blake3::hash(&self.message.body).to_hex().to_string(),
            replay_count: self.replay_count,
            ..Report::default()
        }
    }
}

fn digest(queue: &str, message: &Message) -> String {
    let id = message.properties.message_id.as_deref();
    report::letter(queue, &message.exchange, &message.routing_key, id, &message.body)
}

fn reason(headers: &Table) -> Reason {
    let text = |name| headers.text(name).unwrap_or_default().to_owned();
    let number = |name| headers.get(name).and_then(FieldValue::as_i64).unwrap_or(0);
    let seconds = |name| u64::try_from(number(name)).unwrap_or(0);
    Reason {
        pipeline: text(headers::PIPELINE),
        class: text(headers::CLASS),
        code: text(headers::CODE),
        text: text(headers::TEXT),
        plugin: headers.text(headers::PLUGIN).map(str::to_owned),
        plugin_digest: headers.text(headers::PLUGIN_DIGEST).map(str::to_owned),
        first_failed_at: seconds(headers::FIRST_FAILED_AT),
        failed_at: seconds(headers::LAST_FAILED_AT),
        attempt: u32::try_from(number(headers::ATTEMPT)).unwrap_or(0),
    }
}

fn entries(headers: &Table) -> &[FieldValue] {
    match headers.get("x-death") {
        Some(FieldValue::Array(deaths)) => deaths,
        _ => &[],
    }
}

fn deaths(headers: &Table) -> Vec<Death> {
    let death = |entry: &FieldValue| {
        let FieldValue::Table(entry) = entry else { return None };
        let text = |name| entry.text(name).unwrap_or_default().to_owned();
        let routing_key = match entry.get("routing-keys") {
            Some(FieldValue::Array(keys)) => keys.first().and_then(FieldValue::as_text),
            _ => None,
        };
        let count = entry.get("count").and_then(FieldValue::as_i64);
        Some(Death {
            queue: text("queue"),
            reason: text("reason"),
            exchange: text("exchange"),
            routing_key: routing_key.unwrap_or_default().to_owned(),
            count: count.and_then(|count| u64::try_from(count).ok()).unwrap_or(1),
            time: match entry.get("time") {
                Some(FieldValue::Timestamp(seconds)) => *seconds,
                _ => 0,
            },
        })
    };
    entries(headers).iter().filter_map(death).collect()
}

/// `expiration` as it was before the broker took it off at its death.
fn original_expiration(headers: &Table) -> Option<String> {
    match entries(headers).first() {
        Some(FieldValue::Table(death)) => death.text("original-expiration").map(str::to_owned),
        _ => None,
    }
}

/// Takes off what the last death wrote; what is left was there when the message was consumed.
fn forget_newest_death(headers: &mut Table) {
    let mut older = entries(headers).to_vec();
    if !older.is_empty() {
        older.remove(0);
    }
    if older.is_empty() {
        let died = |name: &str| name == "x-death" || name.contains("-death-");
        headers.0.retain(|(name, _)| !(name.starts_with("x-") && died(name)));
    } else {
        headers.set("x-death", FieldValue::Array(older));
    }
}
