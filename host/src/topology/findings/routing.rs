//! Where messages go by what a config says alone: not for one message with its key, but for all the
//! keys that a queue's messages can have.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Binding, Config, DeadLetter, Exchange, ExchangeKind, Queue};
use crate::route::topic_matches;
use crate::topology::{is_private, queue_of};

/// A set of routing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keys<'a> {
    /// Nothing is known.
    Any,
    /// This one.
    One(&'a str),
    /// Those that a topic pattern takes.
    Topic(&'a str),
}

/// How much of a set of messages goes some way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Share {
    /// None of them.
    Never,
    /// Some, or it can't be said.
    Sometimes,
    /// All of them.
    Always,
}

/// The exchanges and queues of one broker.
pub(super) struct Routes<'a> {
    config: &'a Config,
    broker: &'a str,
}

/// Queues that get some or all of the messages.
pub(super) type Reached<'a> = BTreeMap<&'a str, Share>;

impl<'a> Routes<'a> {
    pub(super) fn new(config: &'a Config, broker: &'a str) -> Self {
        Self { config, broker }
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &'a Queue> {
        let broker = self.broker;
        self.config.queues.iter().filter(move |queue| queue.broker == broker)
    }

    fn exchanges(&self) -> impl Iterator<Item = &'a Exchange> {
        let broker = self.broker;
        self.config.exchanges.iter().filter(move |exchange| exchange.broker == broker)
    }

    /// The kind of an exchange that the config declares or that every broker has.
    fn kind(&self, name: &str) -> Option<ExchangeKind> {
        let declared = self.exchanges().find(|exchange| exchange.name == name);
        declared.map(|exchange| exchange.kind).or(match name {
            "" | "amq.direct" => Some(ExchangeKind::Direct),
            "amq.topic" => Some(ExchangeKind::Topic),
            "amq.fanout" => Some(ExchangeKind::Fanout),
            "amq.headers" | "amq.match" => Some(ExchangeKind::Headers),
            _ => None,
        })
    }

    /// The routing keys of messages in that queue, as far as its bindings say.
    pub(super) fn keys_in(&self, queue: &'a Queue) -> Vec<Keys<'a>> {
        let mut keys: Vec<Keys<'a>> = queue
            .bind
            .iter()
            .map(|binding| match self.kind(&binding.exchange) {
                Some(ExchangeKind::Direct) => Keys::One(&binding.key),
                Some(ExchangeKind::Topic) => Keys::Topic(&binding.key),
                Some(ExchangeKind::Fanout | ExchangeKind::Headers) | None => Keys::Any,
            })
            .collect();
        let by_name = self.queues().any(|other| {
            matches!(&other.dead_letter, DeadLetter::To(target)
                if target.exchange.is_empty() && target.routing_key.as_ref() == Some(&queue.name))
        });
        if by_name || keys.is_empty() || self.returns_by_name(queue) {
            keys.push(Keys::One(&queue.name));
        }
        keys
    }

    /// Whether messages come back from delay queues, with the queue's name for a routing key.
    fn returns_by_name(&self, queue: &Queue) -> bool {
        let mut pipelines = self.config.pipelines.iter();
        !is_private(queue)
            && pipelines.any(|pipeline| {
                !pipeline.retry.rungs_used().is_empty()
                    && queue_of(self.config, pipeline).is_some_and(|of| std::ptr::eq(of, queue))
            })
    }

    /// Where messages with those keys go from that exchange.
    pub(super) fn reach(&self, exchange: &str, keys: &Keys<'_>) -> Reached<'a> {
        let mut reached = Reached::new();
        self.follow(exchange, keys, Share::Always, &mut reached, &mut BTreeSet::new());
        reached
    }

    /// Adds what is reached from `exchange`, which gets `share` of the messages.
    fn follow(
        &self,
        exchange: &str,
        keys: &Keys<'_>,
        share: Share,
        reached: &mut Reached<'a>,
        visited: &mut BTreeSet<String>,
    ) {
        if share == Share::Never || !visited.insert(exchange.to_owned()) {
            return;
        }
        if exchange.is_empty() {
            // The default exchange: to the queue that the key names.
            let named = self.queues().find(|queue| *keys == Keys::One(&queue.name));
            return add(reached, named.map(|queue| queue.name.as_str()), share);
        }
        let kind = self.kind(exchange);
        let mut taken = Share::Never;
        for queue in self.queues() {
            for binding in queue.bind.iter().filter(|binding| binding.exchange == exchange) {
                let takes = takes(kind, binding, keys);
                // A private queue is there only while its consumer is.
                let there = if is_private(queue) { Share::Sometimes } else { Share::Always };
                add(reached, Some(&queue.name), takes.min(there).min(share));
                taken = taken.max(takes);
            }
        }
        for next in self.exchanges() {
            for binding in next.bind.iter().filter(|binding| binding.exchange == exchange) {
                let takes = takes(kind, binding, keys);
                self.follow(&next.name, keys, takes.min(share), reached, visited);
                taken = taken.max(takes);
            }
        }
        let own = self.exchanges().find(|own| own.name == exchange);
        if let Some(alternate) = own.and_then(|own| own.alternate.as_deref()) {
            let rest = match taken {
                Share::Never => share,
                Share::Sometimes => Share::Sometimes,
                Share::Always => Share::Never,
            };
            self.follow(alternate, keys, rest, reached, visited);
        }
    }
}

fn add<'a>(reached: &mut Reached<'a>, queue: Option<&'a str>, share: Share) {
    if let Some(queue) = queue.filter(|_| share > Share::Never) {
        let had = reached.entry(queue).or_insert(share);
        *had = share.max(*had);
    }
}

/// How many messages with those keys a binding takes.
fn takes(kind: Option<ExchangeKind>, binding: &Binding, keys: &Keys<'_>) -> Share {
    let key = binding.key.as_str();
    let some = |overlap: bool| if overlap { Share::Sometimes } else { Share::Never };
    let all = |all: bool| if all { Share::Always } else { Share::Never };
    match (kind, keys) {
        (Some(ExchangeKind::Fanout), _) => Share::Always,
        (Some(ExchangeKind::Headers) | None, _) => Share::Sometimes,
        (Some(ExchangeKind::Direct), Keys::Any) => Share::Sometimes,
        (Some(ExchangeKind::Direct), Keys::One(one)) => all(key == *one),
        (Some(ExchangeKind::Direct), Keys::Topic(topic)) => {
            if key == *topic && !is_pattern(topic) {
                Share::Always
            } else {
                some(topic_matches(topic, key))
            }
        }
        (Some(ExchangeKind::Topic), Keys::Any) => {
            if relate(key, "#", Relation::Covers) {
                Share::Always
            } else {
                Share::Sometimes
            }
        }
        (Some(ExchangeKind::Topic), Keys::One(one)) => all(topic_matches(key, one)),
        (Some(ExchangeKind::Topic), Keys::Topic(topic)) => {
            if relate(key, topic, Relation::Covers) {
                Share::Always
            } else {
                some(relate(key, topic, Relation::Overlaps))
            }
        }
    }
}

fn is_pattern(topic: &str) -> bool {
    topic.split('.').any(|word| word == "*" || word == "#")
}

/// What may hold between two topic patterns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// The first takes every key that the second takes.
    Covers,
    /// Some key is taken by both.
    Overlaps,
}

/// Whether the relation holds. Time and room are bounded by the product of the numbers of words.
fn relate(first: &str, second: &str, relation: Relation) -> bool {
    let words = |pattern: &'_ str| -> Vec<String> {
        let words = pattern.split('.').map(str::to_owned);
        if pattern.is_empty() { Vec::new() } else { words.collect() }
    };
    let (first, second) = (words(first), words(second));
    let overlaps = relation == Relation::Overlaps;
    // `holds[i][j]`: the relation holds between what follows from the ith and the jth word.
    let mut holds = vec![vec![false; second.len() + 2]; first.len() + 2];
    for i in (0..=first.len()).rev() {
        for j in (0..=second.len()).rev() {
            let (a, b) = (first.get(i).map(String::as_str), second.get(j).map(String::as_str));
            holds[i][j] = match (a, b) {
                (None, None) => true,
                (Some("#"), _) => holds[i + 1][j] || (b.is_some() && holds[i][j + 1]),
                (_, Some("#")) => overlaps && (holds[i][j + 1] || (a.is_some() && holds[i + 1][j])),
                (Some(a), Some(b)) => {
                    (a == "*" || a == b || (overlaps && b == "*")) && holds[i + 1][j + 1]
                }
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
    }
    holds[0][0]
}
