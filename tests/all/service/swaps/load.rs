//! Messages at a steady rate, and what comes of them.

#![allow(clippy::cast_possible_truncation, reason = "figures of a test: small ones")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use sluicegate::clock::Clock;
use tokio::task::JoinHandle;

use super::super::process::until;
use super::super::traffic::{Traffic, id};
use crate::rabbit::node;

/// Keys that messages are of, in turn.
const KEYS: u64 = 16;
/// Between two handfuls of messages.
const TICK: Duration = Duration::from_millis(20);

/// What messages ask for.
type Doing = Box<dyn Fn(u64) -> &'static str + Send + Sync>;

/// A publisher and a collector that run.
pub(super) struct Load {
    shared: Arc<Shared>,
    publishing: JoinHandle<()>,
    collecting: JoinHandle<()>,
}

struct Shared {
    doing: Mutex<Doing>,
    stop: AtomicBool,
    sent: AtomicU64,
    lines: Mutex<Vec<Line>>,
}

/// What a stage told of a message.
#[derive(Clone, Copy, Debug)]
struct Line {
    id: u64,
    n: u64,
    by: u64,
    latency: Duration,
}

/// All that came.
pub(super) struct Came {
    sent: u64,
    lines: Vec<Line>,
}

fn unix_us() -> u64 {
    Clock::system().now_us()
}

// === impl Load ===

impl Load {
    /// That many messages in a second from now on.
    pub(super) async fn start(name: &str, per_s: u64) -> Self {
        Self::doing(name, per_s, |_| "").await
    }

    /// The same, of messages that ask for something, by their number.
    pub(super) async fn doing(
        name: &str,
        per_s: u64,
        doing: impl Fn(u64) -> &'static str + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            doing: Mutex::new(Box::new(doing)),
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            lines: Mutex::default(),
        });
        let collecting = tokio::spawn(collect(Arc::clone(&shared), format!("{name}.out")));
        let publishing = tokio::spawn(publish(Arc::clone(&shared), format!("{name}.in"), per_s));
        Self { shared, publishing, collecting }
    }

    /// What every message asks for from now on.
    pub(super) fn does(&self, word: &'static str) {
        *self.shared.doing.lock().unwrap() = Box::new(move |_| word);
    }

    /// Lines that were told by that version.
    pub(super) fn counted_by(&self, version: u64) -> usize {
        self.shared.lock().iter().filter(|line| line.by == version).count()
    }

    /// Waits until so many lines more have come.
    pub(super) async fn await_lines(&self, more: usize) {
        let wanted = self.shared.lock().len() + more;
        tokio::task::block_in_place(|| until("lines come", || self.shared.lock().len() >= wanted));
    }

    /// How many lines have come.
    pub(super) fn lines(&self) -> usize {
        self.shared.lock().len()
    }

    /// Latencies of the lines from that one on, sorted.
    pub(super) fn latencies(&self, from: usize) -> Vec<Duration> {
        let mut found: Vec<Duration> =
            self.shared.lock()[from..].iter().map(|line| line.latency).collect();
        found.sort();
        found
    }

    /// Sends no more, and waits until nothing more comes.
    pub(super) async fn end(self) -> Came {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.publishing.await.unwrap();
        let sent = self.shared.sent.load(Ordering::SeqCst);
        let mut quiet = (Instant::now(), 0);
        tokio::task::block_in_place(|| {
            until("the last lines come", || {
                let lines = self.shared.lock();
                if lines.len() != quiet.1 {
                    quiet = (Instant::now(), lines.len());
                }
                lines.len() as u64 == 2 * sent || quiet.0.elapsed() > Duration::from_secs(5)
            });
        });
        self.collecting.abort();
        let lines = std::mem::take(&mut *self.shared.lock());
        Came { sent, lines }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn publish(shared: Arc<Shared>, queue: String, per_s: u64) {
    let traffic = Traffic::on(node()).await;
    let mut ticks = tokio::time::interval(TICK);
    let started = Instant::now();
    let mut confirms = Vec::new();
    let mut n = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        let due = (started.elapsed().as_secs_f64() * per_s as f64) as u64;
        while n < due {
            let word = shared.doing.lock().unwrap()(n);
            let body = format!(r#"{{"id":{n},"sent_us":{},"do":"{word}"}}"#, unix_us());
            let mut headers = FieldTable::default();
            let key = format!("k{}", n % KEYS);
            headers.insert("key".into(), AMQPValue::LongString(key.into()));
            let sent = traffic.raw.channel.basic_publish(
                "".into(),
                queue.as_str().into(),
                BasicPublishOptions::default(),
                body.as_bytes(),
                id(n).with_headers(headers).with_content_type("application/json".into()),
            );
            confirms.push(sent.await.unwrap());
            n += 1;
        }
        if confirms.len() > 1000 {
            for confirm in confirms.drain(..) {
                confirm.await.unwrap();
            }
        }
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    shared.sent.store(n, Ordering::SeqCst);
}

async fn collect(shared: Arc<Shared>, queue: String) {
    let raw = node().raw().await;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consumer =
        raw.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let mut consumer = consumer.await.unwrap();
    while let Some(Ok(delivery)) = consumer.next().await {
        let line: Value = serde_json::from_slice(&delivery.data).unwrap();
        let number = |name: &str| line[name].as_u64().unwrap();
        let latency = Duration::from_micros(unix_us().saturating_sub(number("sent_us")));
        let line = Line { id: number("id"), n: number("n"), by: number("by"), latency };
        shared.lock().push(line);
    }
}

// === impl Came ===

impl Came {
    /// Every message came out of both stages once, in order, of one version, and counted once.
    pub(super) fn assert_clean(&self) {
        self.assert_clean_but(0);
    }

    /// The same, where that many messages were rejected.
    pub(super) fn assert_clean_but(&self, rejected: usize) {
        let mut by_id: BTreeMap<u64, Vec<Line>> = BTreeMap::new();
        for line in &self.lines {
            by_id.entry(line.id).or_default().push(*line);
        }
        let lost: Vec<u64> = (0..self.sent).filter(|id| !by_id.contains_key(id)).collect();
        assert_eq!(lost.len(), rejected, "lost of {}: {:?}", self.sent, &lost[..lost.len().min(9)]);
        let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
        for (id, lines) in &by_id {
            let [first, second] = lines[..] else { panic!("{id} came {} times", lines.len()) };
            assert_eq!(first.by, second.by, "effects of two versions: {first:?} {second:?}");
            // Ids rise within a key, so this is the order and the count at once.
            let n = counted.entry(id % KEYS).or_default();
            *n += 1;
            assert_eq!((first.n, second.n), (*n, *n), "{id}: {first:?} {second:?}");
        }
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut seen: BTreeSet<u64> = BTreeSet::new();
        for line in self.lines.iter().filter(|line| seen.insert(line.id)) {
            let before = last.insert(line.id % KEYS, line.id);
            assert!(before.is_none_or(|before| before < line.id), "out of order: {line:?}");
        }
    }

    /// Every message was counted once, in order, however often it was told: a host that is killed tells
    /// again what it hadn't settled.
    pub(super) fn assert_counted(&self) {
        let mut counts: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for line in &self.lines {
            counts.entry(line.id).or_default().insert(line.n);
        }
        let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
        for id in 0..self.sent {
            let n = counted.entry(id % KEYS).or_default();
            *n += 1;
            assert_eq!(counts.get(&id), Some(&BTreeSet::from([*n])), "{id} of {}", self.sent);
        }
    }

    /// Messages that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// How many versions had a part.
    pub(super) fn versions(&self) -> usize {
        self.lines.iter().map(|line| line.by).collect::<BTreeSet<u64>>().len()
    }
}
