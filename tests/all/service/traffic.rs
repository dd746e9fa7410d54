//! What goes in and what comes out, by plain lapin.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use lapin::message::BasicGetMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use serde_json::Value;

use crate::rabbit::{RabbitNode, Raw};

/// How long messages may take.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Both ends of a pipeline.
pub(super) struct Traffic {
    pub(super) raw: Raw,
}

/// The broker section of a config for that node.
pub(super) fn broker(node: &RabbitNode) -> String {
    format!("[broker.main]\nurl = \"{}\"\n", node.url())
}

/// A pipeline of the hostile guest on a queue `NAME.in` with dead letters in `NAME.dead`, reports in
/// `NAME.failures`, and an output `echo` to the queue `NAME.out`.
pub(super) fn echoing(name: &str, limits: &str, pipeline: &str, queue: &str) -> String {
    format!(
        r#"
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "hostile"
file = "hostile.wasm"
limits = {{ {limits} }}
# Here messages fail that are meant to.
breaker = false
[[queue]]
name = "{name}.in"
dead_letter = {{ queue = "{name}.dead" }}
{queue}
[[exchange]]
name = "{name}.echo"
kind = "fanout"
[[queue]]
name = "{name}.out"
bind = [{{ exchange = "{name}.echo" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.in"
stages = ["hostile"]
outputs.echo = {{ exchange = "{name}.echo" }}
{pipeline}
"#
    )
}

/// A pipeline that counts by key, in a quorum queue `NAME.in` with dead letters in `NAME.dead`, and tells each count
/// to the queue `NAME.out`.
pub(super) fn tallying(name: &str, pipeline: &str) -> String {
    format!(
        r#"
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "tally"
file = "tally.wasm"
[[queue]]
name = "{name}.in"
kind = "quorum"
dead_letter = {{ queue = "{name}.dead" }}
[[exchange]]
name = "{name}.lines"
kind = "fanout"
[[queue]]
name = "{name}.out"
bind = [{{ exchange = "{name}.lines" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.in"
stages = ["tally"]
key = {{ header = "key" }}
prefetch = 100
batch = {{ messages = 16 }}
outputs.out = {{ exchange = "{name}.lines" }}
{pipeline}
"#
    )
}

/// Properties with that id.
pub(super) fn id(id: impl std::fmt::Display) -> BasicProperties {
    BasicProperties::default().with_message_id(id.to_string().into()).with_delivery_mode(2)
}

impl Traffic {
    /// A connection that publishes with confirms.
    pub(super) async fn on(node: &RabbitNode) -> Self {
        let raw = node.raw().await;
        raw.channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { raw }
    }

    /// Publishes to a queue; confirmed.
    pub(super) async fn send(&self, queue: &str, properties: BasicProperties, body: &[u8]) {
        self.publish("", queue, properties, body).await;
    }

    /// Publishes; confirmed.
    pub(super) async fn publish(
        &self,
        exchange: &str,
        key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = self
            .raw
            .channel
            .basic_publish(exchange.into(), key.into(), options, body, properties)
            .await
            .unwrap();
        assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)), "{exchange} {key}");
    }

    /// Publishes that many of one body to a queue, with ids from 0; all confirmed.
    pub(super) async fn fill(&self, queue: &str, count: usize, body: &[u8]) {
        self.fill_on(queue, 0..count, body).await;
    }

    /// The same with those ids.
    pub(super) async fn fill_on(&self, queue: &str, ids: Range<usize>, body: &[u8]) {
        let mut confirms = Vec::new();
        for n in ids {
            let options = BasicPublishOptions::default();
            let sent =
                self.raw.channel.basic_publish("".into(), queue.into(), options, body, id(n));
            confirms.push(sent.await.unwrap());
        }
        for confirm in confirms {
            assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)));
        }
    }

    /// Waits until the queue holds at least that many ready messages.
    pub(super) async fn await_at_least(&self, queue: &str, count: u32) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let depth = self.raw.depth(queue).await;
            if depth >= count {
                return depth;
            }
            assert!(Instant::now() < deadline, "{queue} holds {depth}, not {count}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The next message; waits for it.
    pub(super) async fn next(&self, queue: &str) -> BasicGetMessage {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.raw.get(queue).await {
                return message;
            }
            assert!(Instant::now() < deadline, "nothing in {queue}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// All that is in the queue.
    pub(super) async fn take_all(&self, queue: &str) -> Vec<BasicGetMessage> {
        let mut all = Vec::new();
        while let Some(message) = self.raw.get(queue).await {
            all.push(message);
        }
        all
    }

    /// How often each input came out, by its id.
    pub(super) async fn inputs(&self, queue: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for message in self.take_all(queue).await {
            *counts.entry(correlation(&message)).or_default() += 1;
        }
        counts
    }

    /// The failure reports in the queue, by the id of the message that each is about.
    pub(super) async fn reports(&self, queue: &str) -> BTreeMap<String, Value> {
        let mut reports = BTreeMap::new();
        for message in self.take_all(queue).await {
            let report: Value = serde_json::from_slice(&message.data).unwrap();
            let id = report["message_id"].as_str().unwrap().to_owned();
            assert!(reports.insert(id, report).is_none(), "two reports of one message");
        }
        reports
    }
}

/// The id of the input that an output follows from.
pub(super) fn correlation(message: &BasicGetMessage) -> String {
    message.properties.correlation_id().as_ref().unwrap().to_string()
}

/// The id of a message.
pub(super) fn message_id(message: &BasicGetMessage) -> String {
    message.properties.message_id().as_ref().unwrap().to_string()
}

/// Why the broker dead-lettered it last, by its `x-death`.
pub(super) fn death(message: &BasicGetMessage) -> String {
    let headers: &FieldTable = message.properties.headers().as_ref().unwrap();
    match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => match deaths.as_slice().first() {
            Some(AMQPValue::FieldTable(death)) => match death.inner().get("reason") {
                Some(AMQPValue::LongString(reason)) => reason.to_string(),
                other => panic!("no reason: {other:?}"),
            },
            other => panic!("no death: {other:?}"),
        },
        other => panic!("no x-death: {other:?}"),
    }
}
