//! A lane without its shard: the test is its publisher and its broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Lane;
use crate::broker::{Receipt, Settlement, Settler};
use crate::clock::Clock;
use crate::config::{BatchLimits, IdWindow, Output, Retry, Unroutable};
use crate::pipeline::address::{Addresses, OutputTarget, Planned, Role};
use crate::pipeline::crash::CrashJournal;
use crate::pipeline::fixture::{self, Double, Settled as Ledger};
use crate::pipeline::flight::InFlight;
use crate::pipeline::headers::History;
use crate::pipeline::identity::Identity;
use crate::pipeline::journal::Journal;
use crate::pipeline::judge::{Policy, Terminal};
use crate::pipeline::keeping::Keeping;
use crate::pipeline::publishing::{Done, Fate};
use crate::pipeline::shape::Shape;
use crate::pipeline::spread::{CurrentSpread, Spread};
use crate::plugin::{Batch, CallError, Decisions, StateChange};
use crate::state::{MemoryStore, Place};
use crate::telemetry::Telemetry;
use crate::verdict::{Decision, Emission, Verdict};

/// Counts per key and emits the count; rejects a body `reject`, and asks for a retry of the first
/// attempt of one that starts with `late`.
#[derive(Default)]
pub(super) struct Counter {
    pub(super) ran: Vec<String>,
    /// The generations of the states that it was handed.
    pub(super) handed: Vec<u64>,
}

impl Double for Counter {
    fn process(&mut self, _: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        self.handed.extend(batch.states.iter().map(|slot| slot.generation));
        let count = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<u64>().unwrap();
        let mut counts: Vec<u64> =
            batch.states.iter().map(|slot| slot.bytes.as_deref().map_or(0, count)).collect();
        let messages = batch.messages.iter().map(|message| {
            let text = String::from_utf8(message.body.to_vec()).unwrap();
            self.ran.push(text.clone());
            if text.starts_with("late") && message.attempt == 1 {
                let (code, after) = ("late".to_owned(), None);
                return Verdict::Retry { code, text, after }.into();
            }
            if text == "reject" {
                return Verdict::Reject { code: "no".to_owned(), text }.into();
            }
            let n = message.slot.map_or(0, |slot| {
                counts[slot as usize] += 1;
                counts[slot as usize]
            });
            let emission = Emission {
                output: "out".to_owned(),
                body: Some(Bytes::from(format!("{text}={n}"))),
                ..Emission::default()
            };
            Decision { verdict: Verdict::Done, emissions: vec![emission] }
        });
        let messages = messages.collect();
        let states = counts.iter().map(|n| StateChange::Set(Bytes::from(n.to_string())));
        Ok(Decisions { messages, states: states.collect(), timers: Vec::new() })
    }
}

/// A lane whose publisher is the test.
pub(super) struct Bench {
    pub(super) lane: Lane,
    pub(super) groups: mpsc::Receiver<Vec<Planned>>,
    pub(super) counter: Counter,
    settled: Arc<Ledger>,
    pub(super) folder: tempfile::TempDir,
    tags: u64,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::made(Retry::never(), |_| ())
    }

    /// With that policy of retries.
    pub(super) fn with(retry: Retry) -> Self {
        Self::made(retry, |_| ())
    }

    /// On a state folder in which something happened before.
    pub(super) fn after(past: impl FnOnce(&std::path::Path)) -> Self {
        Self::made(Retry::never(), past)
    }

    fn made(retry: Retry, past: impl FnOnce(&std::path::Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        past(folder.path());
        let output = Output {
            broker: "main".to_owned(),
            exchange: "out".to_owned(),
            routing_key: None,
            unroutable: Unroutable::Fail,
        };
        let shape = Shape {
            spread: Arc::new(CurrentSpread::new(Spread::over(1))),
            widest: 1,
            clock: Clock::system(),
            index: 0,
            name: "p".to_owned(),
            stages: vec![fixture::stage("counter")],
            plugins: Vec::new(),
            observers: Arc::new([]),
            policy: Policy { retry, delays: true, terminal: Terminal::Nack },
            addresses: Addresses {
                pipeline: "p".to_owned(),
                queue: "work".to_owned(),
                broker: 0,
                outputs: vec![OutputTarget { name: "out".to_owned(), broker: 0, output }],
                key_header: None,
                failures: "failures".to_owned(),
                host: "h".to_owned(),
            },
            batch: BatchLimits { messages: 100, least: 1, bytes: 1 << 20 },
            places: Place::of_stages("p", ["counter"]),
            state_keys: 1000,
            timer_keys: 1000,
            state_cache: 1 << 20,
            state_ttl: None,
            id_window: IdWindow { age: Duration::from_secs(600), entries: 100 },
            in_flight: Arc::new(InFlight::default()),
            metrics: Telemetry::new().pipeline("p"),
            breaker: Arc::default(),
            crashes: Arc::new(CrashJournal::open(folder.path(), &Clock::system())),
            journal: Arc::new(Journal::new(folder.path())),
        };
        let (publisher, groups) = mpsc::channel(1);
        let keeping = Keeping::here(MemoryStore::new());
        let lane = Lane::new(Arc::new(shape), 0, publisher, keeping);
        let settled = Arc::new(Ledger(Mutex::default()));
        Self { lane, groups, counter: Counter::default(), settled, folder, tags: 0 }
    }

    /// The same lane of another shape.
    pub(super) fn reshape(&mut self, change: impl FnOnce(&mut Shape)) {
        let mut shape = std::mem::replace(&mut self.lane.shape, Self::new().lane.shape);
        change(Arc::get_mut(&mut shape).unwrap());
        self.lane.shape = shape;
    }

    /// A message arrives; its tag.
    pub(super) fn arrives(&mut self, consumer: u64, key: &str, body: &str) -> u64 {
        self.delivered(consumer, key, body, false)
    }

    /// The broker brings a message back; its new tag.
    pub(super) fn arrives_again(&mut self, consumer: u64, key: &str, body: &str) -> u64 {
        self.delivered(consumer, key, body, true)
    }

    fn delivered(&mut self, consumer: u64, key: &str, body: &str, redelivered: bool) -> u64 {
        self.tags += 1;
        let mut job = fixture::job(key, 0, body);
        let id = format!("{key}/{body}");
        job.identity = Some(Identity::new(
            id.as_bytes(),
            job.key.as_deref(),
            body.as_bytes(),
            &History::default(),
        ));
        job.seed = job.identity.unwrap().whole;
        job.consumer = consumer;
        job.redelivered = redelivered;
        job.receipt = Receipt::new(Arc::clone(&self.settled) as Arc<dyn Settler>, self.tags);
        self.lane.shape.in_flight.entered(1, &self.lane.shape.metrics);
        self.lane.arrived(job);
        self.tags
    }

    pub(super) fn work(&mut self) {
        assert!(self.lane.work(&mut self.counter, usize::MAX, 1_000_000));
    }

    /// What the publisher was handed last.
    pub(super) fn handed(&mut self) -> Vec<Planned> {
        self.groups.try_recv().expect("a group is handed over")
    }

    /// The same, where there is one.
    pub(super) fn next_group(&mut self) -> Option<Vec<Planned>> {
        self.groups.try_recv().ok()
    }

    pub(super) fn is_idle(&mut self) -> bool {
        self.groups.try_recv().is_err()
    }

    /// The publisher answers; what isn't said is safe.
    pub(super) fn answers(&mut self, items: Vec<Planned>, fate: impl Fn(&str) -> Fate) {
        let fates = items.iter().map(|item| fate(&body(item))).collect();
        self.lane.published(Done { items, fates });
    }

    pub(super) fn settled(&self) -> Vec<(u64, Settlement)> {
        std::mem::take(&mut self.settled.0.lock().unwrap())
    }

    pub(super) fn held(&self) -> usize {
        self.lane.shape.in_flight.held()
    }
}

fn body(item: &Planned) -> String {
    match item.role {
        Role::Report => "report".to_owned(),
        _ => String::from_utf8(item.message.body.to_vec()).unwrap(),
    }
}

pub(super) fn bodies(items: &[Planned]) -> Vec<String> {
    items.iter().map(body).collect()
}
