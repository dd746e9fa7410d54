//! A message that a plugin wants published, written straight into the decisions.

use std::time::Duration;

use serde::Serialize;

use crate::decode::EncodeError;
use crate::decode::{JSON, MSGPACK};
use crate::layout::{Decisions, NONE};
use crate::properties::{Draft, Properties, flag};
use crate::value::Value;

/// A message on its way to an output; what isn't set is inherited from the message that it follows
/// from: body, routing key (unless the output has its own), correlation id.
///
/// It is emitted when the builder goes out of scope.
pub struct Emission<'d> {
    decisions: &'d mut Decisions,
    position: u32,
    output: [u32; 2],
    routing_key: [u32; 2],
    body: [u32; 2],
    draft: Draft,
}

impl<'d> Emission<'d> {
    pub(crate) fn new(decisions: &'d mut Decisions, position: u32, output: &str) -> Self {
        let output = decisions.put(output.as_bytes());
        let absent = [NONE, 0];
        let draft = Draft::default();
        Self { decisions, position, output, routing_key: absent, body: absent, draft }
    }

    /// Takes over properties; see [`crate::Context::forward`].
    pub(crate) fn like(mut self, properties: &Properties<'_>) -> Self {
        self.draft = Draft::forward(properties);
        self
    }

    /// The routing key; at most 255 bytes.
    pub fn routing_key(mut self, routing_key: &str) -> Self {
        self.routing_key = self.decisions.put(routing_key.as_bytes());
        self
    }

    /// Sets a header, in place of one of that name.
    pub fn header<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.draft.headers =
            std::mem::take(&mut self.draft.headers).without(name).field(name, value);
        self
    }

    /// The body, and its content type.
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.body = self.decisions.put(body);
        self.content_type(content_type)
    }

    /// A value as JSON for body.
    ///
    /// # Errors
    /// The value has no form in JSON.
    pub fn json(mut self, value: &impl Serialize) -> Result<Self, EncodeError> {
        let start = self.decisions.arena.len();
        serde_json::to_writer(&mut self.decisions.arena, value)
            .map_err(|error| EncodeError("JSON", error.to_string()))?;
        self.body = self.decisions.since(start);
        Ok(self.content_type(JSON))
    }

    /// A value as MessagePack for body; structs become maps.
    ///
    /// # Errors
    /// The value has no form in MessagePack.
    pub fn msgpack(mut self, value: &impl Serialize) -> Result<Self, EncodeError> {
        let start = self.decisions.arena.len();
        rmp_serde::encode::write_named(&mut self.decisions.arena, value)
            .map_err(|error| EncodeError("MessagePack", error.to_string()))?;
        self.body = self.decisions.since(start);
        Ok(self.content_type(MSGPACK))
    }

    /// MIME type of the body.
    pub fn content_type(self, content_type: &str) -> Self {
        self.text(flag::CONTENT_TYPE, content_type)
    }

    /// 0 to 255; higher ones overtake in queues that have priorities.
    pub fn priority(mut self, priority: u8) -> Self {
        self.draft.priority = Some(priority);
        self
    }

    /// Whether it survives a restart of the broker; the host's choice unless set.
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.draft.delivery_mode = Some(if persistent { 2 } else { 1 });
        self
    }

    /// How long it may wait in a queue.
    pub fn expiration(self, time_to_live: Duration) -> Self {
        let text = time_to_live.as_millis().to_string();
        self.text(flag::EXPIRATION, &text)
    }

    /// What it belongs to; inherited unless set.
    pub fn correlation_id(self, id: &str) -> Self {
        self.text(flag::CORRELATION_ID, id)
    }

    /// Where an answer is expected.
    pub fn reply_to(self, queue: &str) -> Self {
        self.text(flag::REPLY_TO, queue)
    }

    /// Its identifier; [`crate::Message::derived_id`] makes good ones.
    pub fn message_id(self, id: &str) -> Self {
        self.text(flag::MESSAGE_ID, id)
    }

    /// When it came to be: seconds since 1970-01-01 UTC.
    pub fn timestamp(mut self, seconds: u64) -> Self {
        self.draft.timestamp = Some(seconds);
        self
    }

    /// The kind of message (AMQP calls it `type`).
    pub fn kind(self, kind: &str) -> Self {
        self.text(flag::KIND, kind)
    }

    /// The publishing application.
    pub fn app_id(self, id: &str) -> Self {
        self.text(flag::APP_ID, id)
    }

    fn text(mut self, flag: u16, text: &str) -> Self {
        self.draft.set(flag, text);
        self
    }
}

impl Drop for Emission<'_> {
    fn drop(&mut self) {
        let properties = if self.draft.is_empty() {
            [NONE, 0]
        } else {
            let start = self.decisions.arena.len();
            self.draft.write(&mut self.decisions.arena);
            self.decisions.since(start)
        };
        let [output, routing_key, body] = [self.output, self.routing_key, self.body];
        self.decisions.emissions.push([
            self.position,
            output[0],
            output[1],
            routing_key[0],
            routing_key[1],
            properties[0],
            properties[1],
            body[0],
            body[1],
        ]);
    }
}
