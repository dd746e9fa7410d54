//! `[[queue]]`, and the exchange and queue that its `dead_letter` brings along.

mod governance;

use std::collections::BTreeSet;
use std::time::Duration;

use toml::de::DeValue;

use super::exchange::{self, KINDS, broker_of, name, read_arguments, read_bindings};
use super::mqtt;
use super::section::{Item, Section};
use super::{
    Binding, DeadLetter, DeadLetterTarget, Exchange, ExchangeKind, Overflow, Queue, QueueKind,
};
use crate::limits;
use crate::message::Table;

const QUEUE_KINDS: [(&str, QueueKind); 3] =
    [("classic", QueueKind::Classic), ("quorum", QueueKind::Quorum), ("stream", QueueKind::Stream)];

const OVERFLOWS: [(&str, Overflow); 3] = [
    ("drop-head", Overflow::DropHead),
    ("reject-publish", Overflow::RejectPublish),
    ("reject-publish-dlx", Overflow::RejectPublishDlx),
];

/// Arguments that have a key of their own.
const ARGUMENTS: [(&str, &str); 13] = [
    ("x-queue-type", "kind"),
    ("x-max-priority", "max_priority"),
    ("x-message-ttl", "message_ttl"),
    ("x-expires", "expires"),
    ("x-max-length", "max_length"),
    ("x-max-length-bytes", "max_bytes"),
    ("x-overflow", "overflow"),
    ("x-dead-letter-exchange", "dead_letter"),
    ("x-dead-letter-routing-key", "dead_letter"),
    ("x-dead-letter-strategy", "dead_letter"),
    ("x-delivery-limit", "delivery_limit"),
    ("x-single-active-consumer", "single_active_consumer"),
    ("x-queue-mode", "kind"),
];

const DEAD_LETTER_REMEDY: &str = "write `dead_letter = { exchange = \"…\", queue = \"…\" }`, \
                                  \"policy\" (a policy on the broker sets it) or \"discard\"";

/// A queue, and what its `dead_letter` asks to have declared.
pub(super) struct QueueRead {
    /// The queue.
    pub(super) queue: Queue,
    /// What its `dead_letter` asks to have declared.
    pub(super) catcher: Option<Catcher>,
}

/// What catches a queue's dead letters.
pub(super) struct Catcher {
    /// The exchange in front, unless that is the default one.
    pub(super) exchange: Option<Exchange>,
    /// The dead-letter queue.
    pub(super) queue: Queue,
    /// The queue for what that one keeps no longer.
    pub(super) archive: Option<Queue>,
}

/// Where queues are, and their dead letters.
pub(super) struct Homes<'b> {
    /// Where a queue is unless it says otherwise.
    pub(super) usual: Option<&'b str>,
    /// Brokers that speak MQTT.
    pub(super) mqtt: BTreeSet<&'b str>,
    /// Where dead letters go of what came by MQTT, unless they say otherwise.
    pub(super) letters: Option<&'b str>,
}

/// Reads one queue.
pub(super) fn read(section: Section<'_>, homes: &Homes<'_>) -> Option<QueueRead> {
    let server_named = section.flag("server_named", false);
    let queue_name = name(
        &section,
        "name",
        "give the queue a `name`; a server-named one too, since pipelines refer to it",
    );
    let kind = section.choice("kind", &QUEUE_KINDS).unwrap_or(QueueKind::Classic);
    let exclusive = section.flag("exclusive", server_named);
    let limit = section.number("delivery_limit", 1..=u32::MAX);
    let length = 1..=limits::QUEUE_LENGTH_MAX;
    let mut queue = Queue {
        name: queue_name.clone().unwrap_or_default(),
        server_named,
        broker: broker_of(&section, homes.usual),
        kind,
        durable: section.flag("durable", !exclusive && !server_named),
        exclusive,
        auto_delete: section.flag("auto_delete", false),
        max_priority: section.number("max_priority", 1..=u8::MAX),
        message_ttl: section.duration("message_ttl", Duration::ZERO..=limits::BROKER_DURATION_MAX),
        expires: section
            .duration("expires", Duration::from_millis(1)..=limits::BROKER_DURATION_MAX),
        max_length: section.number("max_length", length.clone()),
        max_bytes: section.size("max_bytes", length),
        overflow: section.choice("overflow", &OVERFLOWS),
        dead_letter: DeadLetter::Unset,
        delivery_limit: limit
            .or_else(|| (kind == QueueKind::Quorum).then_some(limits::DELIVERY_LIMIT)),
        single_active_consumer: section.flag("single_active_consumer", false),
        bind: read_bindings(&section),
        arguments: read_arguments(&section, &ARGUMENTS),
        session: None,
    };
    if homes.mqtt.contains(queue.broker.as_str()) {
        queue.session = Some(mqtt::read_session(&section, &queue.name));
    } else if section.has("client_id") {
        section.item("client_id");
        let message = "only a session on an MQTT broker has a client id";
        section.notes.wrong_key(&section.at("client_id"), message, "take it out");
    }
    let letters = match (&queue.session, homes.letters) {
        (Some(_), letters) => letters.unwrap_or_default(),
        (None, _) => &queue.broker,
    };
    let dead_letter = section.item("dead_letter");
    let (dead_letter, catcher) =
        dead_letter.map_or((DeadLetter::Unset, None), |item| read_dead_letter(&item, letters));
    queue.dead_letter = dead_letter;
    section.finish();
    queue_name.map(|_| QueueRead { queue, catcher })
}

fn read_dead_letter(item: &Item<'_>, broker: &str) -> (DeadLetter, Option<Catcher>) {
    match item.value {
        DeValue::String(text) if text == "policy" => (DeadLetter::Policy, None),
        DeValue::String(text) if text == "discard" => (DeadLetter::Discard, None),
        DeValue::String(text) if text == "annotate" => {
            let remedy =
                "write `dead_letter = { exchange = \"…\", queue = \"…\", mode = \"annotate\" }`";
            item.notes.error(&item.path, "\"annotate\" needs an exchange", remedy);
            (DeadLetter::Unset, None)
        }
        DeValue::Table(_) => {
            item.section().map_or((DeadLetter::Unset, None), |found| read_target(found, broker))
        }
        _ => {
            item.expected("a table, \"policy\" or \"discard\"", DEAD_LETTER_REMEDY);
            (DeadLetter::Unset, None)
        }
    }
}

/// `{ exchange = …, queue = …, … }`.
fn read_target(section: Section<'_>, broker: &str) -> (DeadLetter, Option<Catcher>) {
    let broker = section.text("broker").unwrap_or_else(|| broker.to_owned());
    let exchange = section.text("exchange");
    let caught_by = section.text("queue");
    let routing_key = section.text("routing_key");
    for (key, text) in
        [("exchange", &exchange), ("queue", &caught_by), ("routing_key", &routing_key)]
    {
        if let Some(text) = text {
            exchange::short(&section, key, text);
        }
    }
    if exchange.is_none() && caught_by.is_none() {
        section.notes.missing(&section.at("exchange"), DEAD_LETTER_REMEDY);
    }
    // Without an exchange dead letters go to their queue through the default exchange, by its name.
    let routing_key = match (&exchange, &caught_by) {
        (None, Some(queue)) => routing_key.or_else(|| Some(queue.clone())),
        _ => routing_key,
    };
    let usual = if routing_key.is_some() { ExchangeKind::Direct } else { ExchangeKind::Fanout };
    let kind = section.choice("exchange_kind", &KINDS).unwrap_or(usual);
    let queue_kind = section.choice("kind", &QUEUE_KINDS).unwrap_or(QueueKind::Classic);
    let max_length = section.number("max_length", 1..=limits::QUEUE_LENGTH_MAX);
    let max_bytes = section.size("max_bytes", 1..=limits::QUEUE_LENGTH_MAX);
    let ttl = section.duration("ttl", Duration::from_millis(1)..=limits::BROKER_DURATION_MAX);
    let strategies = [("at-most-once", false), ("at-least-once", true)];
    let at_least_once = section.choice("strategy", &strategies).unwrap_or(false);
    let nack = section.choice("mode", &[("nack", true), ("annotate", false)]).unwrap_or(true);
    let max_replays = section.number("max_replays", 0..=limits::REPLAYS_CONFIG_MAX);
    let past_limit = governance::read(&section, caught_by.as_deref());
    section.finish();
    let target = DeadLetterTarget {
        broker: broker.clone(),
        exchange: exchange.clone().unwrap_or_default(),
        routing_key: routing_key.clone(),
        at_least_once,
        nack,
        max_replays: max_replays.unwrap_or(limits::REPLAYS_MAX),
        past_limit: past_limit.clone(),
    };
    let catcher = caught_by.map(|name| {
        let mut caught = plain(&name, &broker, queue_kind);
        caught.max_length = max_length;
        caught.max_bytes = max_bytes;
        caught.message_ttl = ttl;
        let archive = governance::archive(&mut caught, &past_limit);
        let Some(exchange) = exchange.filter(|name| !name.is_empty()) else {
            return Catcher { exchange: None, queue: caught, archive };
        };
        let key = catching_key(kind, routing_key);
        let arguments = Table::default();
        caught.bind.push(Binding { exchange: exchange.clone(), key, arguments, filter: None });
        let exchange = Some(catching_exchange(exchange, &broker, kind));
        Catcher { exchange, queue: caught, archive }
    });
    (DeadLetter::To(target), catcher)
}

/// The binding key with which a dead-letter queue takes all that it should.
fn catching_key(kind: ExchangeKind, routing_key: Option<String>) -> String {
    match (kind, routing_key) {
        (ExchangeKind::Direct | ExchangeKind::Topic, Some(key)) => key,
        (ExchangeKind::Topic, None) => "#".to_owned(),
        _ => String::new(),
    }
}

fn catching_exchange(name: String, broker: &str, kind: ExchangeKind) -> Exchange {
    Exchange {
        name,
        broker: broker.to_owned(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
        bind: Vec::new(),
        arguments: Table::default(),
    }
}

/// A durable queue with nothing special.
fn plain(name: &str, broker: &str, kind: QueueKind) -> Queue {
    Queue {
        name: name.to_owned(),
        server_named: false,
        broker: broker.to_owned(),
        kind,
        durable: true,
        exclusive: false,
        auto_delete: false,
        max_priority: None,
        message_ttl: None,
        expires: None,
        max_length: None,
        max_bytes: None,
        overflow: None,
        dead_letter: DeadLetter::Unset,
        delivery_limit: (kind == QueueKind::Quorum).then_some(limits::DELIVERY_LIMIT),
        single_active_consumer: false,
        bind: Vec::new(),
        arguments: Table::default(),
        session: None,
    }
}
