//! Whether dead letters come back to where they failed. That they are caught at all is proved where
//! the config is read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::routing::{Keys, Routes, Share};
use super::{Finding, Severity};
use crate::config::{Config, DeadLetter, DeadLetterTarget, Queue};

pub(super) fn check(config: &Config, broker: &str, found: &mut Vec<Finding>) {
    found.extend(cycles(config, &Routes::new(config, broker)));
}

fn is_consumed(config: &Config, queue: &Queue) -> bool {
    config.pipelines.iter().any(|p| p.queue == queue.name && p.broker == queue.broker)
}

/// The sets of keys with which the queue's dead letters arrive at their exchange.
fn keys<'a>(routes: &Routes<'a>, queue: &'a Queue, target: &'a DeadLetterTarget) -> Vec<Keys<'a>> {
    match &target.routing_key {
        Some(key) => vec![Keys::One(key)],
        None => routes.keys_in(queue),
    }
}

/// One step of a dead letter: through which exchange, and how many go that way.
struct Step<'a> {
    exchange: &'a str,
    share: Share,
}

/// From each queue to those that get its dead letters.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Step<'a>>>;

fn graph<'a>(routes: &Routes<'a>) -> Graph<'a> {
    let mut graph = Graph::new();
    for queue in routes.queues() {
        let DeadLetter::To(target) = &queue.dead_letter else { continue };
        let steps = graph.entry(queue.name.as_str()).or_default();
        for keys in keys(routes, queue, target) {
            for (to, share) in routes.reach(&target.exchange, &keys) {
                let step = Step { exchange: target.exchange.as_str(), share };
                let had = steps.entry(to).or_insert(step);
                had.share = had.share.max(share);
            }
        }
    }
    graph
}

/// The shortest cycle through each queue that is on one, each cycle once.
fn cycles(config: &Config, routes: &Routes<'_>) -> Vec<Finding> {
    let graph = graph(routes);
    let mut told: BTreeSet<BTreeSet<&str>> = BTreeSet::new();
    let mut found = Vec::new();
    for start in graph.keys() {
        let Some(path) = shortest_cycle(&graph, start) else { continue };
        if told.insert(path.iter().copied().collect()) {
            found.push(cycle(config, routes, &graph, &path));
        }
    }
    found
}

fn shortest_cycle<'a>(graph: &Graph<'a>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(queue) = waiting.pop_front() {
        for &next in graph.get(queue).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut path = vec![queue];
                let mut at = queue;
                while at != start {
                    at = from.get(at)?;
                    path.push(at);
                }
                path.reverse();
                return Some(path);
            }
            if !from.contains_key(next) {
                from.insert(next, queue);
                waiting.push_back(next);
            }
        }
    }
    None
}

fn cycle(config: &Config, routes: &Routes<'_>, graph: &Graph<'_>, path: &[&str]) -> Finding {
    let ahead = path.iter().cycle().skip(1);
    let (mut way, mut sure) = (String::new(), true);
    for (at, next) in path.iter().zip(ahead) {
        way.push_str(&format!("queue '{at}' → "));
        if let Some(step) = graph.get(at).and_then(|steps| steps.get(next)) {
            way.push_str(&format!("exchange '{}' → ", step.exchange));
            sure &= step.share == Share::Always;
        }
    }
    let start = path.first().copied().unwrap_or_default();
    way.push_str(&format!("queue '{start}'"));
    let on_it = || routes.queues().filter(|queue| path.contains(&queue.name.as_str()));
    let consumed = on_it().any(|queue| is_consumed(config, queue));
    let waits = on_it().any(|queue| queue.message_ttl.is_some() && !is_consumed(config, queue));
    let (severity, what) = match (consumed, waits) {
        (true, false) => (Severity::Error, "a rejected message comes straight back, for ever"),
        (true, true) => (
            Severity::Warning,
            "a rejected message comes back when its time there is over, for ever; the host's own \
             retry ends after its attempts",
        ),
        (false, _) => {
            (Severity::Error, "RabbitMQ drops a message that comes round without a rejection")
        }
    };
    let severity = if sure { severity } else { Severity::Warning };
    let may = if sure { "" } else { "possible " };
    let text = format!(
        "{may}dead-letter cycle: {way}; {what}. Let one of these exchanges lead to a queue that \
         has no dead_letter of its own"
    );
    Finding::new(severity, format!("queue '{start}'"), text)
}
