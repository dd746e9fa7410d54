//! What brokers refuse or ignore about queues, said before they do.

use super::super::{BrokerKind, DeadLetter, Overflow, Queue, QueueKind};
use super::Check;
use crate::limits;

impl Check<'_> {
    /// Notes queues that a broker would refuse, or that don't do what they say.
    pub(super) fn queues(&self) {
        for (queue, path) in self.config.queues.iter().zip(&self.origins.queues) {
            if queue.name.starts_with("amq.") {
                let message = "names that start with `amq.` are the broker's own";
                self.notes.error(&format!("{path}.name"), message, "choose another name");
            }
            if queue.session.is_some() {
                continue;
            }
            self.bindings(&queue.broker, &queue.bind, path);
            if self.notes.is_broken(&format!("{path}.kind")) {
                continue;
            }
            match queue.kind {
                QueueKind::Classic => self.classic(queue, path),
                QueueKind::Quorum => self.quorum(queue, path),
                QueueKind::Stream => self.stream(queue, path),
            }
            self.priorities(queue, path);
            self.overflow(queue, path);
        }
    }

    fn classic(&self, queue: &Queue, path: &str) {
        if queue.delivery_limit.is_some() {
            let message = "classic queues don't count deliveries";
            let remedy = "take `delivery_limit` out, or write `kind = \"quorum\"`";
            self.notes.error(&format!("{path}.delivery_limit"), message, remedy);
        }
        if at_least_once(queue) {
            let message = "a classic queue dead-letters at most once";
            let remedy = "write `kind = \"quorum\"` and `overflow = \"reject-publish\"`, or take \
                          `strategy` out";
            self.notes.error(&format!("{path}.dead_letter.strategy"), message, remedy);
        }
    }

    fn quorum(&self, queue: &Queue, path: &str) {
        let refused = [
            ("exclusive", queue.exclusive, "a quorum queue can't be exclusive"),
            ("server_named", queue.server_named, "a quorum queue can't be named by the server"),
            ("auto_delete", queue.auto_delete, "a quorum queue can't be deleted automatically"),
            ("durable", !queue.durable, "a quorum queue is always durable"),
        ];
        self.refuse(path, &refused, "write `kind = \"classic\"`, or take this out");
        if queue.max_priority.is_some() && !self.states_version(&queue.broker) {
            self.notes.warn(
                &format!("{path}.max_priority"),
                "quorum queues have no priorities before RabbitMQ 4.0, which refuses them here, two \
                 levels from 4.0, and need no `max_priority` from 4.3",
                "use a classic queue for priorities, or a queue for each",
            );
        }
        if queue.overflow == Some(Overflow::RejectPublishDlx) {
            let message = "quorum queues don't have `reject-publish-dlx`";
            let remedy = "write \"reject-publish\" or \"drop-head\"";
            self.notes.error(&format!("{path}.overflow"), message, remedy);
        }
        if at_least_once(queue) && queue.overflow != Some(Overflow::RejectPublish) {
            let message = "at-least-once dead lettering needs `reject-publish`: without it the broker \
                           falls back to at-most-once, and only logs that";
            let remedy = "add `overflow = \"reject-publish\"` to the queue";
            self.notes.error(&format!("{path}.dead_letter.strategy"), message, remedy);
        }
    }

    /// Whether the config says which RabbitMQ it is; what that one can do is topology's to say.
    fn states_version(&self, broker: &str) -> bool {
        let kind = self.config.brokers.get(broker).map(|broker| &broker.kind);
        matches!(kind, Some(BrokerKind::Amqp(amqp)) if amqp.version.is_some())
    }

    fn stream(&self, queue: &Queue, path: &str) {
        let refused = [
            ("exclusive", queue.exclusive, "a stream can't be exclusive"),
            ("server_named", queue.server_named, "a stream can't be named by the server"),
            ("auto_delete", queue.auto_delete, "a stream can't be deleted automatically"),
            ("durable", !queue.durable, "a stream is always durable"),
            ("max_priority", queue.max_priority.is_some(), "a stream has no priorities"),
            ("message_ttl", queue.message_ttl.is_some(), "a stream's messages don't expire singly"),
            ("expires", queue.expires.is_some(), "a stream doesn't expire"),
            ("max_length", queue.max_length.is_some(), "a stream is bounded by bytes and age"),
            ("overflow", queue.overflow.is_some(), "a stream drops its oldest segments"),
            ("delivery_limit", queue.delivery_limit.is_some(), "a stream counts no deliveries"),
            (
                "single_active_consumer",
                queue.single_active_consumer,
                "a stream's consumers choose this themselves",
            ),
            (
                "dead_letter",
                queue.dead_letter != DeadLetter::Unset,
                "a stream has no dead letters: nothing leaves it by being rejected",
            ),
        ];
        let remedy =
            "take this out; `max_bytes` and `arguments = { x-max-age = \"7D\" }` bound a stream";
        self.refuse(path, &refused, remedy);
    }

    fn refuse(&self, path: &str, refused: &[(&str, bool, &str)], remedy: &str) {
        // What follows from another key isn't shown beside that one; what a `dead_letter` brought
        // along has other keys.
        let shown = |key: &str| self.notes.has(key) || path.ends_with(".dead_letter");
        for (key, _, message) in refused.iter().filter(|(_, set, _)| *set) {
            let key = format!("{path}.{key}");
            if shown(&key) {
                self.notes.error(&key, *message, remedy);
            }
        }
    }

    fn priorities(&self, queue: &Queue, path: &str) {
        if let Some(levels) = queue.max_priority.filter(|n| *n > limits::PRIORITIES_WARN) {
            let message = format!("{levels} priorities cost the broker memory and time for each");
            let remedy = "use as few as are told apart; RabbitMQ's own advice is at most 5";
            self.notes.warn(&format!("{path}.max_priority"), message, remedy);
        }
    }

    fn overflow(&self, queue: &Queue, path: &str) {
        let bounded = queue.max_length.is_some() || queue.max_bytes.is_some();
        let streams = queue.kind == QueueKind::Stream;
        if queue.overflow.is_some() && !bounded && !at_least_once(queue) && !streams {
            let message = "`overflow` means nothing without a maximum";
            let remedy = "add `max_length` or `max_bytes`, unless a policy sets one";
            self.notes.warn(&format!("{path}.overflow"), message, remedy);
        }
    }
}

fn at_least_once(queue: &Queue) -> bool {
    matches!(&queue.dead_letter, DeadLetter::To(target) if target.at_least_once)
}
