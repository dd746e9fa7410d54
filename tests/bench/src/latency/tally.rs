//! When each message was published, settled, and told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::method::quantile;

/// The times of a run, by the messages' numbers.
pub(super) struct Tally {
    begun: Instant,
    sent: Vec<AtomicU64>,
    settled: Vec<AtomicU64>,
    told: Vec<AtomicU64>,
    published: AtomicUsize,
    done: AtomicUsize,
    out: AtomicUsize,
}

/// Milliseconds, of most and of nearly all.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Quantiles {
    /// Half are faster.
    pub p50: f64,
    /// Of a hundred, one is slower.
    pub p99: f64,
    /// Of a thousand, one is slower.
    pub p999: f64,
}

impl Tally {
    /// For that many messages.
    pub(super) fn new(messages: usize) -> Arc<Self> {
        let times = || (0..messages).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            begun: Instant::now(),
            sent: times(),
            settled: times(),
            told: times(),
            published: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            out: AtomicUsize::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// That message is about to be published.
    pub(super) fn sent(&self, number: usize) {
        if let Some(at) = self.sent.get(number) {
            at.store(self.now(), Ordering::Relaxed);
            self.published.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// That message was settled.
    pub(super) fn settled(&self, number: usize) {
        note(&self.settled, number, self.now(), &self.done);
    }

    /// What was decided of that message is there.
    pub(super) fn told(&self, number: usize) {
        note(&self.told, number, self.now(), &self.out);
    }

    /// Messages that were published and aren't settled.
    pub(super) fn open(&self) -> usize {
        let done = self.done.load(Ordering::Relaxed);
        self.published.load(Ordering::Relaxed).saturating_sub(done)
    }

    /// Waits until all that was published is settled, and told of if that is to come.
    pub(super) async fn all(&self, patience: Duration, outputs: bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            let published = self.published.load(Ordering::Relaxed);
            let out = self.out.load(Ordering::Relaxed);
            if self.open() == 0 && (!outputs || out == published) {
                return Ok(());
            }
            let open = self.open();
            anyhow::ensure!(Instant::now() < deadline, "{open} open, {out} told of {published}");
        }
    }

    /// From the producer to the settlement, of messages from that number on.
    pub(super) fn settlements(&self, from: usize) -> Quantiles {
        self.quantiles(&self.settled, from)
    }

    /// From the producer to the output.
    pub(super) fn outputs(&self, from: usize) -> Quantiles {
        self.quantiles(&self.told, from)
    }

    fn quantiles(&self, times: &[AtomicU64], from: usize) -> Quantiles {
        let pairs = self.sent.iter().zip(times).skip(from);
        let ms = pairs.filter_map(|(sent, at)| {
            let (sent, at) = (sent.load(Ordering::Relaxed), at.load(Ordering::Relaxed));
            (sent > 0 && at > 0)
                .then(|| Duration::from_nanos(at.saturating_sub(sent)).as_secs_f64() * 1e3)
        });
        let ms: Vec<f64> = ms.collect();
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|at| quantile(&ms, at));
        Quantiles { p50, p99, p999 }
    }
}

fn note(times: &[AtomicU64], number: usize, now: u64, count: &AtomicUsize) {
    // What comes twice counts when it first came.
    let first = times
        .get(number)
        .map(|at| at.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok());
    if first == Some(true) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}
