//! A message as a plugin sees it: the original, read in place.

use std::time::Duration;

use serde::Deserialize;

use crate::death::{self, Death};
use crate::decode::{self, DecodeError};
use crate::layout::{Record, Text};
use crate::properties::{Properties, flag};
use crate::value::{Fields, Value};

/// One message. It borrows from the batch that the host sent; nothing is copied or decoded before
/// it is asked for.
///
/// Every attempt sees the same message: where it was first published to, its properties, and the
/// body as the stages before this one have left it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    record: Record<'a>,
    now: Duration,
}

impl<'a> Message<'a> {
    pub(crate) fn new(record: Record<'a>, now: Duration) -> Self {
        Self { record, now }
    }

    /// The key's row in one of the tables that the stage's config names, as a type of yours: reference
    /// data such as a meter's rated power. `None` where the table has no row of this key.
    ///
    /// # Errors
    /// `bad_row` where the row doesn't decode into `T`; with `?` the message is rejected with that code.
    ///
    /// ```
    /// # use sluicegate_sdk::{DecodeError, Message};
    /// #[derive(serde::Deserialize)]
    /// struct Meter {
    ///     rated_kw: f64,
    /// }
    ///
    /// fn rated(message: &Message) -> Result<Option<f64>, DecodeError> {
    ///     Ok(message.row::<Meter>("meters")?.map(|meter| meter.rated_kw))
    /// }
    /// ```
    pub fn row<T: Deserialize<'a>>(&self, table: &str) -> Result<Option<T>, DecodeError> {
        decode::row(self.record.row, table)
    }

    pub(crate) fn slot(&self) -> Option<usize> {
        self.record.slot
    }

    /// Its key's bytes, whatever they are.
    pub(crate) fn key_bytes(&self) -> Option<&'a [u8]> {
        self.record.key.map(|key| key.0)
    }

    /// The exchange it was first published to; empty for the default exchange.
    #[must_use]
    pub fn exchange(&self) -> &'a str {
        self.record.exchange.get()
    }

    /// The routing key it was first published with.
    #[must_use]
    pub fn routing_key(&self) -> &'a str {
        self.record.routing_key.get()
    }

    /// The key that the pipeline's config takes from each message, and whose state it sees.
    #[must_use]
    pub fn key(&self) -> Option<&'a str> {
        self.record.key.map(Text::get)
    }

    /// The payload.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.record.body
    }

    /// 1 at the first attempt, 2 at the first retry.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.record.attempt
    }

    /// The batch's time, since 1970-01-01 UTC: all the clock there is. It is the same when the
    /// call is run again.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The body as a value, decoded by its content type: JSON (`application/json`, `…+json`) or
    /// MessagePack (`application/msgpack`, `application/x-msgpack`, `application/vnd.msgpack`).
    /// Text can borrow from the body.
    ///
    /// # Errors
    /// `content_type`, `empty` or `malformed`; with `?` the message is rejected with that code.
    ///
    /// ```
    /// # use sluicegate_sdk::{Failure, Message};
    /// #[derive(serde::Deserialize)]
    /// struct Order<'a> {
    ///     id: &'a str,
    /// }
    ///
    /// fn id<'a>(message: &Message<'a>) -> Result<&'a str, Failure> {
    ///     Ok(message.decode::<Order>()?.id)
    /// }
    /// ```
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T, DecodeError> {
        decode::body(self.content_type(), self.record.body)
    }

    /// An id for the `n`th thing that follows from this message: different for every message and
    /// `n`, the same whenever the message is processed again. Looks like a UUID (version 8).
    #[must_use]
    pub fn derived_id(&self, n: u64) -> String {
        derived_id(self.record.seed, n)
    }
}

pub(crate) fn derived_id(seed: [u32; 4], n: u64) -> String {
    let [a, b, c, d] = seed.map(u64::from);
    let high = (a | b << 32) ^ mix(n);
    let low = (c | d << 32) ^ mix(!n);
    let high = high & !0xf000 | 0x8000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// SplitMix64's finisher: a bijection, so that no two `n` meet.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

// === headers and properties ===

impl<'a> Message<'a> {
    pub(crate) fn properties(&self) -> &Properties<'a> {
        &self.record.properties
    }

    /// All headers, in order.
    #[must_use]
    pub fn headers(&self) -> Fields<'a> {
        self.properties().headers()
    }

    /// The header of that name, of whatever type.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Value<'a>> {
        self.headers().get(name)
    }

    /// The header of that name, where it is UTF-8 text.
    #[must_use]
    pub fn text_header(&self, name: &str) -> Option<&'a str> {
        self.headers().text(name)
    }

    /// The times this message was dead-lettered, latest first, from RabbitMQ's `x-death` header.
    pub fn deaths(&self) -> impl Iterator<Item = Death<'a>> + use<'a> {
        death::read(self.header("x-death"))
    }

    /// MIME type of the body.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        self.properties().text(flag::CONTENT_TYPE)
    }

    /// How the body was encoded. The host has undone `gzip` before a plugin sees it.
    #[must_use]
    pub fn content_encoding(&self) -> Option<&'a str> {
        self.properties().text(flag::CONTENT_ENCODING)
    }

    /// Whether it was published as persistent.
    #[must_use]
    pub fn persistent(&self) -> bool {
        self.properties().octet(flag::DELIVERY_MODE) == Some(2)
    }

    /// 0 to 255.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        self.properties().octet(flag::PRIORITY)
    }

    /// What this message belongs to.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&'a str> {
        self.properties().text(flag::CORRELATION_ID)
    }

    /// Where an answer is expected.
    #[must_use]
    pub fn reply_to(&self) -> Option<&'a str> {
        self.properties().text(flag::REPLY_TO)
    }

    /// Time to live in milliseconds, as AMQP has it: a decimal string.
    #[must_use]
    pub fn expiration(&self) -> Option<&'a str> {
        self.properties().text(flag::EXPIRATION)
    }

    /// The producer's identifier.
    #[must_use]
    pub fn message_id(&self) -> Option<&'a str> {
        self.properties().text(flag::MESSAGE_ID)
    }

    /// When it was published, as its producer says: seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn timestamp(&self) -> Option<u64> {
        self.properties().timestamp()
    }

    /// The application's name for the kind of message (AMQP calls it `type`).
    #[must_use]
    pub fn kind(&self) -> Option<&'a str> {
        self.properties().text(flag::KIND)
    }

    /// The publishing user, verified by the broker.
    #[must_use]
    pub fn user_id(&self) -> Option<&'a str> {
        self.properties().text(flag::USER_ID)
    }

    /// The publishing application.
    #[must_use]
    pub fn app_id(&self) -> Option<&'a str> {
        self.properties().text(flag::APP_ID)
    }

    /// Obsolete in AMQP 0-9-1, carried for completeness.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&'a str> {
        self.properties().text(flag::CLUSTER_ID)
    }
}

#[cfg(test)]
mod tests;
