//! Messages for tests.

use serde::Serialize;

use crate::decode::{self, JSON, MSGPACK};
use crate::properties::{Draft, flag};
use crate::value::Value;

/// A message to be processed. Without more it is empty, has no key, and is at its first attempt.
#[derive(Clone, Debug)]
pub struct Input {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) key: Option<String>,
    pub(super) properties: Draft,
    pub(super) body: Vec<u8>,
    pub(super) attempt: u32,
    pub(super) seed: u32,
    pub(super) due_us: u64,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            exchange: String::new(),
            routing_key: String::new(),
            key: None,
            properties: Draft::default(),
            body: Vec::new(),
            attempt: 1,
            seed: 0,
            due_us: 0,
        }
    }
}

impl Input {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A message whose body is a value as JSON.
    ///
    /// # Panics
    /// If the value has no form in JSON.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        Self::new().body(JSON, decode::json(value).expect("a value that has a form in JSON"))
    }

    /// A message whose body is a value as MessagePack.
    ///
    /// # Panics
    /// If the value has no form in MessagePack.
    #[must_use]
    pub fn msgpack(value: &impl Serialize) -> Self {
        let body = decode::msgpack(value).expect("a value that has a form in MessagePack");
        Self::new().body(MSGPACK, body)
    }

    /// The body, and its content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.content_type(content_type)
    }

    /// The exchange it was published to.
    #[must_use]
    pub fn exchange(mut self, exchange: &str) -> Self {
        self.exchange = exchange.into();
        self
    }

    /// The routing key it was published with.
    #[must_use]
    pub fn routing_key(mut self, routing_key: &str) -> Self {
        self.routing_key = routing_key.into();
        self
    }

    /// Its key, whose state it sees.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The attempt, from 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// What derived ids start from: the same for the same message.
    #[must_use]
    pub fn seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// Appends a header; nested ones are built with [`crate::Table`] and [`crate::List`].
    #[must_use]
    pub fn header<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.properties.headers = self.properties.headers.field(name, value);
        self
    }

    /// MIME type of the body.
    #[must_use]
    pub fn content_type(self, content_type: &str) -> Self {
        self.text(flag::CONTENT_TYPE, content_type)
    }

    /// The kind of message (AMQP calls it `type`).
    #[must_use]
    pub fn kind(self, kind: &str) -> Self {
        self.text(flag::KIND, kind)
    }

    /// The producer's identifier.
    #[must_use]
    pub fn message_id(self, id: &str) -> Self {
        self.text(flag::MESSAGE_ID, id)
    }

    /// What it belongs to.
    #[must_use]
    pub fn correlation_id(self, id: &str) -> Self {
        self.text(flag::CORRELATION_ID, id)
    }

    /// Where an answer is expected.
    #[must_use]
    pub fn reply_to(self, queue: &str) -> Self {
        self.text(flag::REPLY_TO, queue)
    }

    /// The publishing application.
    #[must_use]
    pub fn app_id(self, id: &str) -> Self {
        self.text(flag::APP_ID, id)
    }

    /// 0 to 255.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.properties.priority = Some(priority);
        self
    }

    /// When it was published: seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn timestamp(mut self, seconds: u64) -> Self {
        self.properties.timestamp = Some(seconds);
        self
    }

    fn text(mut self, flag: u16, text: &str) -> Self {
        self.properties.set(flag, text);
        self
    }
}
