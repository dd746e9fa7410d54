//! The proof that dead letters are caught: a nack into an exchange without a queue behind it that
//! takes the message is a loss, and the broker doesn't say so.

use std::collections::BTreeSet;

use super::super::section::quote;
use super::super::{
    Binding, DeadLetter, DeadLetterTarget, Exchange, ExchangeKind, Queue, QueueKind,
};
use super::Check;
use crate::route::topic_matches;

impl Check<'_> {
    /// Notes dead letters that nothing is known to catch.
    pub(super) fn dead_letters(&self) {
        for (queue, path) in self.config.queues.iter().zip(&self.origins.queues) {
            let key = format!("{path}.dead_letter");
            if self.notes.is_broken(&key) {
                continue;
            }
            let consumed = self
                .config
                .pipelines
                .iter()
                .find(|p| p.queue == queue.name && p.broker == queue.broker);
            match (&queue.dead_letter, consumed) {
                (DeadLetter::Unset, Some(pipeline)) if queue.kind != QueueKind::Stream => {
                    let message = format!(
                        "queue '{}' has no dead letters, so what pipeline '{}' rejects would be lost",
                        quote(&queue.name),
                        quote(&pipeline.name)
                    );
                    let remedy = "add `dead_letter = { exchange = \"…\", queue = \"…\" }` (both are \
                                  declared and bound), \"policy\" where a policy on the broker sets \
                                  it, or \"discard\"";
                    self.notes.error(path, message, remedy);
                }
                (DeadLetter::To(target), _) => self.target(queue, target, &key),
                _ => {}
            }
        }
        self.shared_exchanges();
    }

    fn target(&self, queue: &Queue, target: &DeadLetterTarget, key: &str) {
        if !self.origins.brokers.contains(&target.broker) {
            return;
        }
        let known = self.kind_of(&target.broker, &target.exchange).is_some();
        if !known {
            self.exchange_exists(&target.broker, &target.exchange, &format!("{key}.exchange"));
            return;
        }
        if target.routing_key.as_deref() == Some(queue.name.as_str())
            && target.exchange.is_empty()
            && target.broker == queue.broker
        {
            let message = "this queue is its own dead-letter queue: what fails comes back for ever";
            self.notes.error(key, message, "name another queue");
            return;
        }
        let mut seen = BTreeSet::new();
        let caught = self.catches(
            &target.broker,
            &target.exchange,
            target.routing_key.as_deref(),
            &mut seen,
        );
        if caught || self.routing_is_broken() {
            return;
        }
        let message = match (target.exchange.as_str(), target.routing_key.as_deref()) {
            ("", None) => "the default exchange takes each dead letter to the queue that its own \
                           routing key names, so nothing is known to catch them all"
                .to_owned(),
            ("", Some(name)) => format!(
                "the default exchange takes dead letters to a queue named '{}', which isn't declared",
                quote(name)
            ),
            (name, None) => format!(
                "no queue behind exchange '{}' is known to catch every message, whatever its routing \
                 key: what it doesn't take is lost",
                quote(name)
            ),
            (name, Some(key)) => format!(
                "no queue behind exchange '{}' is known to catch messages with routing key '{}': they \
                 are lost",
                quote(name),
                quote(key)
            ),
        };
        let remedy = "add `queue = \"…\"` here (it is declared and bound), or bind a queue: to a fanout \
                      exchange, with `#` to a topic exchange, or with this `routing_key`";
        self.notes.error(key, message, remedy);
    }

    /// Whether every message with that routing key (`None` is any) reaches a queue of the config.
    fn catches<'a>(
        &'a self,
        broker: &str,
        name: &'a str,
        routing_key: Option<&str>,
        seen: &mut BTreeSet<&'a str>,
    ) -> bool {
        if !seen.insert(name) {
            return false;
        }
        let Some(kind) = self.kind_of(broker, name) else { return false };
        let queues = || self.config.queues.iter().filter(|q| q.broker == broker);
        if name.is_empty() {
            return queues().any(|q| routing_key == Some(q.name.as_str()) && !q.server_named);
        }
        if name == self.config.failures.exchange && self.exchange(broker, name).is_none() {
            return true;
        }
        let takes = |bindings: &[Binding]| {
            bindings.iter().any(|b| b.exchange == name && takes_all(kind, b, routing_key))
        };
        let exchanges: Vec<&Exchange> =
            self.config.exchanges.iter().filter(|e| e.broker == broker).collect();
        let alternate = self.exchange(broker, name).and_then(|(e, _)| e.alternate.as_deref());
        queues().any(|q| takes(&q.bind))
            || exchanges
                .iter()
                .any(|e| takes(&e.bind) && self.catches(broker, &e.name, routing_key, seen))
            || alternate.is_some_and(|name| self.catches(broker, name, routing_key, seen))
    }

    /// Whether something that routing depends on couldn't be read, so that nothing can be proved.
    fn routing_is_broken(&self) -> bool {
        let broken = |path: &String, keys: &[&str]| {
            keys.iter().any(|key| self.notes.is_broken(&format!("{path}.{key}")))
        };
        let exchanges = self.origins.exchanges.iter();
        let queues = self.origins.queues.iter();
        exchanges.into_iter().any(|path| broken(path, &["name", "kind", "bind", "alternate"]))
            || queues.into_iter().any(|path| broken(path, &["name", "bind"]))
    }

    /// Warns where the dead letters of one queue also land in another one's dead-letter queue.
    fn shared_exchanges(&self) {
        let caught =
            self.config.queues.iter().zip(&self.origins.queues).filter_map(|(queue, path)| {
                let own = self.notes.text_at(&format!("{path}.dead_letter.queue"))?;
                let DeadLetter::To(target) = &queue.dead_letter else { return None };
                (!target.exchange.is_empty()).then_some((target, own, path))
            });
        let caught: Vec<_> = caught.collect();
        for (index, (target, own, path)) in caught.iter().enumerate() {
            let Some(kind) = self.kind_of(&target.broker, &target.exchange) else { continue };
            let spills = caught[..index].iter().find(|(there, theirs, _)| {
                there.broker == target.broker
                    && there.exchange == target.exchange
                    && theirs != own
                    && (kind == ExchangeKind::Fanout || there.routing_key == target.routing_key)
            });
            if let Some((_, theirs, _)) = spills {
                let message = format!(
                    "the dead letters of this queue land in '{}' too: both are behind exchange '{}'",
                    quote(theirs),
                    quote(&target.exchange)
                );
                let remedy = "give each queue its own `routing_key` there (the exchange is then \
                              direct), its own exchange, or one dead-letter queue for both";
                self.notes.warn(&format!("{path}.dead_letter"), message, remedy);
            }
        }
    }
}

/// Whether a binding takes every message with that routing key; `None` is any routing key.
fn takes_all(kind: ExchangeKind, binding: &Binding, routing_key: Option<&str>) -> bool {
    match (kind, routing_key) {
        (ExchangeKind::Fanout, _) => true,
        (ExchangeKind::Direct, routing_key) => routing_key == Some(binding.key.as_str()),
        (ExchangeKind::Topic, Some(routing_key)) => topic_matches(&binding.key, routing_key),
        // Patterns of `#` alone take every key.
        (ExchangeKind::Topic, None) => {
            !binding.key.is_empty() && binding.key.split('.').all(|word| word == "#")
        }
        // Nothing asked for means everything taken, if all of it must be there.
        (ExchangeKind::Headers, _) => {
            let asked = binding.arguments.iter().any(|(name, _)| name != "x-match");
            let any = binding.arguments.text("x-match").is_some_and(|how| how.starts_with("any"));
            !asked && !any
        }
    }
}
