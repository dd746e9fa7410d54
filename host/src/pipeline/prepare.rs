//! A delivery becomes a job: the original restored, its content encoding taken off, key and identity
//! found. What can't enter the pipeline becomes a job that fails without running, so that it is
//! settled in order with all others.

use std::borrow::Cow;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::identity::{self, Identity};
use super::job::{Job, Particulars};
use super::{field, headers};
use crate::broker::{Delivery, Unfit};
use crate::config::{ContentType, IdSource, KeySource, KindSource};
use crate::limits::{DECODED_BODY_BYTES, KEY_BYTES, SHORT_STRING_BYTES};
use crate::message::{FieldValue, Message};
use crate::topic;
use crate::verdict::{Failure, FailureClass};

/// How a pipeline reads its messages.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Of the pipeline, part of derived ids.
    pub salt: [u8; 16],
    /// Where the key is.
    pub key: Option<KeySource>,
    /// Whether a message without a key is refused.
    pub key_required: bool,
    /// What bodies are that don't say it.
    pub content_type: Option<ContentType>,
    /// What messages are that don't say it.
    pub kind: Option<KindSource>,
    /// What separates the levels of MQTT's topics.
    pub separator: char,
    /// Where the id is.
    pub id: IdSource,
    /// Makes seeds of messages without identity unique: of this process.
    pub nonce: [u8; 16],
}

/// A delivery and where it stands in its pipeline's life.
#[derive(Debug)]
pub struct Arrival {
    /// The delivery.
    pub delivery: Delivery,
    /// When it came.
    pub received: Instant,
    /// Which consumer of the pipeline it came from.
    pub consumer: u64,
    /// How many came before it, over all consumers.
    pub sequence: u64,
}

impl Reading {
    /// What keeps the ids that a pipeline derives apart from another's.
    #[must_use]
    pub fn salt(pipeline: &str) -> [u8; 16] {
        identity::short(blake3::Hasher::new().update(pipeline.as_bytes()))
    }

    /// Makes the job.
    #[must_use]
    pub fn prepare(&self, arrival: Arrival) -> Job {
        let Arrival { delivery, received, consumer, sequence } = arrival;
        let mut message = delivery.message;
        let history = headers::restore(&mut message);
        let (decoded, mut unfit) = match decode(&message) {
            Ok(decoded) => (decoded, None),
            Err(failure) => (None, Some(failure)),
        };
        self.describe(&mut message, decoded.as_ref());
        let body = decoded.as_ref().unwrap_or(&message.body);
        if let Some(Unfit { code, text }) = delivery.unfit {
            unfit = Some(self::unfit(code, text));
        }
        let key = self.key_of(&message, body);
        if key.is_none() && self.key_required && unfit.is_none() {
            unfit = Some(self.keyless());
        }
        let identity = self
            .id_of(&message, body)
            .map(|id| Identity::new(&id, key.as_deref(), &message.body, &history));
        let particulars = Particulars {
            seed: self.seed(identity.as_ref(), sequence),
            decoded,
            key,
            partition: 0,
            identity,
            attempt: history.attempt,
            first_failed_at: history.first_failed_at,
            replay_of: history.replay_of,
            replay_count: history.replay_count,
            unfit,
            redelivered: delivery.redelivered || delivery.delivery_count.unwrap_or(0) > 0,
            condemned: None,
            consumer,
            received,
            confirmed: Vec::new(),
            versions: 0,
            timer: None,
            receipt: delivery.receipt,
            message,
        };
        particulars.into()
    }

    /// Says of a message what it doesn't say itself.
    fn describe(&self, message: &mut Message, decoded: Option<&Bytes>) {
        if message.properties.content_type.is_none() {
            message.properties.content_type = match &self.content_type {
                Some(ContentType::Is(text)) => Some(text.clone()),
                Some(ContentType::Detected) => {
                    field::content_type(decoded.unwrap_or(&message.body)).map(str::to_owned)
                }
                None => None,
            };
        }
        if message.properties.kind.is_none() {
            let kind = match &self.kind {
                Some(KindSource::Is(text)) => Some(text.as_str()),
                Some(KindSource::TopicLevel(place)) => self.topic_level(message, *place),
                None => None,
            };
            let kind = kind.filter(|kind| (1..=SHORT_STRING_BYTES).contains(&kind.len()));
            message.properties.kind = kind.map(str::to_owned);
        }
    }

    fn key_of(&self, message: &Message, body: &Bytes) -> Option<Arc<str>> {
        let content_type = message.properties.content_type.as_deref();
        let key: Cow<'_, str> = match self.key.as_ref()? {
            KeySource::Header(name) => message.properties.headers.get(name).and_then(scalar)?,
            KeySource::RoutingKeySegment(n) => message.routing_key.split('.').nth(*n)?.into(),
            KeySource::RoutingKey => message.routing_key.as_str().into(),
            KeySource::TopicLevel(n) => self.topic_level(message, *n)?.into(),
            KeySource::BodyField(name) => field::find(body, content_type, &[name]).pop()??.into(),
        };
        (!key.is_empty() && key.len() <= KEY_BYTES).then(|| (&*key).into())
    }

    /// A level of the topic that it came by; by way of RabbitMQ's MQTT plugin, a word of its routing key.
    fn topic_level<'m>(&self, message: &'m Message, place: usize) -> Option<&'m str> {
        match message.properties.headers.text(topic::TOPIC) {
            Some(topic) => topic::level(topic, self.separator, place),
            None => topic::level(&message.routing_key, '.', place),
        }
    }

    fn id_of<'m>(&self, message: &'m Message, body: &Bytes) -> Option<Cow<'m, [u8]>> {
        let bytes = |text: Cow<'m, str>| match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        let properties = &message.properties;
        let content_type = properties.content_type.as_deref();
        match &self.id {
            IdSource::Property => properties.message_id.as_deref().map(|id| id.as_bytes().into()),
            IdSource::Header(name) => properties.headers.get(name).and_then(scalar).map(bytes),
            IdSource::BodyFields(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let values: Option<Vec<String>> =
                    field::find(body, content_type, &names).into_iter().collect();
                values.map(|values| values.join("\0").into_bytes().into())
            }
            IdSource::Hash => Some(blake3::hash(&message.body).as_bytes().to_vec().into()),
            IdSource::None => None,
        }
    }

    /// Derived ids are stable under redelivery only where there is an identity; without one, two
    /// messages must never share theirs, or the second would be lost where duplicates are dropped.
    fn seed(&self, identity: Option<&Identity>, sequence: u64) -> [u8; 16] {
        let own = match identity {
            Some(identity) => identity.whole,
            None => identity::short(
                blake3::Hasher::new().update(&self.nonce).update(&sequence.to_le_bytes()),
            ),
        };
        (u128::from_le_bytes(own) ^ u128::from_le_bytes(self.salt)).to_le_bytes()
    }

    fn keyless(&self) -> Failure {
        let place = match &self.key {
            Some(KeySource::Header(name)) => format!("header '{name}'"),
            Some(KeySource::RoutingKeySegment(n)) => format!("word {n} of its routing key"),
            Some(KeySource::RoutingKey) => "its routing key".to_owned(),
            Some(KeySource::TopicLevel(n)) => format!(
                "level {n} of its topic, whose levels are separated by '{}'",
                self.separator
            ),
            Some(KeySource::BodyField(name)) => format!("field '{name}' of its body"),
            None => "its pipeline's config".to_owned(),
        };
        unfit(
            "no_key",
            format!("the message has no key in {place}, and this pipeline requires one"),
        )
    }
}

fn scalar(value: &FieldValue) -> Option<Cow<'_, str>> {
    let text = value.as_text().map(Cow::Borrowed);
    text.or_else(|| value.as_i64().map(|n| n.to_string().into()))
}

fn unfit(code: &str, text: String) -> Failure {
    Failure {
        class: FailureClass::Intake,
        code: code.to_owned(),
        text,
        stage: None,
        backtrace: Vec::new(),
        retry_after: None,
    }
}

/// The body without its content encoding, where it has one.
fn decode(message: &Message) -> Result<Option<Bytes>, Failure> {
    match message.properties.content_encoding.as_deref() {
        None | Some("" | "identity" | "utf-8" | "UTF-8") => Ok(None),
        Some("gzip" | "x-gzip") => gunzip(&message.body).map(Some),
        Some(other) => Err(unfit(
            "content_encoding",
            format!("content encoding '{other}' isn't supported; gzip is, or none"),
        )),
    }
}

fn gunzip(body: &[u8]) -> Result<Bytes, Failure> {
    let mut decoded = Vec::new();
    flate2::read::MultiGzDecoder::new(body)
        .take(DECODED_BODY_BYTES as u64 + 1)
        .read_to_end(&mut decoded)
        .map_err(|error| unfit("gzip", format!("the body isn't the gzip that it says: {error}")))?;
    if decoded.len() > DECODED_BODY_BYTES {
        return Err(unfit(
            "decoded_too_large",
            format!("the body is larger than {DECODED_BODY_BYTES} bytes when decoded"),
        ));
    }
    Ok(decoded.into())
}

#[cfg(test)]
mod tests;
