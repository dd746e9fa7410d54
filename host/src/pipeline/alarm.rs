//! Wakes a shard, which waits for events alone, when something of a lane is due.

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::shard::Event;
use crate::clock::Clock;

/// One lane's alarm. Rings once for each time that it is set.
#[derive(Debug)]
pub struct Alarm(watch::Sender<Times>);

/// When it rings: as soon as one of them has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When a key has waited long enough.
    pub parked: Option<Instant>,
    /// When a timer is due by the wall clock, microseconds since 1970.
    pub due_us: Option<u64>,
}

impl Alarm {
    /// An alarm that tells the shard that lane so; ends with either. Needs a runtime.
    #[must_use]
    pub fn start(lane: usize, shard: mpsc::Sender<Event>, clock: Clock) -> Self {
        let (set, times) = watch::channel(Times::default());
        tokio::spawn(ring(lane, shard, times, clock));
        Self(set)
    }

    /// Rings then, or not at all, instead of when it was to ring before.
    pub fn set(&self, times: Times) {
        self.0.send_if_modified(|now| std::mem::replace(now, times) != times);
    }

    /// It rang, and that was heard: the same times are new ones from now on.
    pub fn heard(&self) {
        self.0.send_if_modified(|now| {
            *now = Times::default();
            false
        });
    }
}

async fn ring(
    lane: usize,
    shard: mpsc::Sender<Event>,
    mut times: watch::Receiver<Times>,
    clock: Clock,
) {
    loop {
        let Times { parked, due_us } = *times.borrow_and_update();
        tokio::select! {
            biased;
            changed = times.changed() => if changed.is_ok() { continue } else { return },
            () = wait(parked, sleep_until) => {}
            () = wait(due_us, |due_us| clock.reached(due_us)) => {}
        }
        if shard.send(Event::Due(lane)).await.is_err() || times.changed().await.is_err() {
            return;
        }
    }
}

/// Waits for a time, where there is one.
async fn wait<T, F: Future<Output = ()>>(time: Option<T>, waiting: impl FnOnce(T) -> F) {
    match time {
        Some(time) => waiting(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
