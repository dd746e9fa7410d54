//! Which queues hold dead letters, as the config tells.

use crate::config::{Config, DeadLetter, ExchangeKind, Queue, QueueKind};
use crate::limits::{DELIVERY_LIMIT, DLQ_DELIVERIES};
use crate::route::topic_matches;

#[cfg(test)]
mod tests;

/// A queue with dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name on the broker.
    pub queue: String,
    /// Its kind; `None` where the config doesn't have it.
    pub kind: Option<QueueKind>,
    /// Deliveries that its messages have, each look included; `None`: they aren't counted.
    pub deliveries: Option<u32>,
    /// The queues whose letters it catches.
    pub origins: Vec<String>,
}

/// The dead-letter queues of a broker's queues, each once.
#[must_use]
pub fn places(config: &Config, broker: &str) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let dies_here = |queue: &&Queue| matches!(&queue.dead_letter, DeadLetter::To(target) if target.broker == broker);
    for work in config.queues.iter().filter(dies_here) {
        for name in catching(config, work) {
            match places.iter_mut().find(|place| place.queue == name) {
                Some(place) => place.origins.push(work.name.clone()),
                None => places.push(Place {
                    origins: vec![work.name.clone()],
                    ..place(config, broker, &name)
                }),
            }
        }
    }
    places
}

/// A queue that somebody named.
#[must_use]
pub fn place(config: &Config, broker: &str, name: &str) -> Place {
    let known = config.queues.iter().find(|q| q.broker == broker && q.name == name);
    let kind = known.map(|queue| queue.kind);
    let deliveries = match kind {
        Some(QueueKind::Classic | QueueKind::Stream) => None,
        Some(QueueKind::Quorum) => {
            Some(known.and_then(|queue| queue.delivery_limit).unwrap_or(DELIVERY_LIMIT))
        }
        None => Some(DLQ_DELIVERIES),
    };
    Place { queue: name.to_owned(), kind, deliveries, origins: Vec::new() }
}

/// The queues that a queue's dead letters come to.
fn catching(config: &Config, work: &Queue) -> Vec<String> {
    let DeadLetter::To(target) = &work.dead_letter else { return Vec::new() };
    if target.exchange.is_empty() {
        return target.routing_key.iter().cloned().collect();
    }
    let exchange =
        config.exchanges.iter().find(|e| e.broker == target.broker && e.name == target.exchange);
    let kind = exchange.map_or(ExchangeKind::Fanout, |exchange| exchange.kind);
    let takes = |key: &str| match (kind, &target.routing_key) {
        (ExchangeKind::Fanout | ExchangeKind::Headers, _) | (_, None) => true,
        (ExchangeKind::Direct, Some(own)) => own == key,
        (ExchangeKind::Topic, Some(own)) => topic_matches(key, own),
    };
    let bound = |queue: &&Queue| {
        queue.broker == target.broker
            && queue.bind.iter().any(|b| b.exchange == target.exchange && takes(&b.key))
    };
    config.queues.iter().filter(bound).map(|queue| queue.name.clone()).collect()
}
