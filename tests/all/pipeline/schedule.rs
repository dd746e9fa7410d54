//! Random messages under random faults, by seed, against an oracle that knows each message's fate:
//! on every target, or dead-lettered with a report, never both, never neither.
//!
//! Real guests on real threads and a real clock, so a seed repeats its run nearly, not exactly; the
//! schedules that repeat to the letter are the host's own, in `host/src/service/tests`.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;
use sluicegate::admin::Command;
use sluicegate::message::Message;

use super::world::{MAIN, SINK, WORK, World, json, numbers, order, until};

const SEEDS: u64 = 200;
const MESSAGES: u64 = 80;
/// Worlds at a time.
const WORLDS: usize = 12;
const KEYS: u64 = 6;

/// A second target of every output.
const MIRROR: &str = r##"
[[queue]]
name = "mirror"
bind = [{ exchange = "out", key = "order.*" }]
"##;

/// What messages are told, and how often.
const ORDERS: [(&str, usize); 9] = [
    ("next", 18),
    ("done", 3),
    ("drop", 2),
    ("emit:2", 3),
    ("retry_until:2", 2),
    ("retry", 1),
    ("reject", 2),
    ("trap", 1),
    ("unroutable", 1),
];

#[tokio::test]
async fn every_message_has_exactly_one_fate_whatever_happens() {
    let trials = stream::iter(0..SEEDS).map(|seed| async move {
        let mut trial = Trial::new(seed).await;
        trial.run().await;
        trial.judge().await;
    });
    trials.buffer_unordered(WORLDS).collect::<()>().await;
}

/// One seed's messages, and what came of them.
struct Trial {
    seed: u64,
    random: Rng,
    world: World,
    orders: BTreeMap<u64, &'static str>,
    sink: Vec<Message>,
    mirror: Vec<Message>,
    dead: Vec<Message>,
    /// The ids in these three.
    seen: [BTreeSet<u64>; 3],
}

impl Trial {
    async fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let bag: Vec<&str> =
            ORDERS.iter().flat_map(|(what, n)| std::iter::repeat_n(*what, *n)).collect();
        let draw = |id| (id, bag[random.usize(..bag.len())]);
        let orders = (0..MESSAGES).map(draw).collect();
        let world = World::start(&[WORK, SINK, MIRROR, MAIN]).await;
        let (sink, mirror, dead, seen) = Default::default();
        Self { seed, random, world, orders, sink, mirror, dead, seen }
    }

    /// Publishes everything, a few at a time, and lets things go wrong in between.
    async fn run(&mut self) {
        let mut published = 0;
        while published < MESSAGES {
            self.healthy();
            let until = (published + self.random.u64(1..40)).min(MESSAGES);
            let orders = (published..until).map(|id| order(id, &key(id), self.orders[&id]));
            self.world.publish(orders).await;
            published = until;
            for _ in 0..self.random.usize(..3) {
                self.disturb();
                for _ in 0..self.random.usize(..400) {
                    tokio::task::yield_now().await;
                }
            }
        }
        self.healthy();
        self.world.control(Command::Resume("main".to_owned()));
    }

    fn healthy(&self) {
        self.world.broker.refuse_publishes(false);
        self.world.broker.lose_confirms(false);
    }

    fn disturb(&mut self) {
        let broker = &self.world.broker;
        match self.random.u8(..7) {
            0 => broker.drop_connections(),
            1 => broker.refuse_publishes(true),
            2 => broker.lose_confirms(true),
            3 => self.world.control(Command::Pause("main".to_owned())),
            4 | 5 => self.world.control(Command::Resume("main".to_owned())),
            _ => self.healthy(),
        }
    }

    fn collect(&mut self) {
        let queues = ["sink", "mirror", "dead"].map(|queue| self.world.rest(queue));
        let kept = [&mut self.sink, &mut self.mirror, &mut self.dead];
        for ((new, kept), seen) in queues.into_iter().zip(kept).zip(&mut self.seen) {
            seen.extend(numbers(&new, "id"));
            kept.extend(new);
        }
    }

    async fn judge(mut self) {
        let good = |what: &str| !matches!(what, "retry" | "reject" | "trap" | "unroutable");
        let wanted: BTreeSet<u64> =
            self.orders.iter().filter(|(_, what)| good(what)).map(|(id, _)| *id).collect();
        let doomed: BTreeSet<u64> =
            self.orders.keys().filter(|id| !wanted.contains(id)).copied().collect();
        let seed = self.seed;
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(2));
        super::world::within(&format!("seed {seed}: every message ends"), async {
            loop {
                self.collect();
                let [sink, mirror, dead] = &self.seen;
                if sink.is_superset(&wanted) && mirror.is_superset(&wanted) && *dead == doomed {
                    break;
                }
                looks.tick().await;
            }
        })
        .await;
        self.world.settled("work").await;
        until("nothing is held", || self.world.figures().in_flight == 0).await;
        self.collect();

        self.dead_letters(&doomed);
        let spoilt: BTreeSet<u64> = self
            .orders
            .iter()
            .filter(|(_, what)| **what == "unroutable")
            .map(|(id, _)| id % KEYS)
            .collect();
        for target in [&self.sink, &self.mirror] {
            self.outputs(target, &wanted);
            self.order(target, &wanted);
        }
        self.counts(&wanted, &spoilt);
        self.probe(&wanted).await;
        self.world.end().await;
    }

    /// Each has a report, and was dead-lettered once, unless a copy of it was made twice.
    fn dead_letters(&self, doomed: &BTreeSet<u64>) {
        let seed = self.seed;
        let reports = self.world.reports().into_iter().chain(self.world.journal());
        let reported: BTreeSet<String> =
            reports.filter_map(|report| report["message_id"].as_str().map(str::to_owned)).collect();
        let expected: BTreeSet<String> = doomed.iter().map(|id| format!("m{id}")).collect();
        assert_eq!(reported, expected, "seed {seed}: dead letters and their reports");
        let mut once = BTreeSet::new();
        for id in numbers(&self.dead, "id") {
            let first = once.insert(id);
            assert!(first || self.orders[&id] == "retry", "seed {seed}: {id} died twice");
        }
    }

    /// No output of a failure, but what was out before it turned out to be one; as many ids as
    /// emissions, so that copies can be told.
    fn outputs(&self, target: &[Message], wanted: &BTreeSet<u64>) {
        let seed = self.seed;
        let mut derived: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        for message in target {
            let id = json(message)["id"].as_u64().expect("an id");
            let out = wanted.contains(&id) || self.orders[&id] == "unroutable";
            assert!(out, "seed {seed}: {id}, told '{}', has outputs", self.orders[&id]);
            let message_id = message.properties.message_id.as_deref().expect("a derived id");
            derived.entry(id).or_default().insert(message_id);
        }
        for (id, ids) in derived {
            let emissions = if self.orders[&id] == "emit:2" { 2 } else { 1 };
            assert_eq!(ids.len(), emissions, "seed {seed}: ids of outputs of {id}");
        }
    }

    /// First outputs of a key are in order, retried ones apart.
    fn order(&self, target: &[Message], wanted: &BTreeSet<u64>) {
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for id in numbers(target, "id") {
            if seen.insert(id) && wanted.contains(&id) && self.orders[&id] != "retry_until:2" {
                let before = last.insert(id % KEYS, id);
                assert!(before < Some(id), "seed {}: {id} came after {before:?}", self.seed);
            }
        }
    }

    /// Where nothing was rewound after its outputs were out, each message counted once in all copies.
    fn counts(&self, wanted: &BTreeSet<u64>, spoilt: &BTreeSet<u64>) {
        let mut counts: BTreeMap<u64, BTreeSet<(u64, u64)>> = BTreeMap::new();
        for line in self.sink.iter().map(json) {
            let number = |field: &str| Value::as_u64(&line[field]).expect("a number");
            counts.entry(number("id") % KEYS).or_default().insert((number("n"), number("id")));
        }
        for (key, counts) in counts.iter().filter(|(key, _)| !spoilt.contains(key)) {
            let expected = wanted.iter().filter(|id| *id % KEYS == *key).count() as u64;
            let counted = counts.iter().map(|(n, _)| *n);
            assert!(counted.eq(1..=expected), "seed {}: key {key}: {counts:?}", self.seed);
        }
    }

    /// The state that is left of each key has counted what succeeded, and nothing else.
    async fn probe(&self, wanted: &BTreeSet<u64>) {
        let first = MESSAGES.next_multiple_of(KEYS);
        self.world.publish((first..first + KEYS).map(|id| order(id, &key(id), "next"))).await;
        for line in self.world.take("sink", usize::try_from(KEYS).unwrap()).await.iter().map(json) {
            let id = line["id"].as_u64().expect("an id");
            let counted = wanted.iter().filter(|other| *other % KEYS == id % KEYS).count();
            assert_eq!(line["n"], counted as u64 + 1, "seed {}: key {}", self.seed, id % KEYS);
        }
    }
}

fn key(id: u64) -> String {
    format!("k{}", id % KEYS)
}
