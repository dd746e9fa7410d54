//! A delivery becomes a job: the original restored, its content encoding taken off, key and identity
//! found. What can't enter the pipeline becomes a job that fails without running, so that it is
//! settled in order with all others.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::identity::{self, Identity};
use super::job::Job;
use super::{field, headers};
use crate::broker::Delivery;
use crate::config::{IdSource, KeySource};
use crate::limits::{DECODED_BODY_BYTES, KEY_BYTES};
use crate::message::{FieldValue, Message};
use crate::verdict::{Failure, FailureClass};

/// How a pipeline reads its messages.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The pipeline's name, part of derived ids.
    pub pipeline: String,
    /// Where the key is.
    pub key: Option<KeySource>,
    /// Whether a message without a key is refused.
    pub key_required: bool,
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
    /// Which consumer of the pipeline it came from.
    pub consumer: u64,
    /// How many came before it, over all consumers.
    pub sequence: u64,
}

impl Reading {
    /// Makes the job.
    #[must_use]
    pub fn prepare(&self, arrival: Arrival) -> Job {
        let Arrival { delivery, consumer, sequence } = arrival;
        let mut message = delivery.message;
        let history = headers::restore(&mut message);
        let (body, mut unfit) = match decode(&message) {
            Ok(body) => (body, None),
            Err(failure) => (message.body.clone(), Some(failure)),
        };
        let key = self.key_of(&message, &body);
        if key.is_none() && self.key_required && unfit.is_none() {
            unfit = Some(self.keyless());
        }
        let identity = self
            .id_of(&message, &body)
            .map(|id| Identity::new(&id, key.as_deref(), &message.body, &history));
        Job {
            seed: self.seed(identity.as_ref(), sequence),
            body,
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
            received: Instant::now(),
            confirmed: Vec::new(),
            versions: 0,
            timer: None,
            receipt: delivery.receipt,
            message,
        }
    }

    fn key_of(&self, message: &Message, body: &Bytes) -> Option<Arc<str>> {
        let content_type = message.properties.content_type.as_deref();
        let key = match self.key.as_ref()? {
            KeySource::Header(name) => message.properties.headers.get(name).and_then(scalar)?,
            KeySource::RoutingKeySegment(n) => message.routing_key.split('.').nth(*n)?.to_owned(),
            KeySource::RoutingKey => message.routing_key.clone(),
            KeySource::BodyField(name) => field::find(body, content_type, &[name]).pop()??,
        };
        (!key.is_empty() && key.len() <= KEY_BYTES).then(|| key.into())
    }

    fn id_of(&self, message: &Message, body: &Bytes) -> Option<Vec<u8>> {
        let properties = &message.properties;
        let content_type = properties.content_type.as_deref();
        match &self.id {
            IdSource::Property => properties.message_id.clone().map(String::into_bytes),
            IdSource::Header(name) => {
                properties.headers.get(name).and_then(scalar).map(String::into_bytes)
            }
            IdSource::BodyFields(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let values: Option<Vec<String>> =
                    field::find(body, content_type, &names).into_iter().collect();
                values.map(|values| values.join("\0").into_bytes())
            }
            IdSource::Hash => Some(blake3::hash(&message.body).as_bytes().to_vec()),
            IdSource::None => None,
        }
    }

    /// Derived ids are stable under redelivery only where there is an identity; without one, two
    /// messages must never share theirs, or the second would be lost where duplicates are dropped.
    fn seed(&self, identity: Option<&Identity>, sequence: u64) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.pipeline.as_bytes()).update(&[0]);
        match identity {
            Some(identity) => hasher.update(&identity.whole),
            None => hasher.update(&self.nonce).update(&sequence.to_le_bytes()),
        };
        identity::short(&hasher)
    }

    fn keyless(&self) -> Failure {
        let place = match &self.key {
            Some(KeySource::Header(name)) => format!("header '{name}'"),
            Some(KeySource::RoutingKeySegment(n)) => format!("word {n} of its routing key"),
            Some(KeySource::RoutingKey) => "its routing key".to_owned(),
            Some(KeySource::BodyField(name)) => format!("field '{name}' of its body"),
            None => "its pipeline's config".to_owned(),
        };
        unfit(
            "no_key",
            format!("the message has no key in {place}, and this pipeline requires one"),
        )
    }
}

fn scalar(value: &FieldValue) -> Option<String> {
    value.as_text().map(str::to_owned).or_else(|| value.as_i64().map(|n| n.to_string()))
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

/// The body without its content encoding.
fn decode(message: &Message) -> Result<Bytes, Failure> {
    match message.properties.content_encoding.as_deref() {
        None | Some("" | "identity" | "utf-8" | "UTF-8") => Ok(message.body.clone()),
        Some("gzip" | "x-gzip") => gunzip(&message.body),
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
