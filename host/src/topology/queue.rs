//! Queues with their `x-` arguments: the config's own, the delay queues of a retry ladder, and the
//! one that keeps failure reports.
//!
//! Integers are always 64 bits wide and durations in milliseconds, so that a queue declared today
//! and again next year has equal arguments.

use std::time::Duration;

use super::delay_queue;
use crate::broker::{
    BindingDeclaration, CLIENT_ID, Declaration, Destination, QOS, QueueDeclaration,
};
use crate::config::{DeadLetter, Failures, Overflow, Queue, QueueKind, Session};
use crate::limits;
use crate::message::Table;

pub(super) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";
pub(super) const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
pub(super) const DEAD_LETTER_ROUTING_KEY: &str = "x-dead-letter-routing-key";
pub(super) const DEAD_LETTER_STRATEGY: &str = "x-dead-letter-strategy";
pub(super) const DELIVERY_LIMIT: &str = "x-delivery-limit";
pub(super) const MAX_LENGTH: &str = "x-max-length";
pub(super) const MAX_PRIORITY: &str = "x-max-priority";
pub(super) const MESSAGE_TTL: &str = "x-message-ttl";
pub(super) const OVERFLOW: &str = "x-overflow";
pub(super) const QUEUE_TYPE: &str = "x-queue-type";
/// Delay queues are quorum queues, beside classic work queues too: what a classic queue hands on when
/// its time is over is lost if the broker dies in that moment.
pub const DELAY_KIND: QueueKind = QueueKind::Quorum;
const AT_LEAST_ONCE: &str = "at-least-once";
const EXPIRES: &str = "x-expires";
const MAX_BYTES: &str = "x-max-length-bytes";
const SINGLE_ACTIVE_CONSUMER: &str = "x-single-active-consumer";

/// A queue of the config.
pub(super) fn declaration(queue: &Queue) -> QueueDeclaration {
    let mut arguments = of_kind(queue.kind);
    let numbers = [
        (MAX_PRIORITY, queue.max_priority.map(i64::from)),
        (MESSAGE_TTL, queue.message_ttl.map(milliseconds)),
        (EXPIRES, queue.expires.map(milliseconds)),
        (MAX_LENGTH, queue.max_length.map(integer)),
        (MAX_BYTES, queue.max_bytes.map(integer)),
        (DELIVERY_LIMIT, delivery_limit(queue).map(i64::from)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            arguments.set(name, number);
        }
    }
    if let Some(overflow) = overflow(queue) {
        arguments.set(OVERFLOW, overflow_name(overflow));
    }
    if let DeadLetter::To(target) = &queue.dead_letter {
        arguments.set(DEAD_LETTER_EXCHANGE, target.exchange.as_str());
        if let Some(key) = &target.routing_key {
            arguments.set(DEAD_LETTER_ROUTING_KEY, key.as_str());
        }
        if target.at_least_once {
            arguments.set(DEAD_LETTER_STRATEGY, AT_LEAST_ONCE);
        }
    }
    if queue.single_active_consumer {
        arguments.set(SINGLE_ACTIVE_CONSUMER, true);
    }
    for (name, value) in queue.arguments.iter() {
        arguments.set(name, value.clone());
    }
    QueueDeclaration {
        name: if queue.server_named { String::new() } else { queue.name.clone() },
        kind: queue.kind,
        durable: queue.durable,
        exclusive: queue.exclusive,
        auto_delete: queue.auto_delete,
        arguments,
    }
}

/// The queue where copies of `work`'s messages wait for `rung`. A copy stands for a message that was
/// acked, so its way back is at least once.
pub(super) fn delay(work: &Queue, rung: Duration) -> QueueDeclaration {
    let mut arguments = of_kind(DELAY_KIND);
    arguments.set(MESSAGE_TTL, milliseconds(rung));
    arguments.set(DEAD_LETTER_EXCHANGE, limits::RETURN_EXCHANGE);
    arguments.set(DEAD_LETTER_ROUTING_KEY, work.name.as_str());
    arguments.set(DEAD_LETTER_STRATEGY, AT_LEAST_ONCE);
    arguments.set(OVERFLOW, overflow_name(Overflow::RejectPublish));
    shared(delay_queue(&work.name, DELAY_KIND, rung), DELAY_KIND, arguments)
}

/// The bounded queue that keeps failure reports.
pub(super) fn failures(failures: &Failures) -> QueueDeclaration {
    let mut arguments = of_kind(QueueKind::Classic);
    arguments.set(MESSAGE_TTL, milliseconds(failures.ttl));
    arguments.set(MAX_LENGTH, integer(failures.max_length));
    arguments.set(OVERFLOW, overflow_name(Overflow::DropHead));
    shared(failures.exchange.clone(), QueueKind::Classic, arguments)
}

/// What `x-overflow` the queue gets: at-least-once dead-lettering works with `reject-publish` alone.
fn overflow(queue: &Queue) -> Option<Overflow> {
    let at_least_once =
        matches!(&queue.dead_letter, DeadLetter::To(target) if target.at_least_once);
    queue.overflow.or(at_least_once.then_some(Overflow::RejectPublish))
}

/// Without one, RabbitMQ 4 counts to 20 and 3 for ever.
fn delivery_limit(queue: &Queue) -> Option<u32> {
    let default = (queue.kind == QueueKind::Quorum).then_some(limits::DELIVERY_LIMIT);
    queue.delivery_limit.or(default)
}

fn shared(name: String, kind: QueueKind, arguments: Table) -> QueueDeclaration {
    QueueDeclaration { name, kind, durable: true, exclusive: false, auto_delete: false, arguments }
}

fn of_kind(kind: QueueKind) -> Table {
    Table::from_iter([(QUEUE_TYPE, kind_name(kind))])
}

/// The name in `x-queue-type`.
pub(super) fn kind_name(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Classic => "classic",
        QueueKind::Quorum => "quorum",
        QueueKind::Stream => "stream",
    }
}

fn overflow_name(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::DropHead => "drop-head",
        Overflow::RejectPublish => "reject-publish",
        Overflow::RejectPublishDlx => "reject-publish-dlx",
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A session on an MQTT broker, as its consumer declares it: a queue, and a binding for each filter.
pub(super) fn session(queue: &Queue, session: &Session) -> Vec<Declaration> {
    let mut arguments = Table::default();
    arguments.set(CLIENT_ID, session.client_id.as_str());
    let declaration = QueueDeclaration {
        name: queue.name.clone(),
        kind: queue.kind,
        durable: true,
        exclusive: true,
        auto_delete: false,
        arguments,
    };
    let filters = queue.bind.iter().filter_map(|binding| binding.filter.as_ref());
    let bindings = filters.map(|filter| {
        let mut arguments = Table::default();
        arguments.set(QOS, i64::from(filter.qos));
        let destination = Destination::Queue(queue.name.clone());
        let key = filter.filter.clone();
        Declaration::Binding(BindingDeclaration {
            source: String::new(),
            destination,
            key,
            arguments,
        })
    });
    std::iter::once(Declaration::Queue(declaration)).chain(bindings).collect()
}
