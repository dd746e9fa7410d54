//! Wakes a shard, which waits for events alone, when something of a lane is due.

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::shard::Event;

/// One lane's alarm. Rings once for each time that it is set.
#[derive(Debug)]
pub struct Alarm(watch::Sender<Option<Instant>>);

impl Alarm {
    /// An alarm that tells the shard that lane so; ends with either. Needs a runtime.
    #[must_use]
    pub fn start(lane: usize, shard: mpsc::Sender<Event>) -> Self {
        let (set, times) = watch::channel(None);
        tokio::spawn(ring(lane, shard, times));
        Self(set)
    }

    /// Rings then, or not at all, instead of when it was to ring before.
    pub fn set(&self, at: Option<Instant>) {
        self.0.send_if_modified(|time| std::mem::replace(time, at) != at);
    }
}

async fn ring(
    lane: usize,
    shard: mpsc::Sender<Event>,
    mut times: watch::Receiver<Option<Instant>>,
) {
    loop {
        let at = *times.borrow_and_update();
        if let Some(at) = at {
            tokio::select! {
                changed = times.changed() => if changed.is_ok() { continue } else { return },
                () = sleep_until(at) => {}
            }
            if shard.send(Event::Due(lane)).await.is_err() {
                return;
            }
        }
        if times.changed().await.is_err() {
            return;
        }
    }
}
