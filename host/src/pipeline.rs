//! A queue's life: intake, shards, judgement, publishing, settlement.
//!
//! ```text
//! intake ──► prepare ──► shard: lane ──► stages ──► address ──► publishing ──► settle
//! (tokio)    key, id     (thread)        plugins    outputs     (tokio)        ack / nack / release
//! ```
//!
//! | file | what it decides |
//! |---|---|
//! | `intake`, `ramp`, `breaker` | what is consumed, how much of it at once, and when it is given back |
//! | `prepare`, `headers`, `field`, `identity` | what a delivery is: original, key, identity, attempt |
//! | `shard`, `shape`, `lane`, `backlog`, `alarm` | what runs next, what waits for its key, and what is undone when something can't be published |
//! | `stages`, `instances`, `slot` | a batch through the plugins, one failing message apart from all others; which version serves |
//! | `observe` | who looks on while plugins are called |
//! | `crash` | which messages hosts died with, and who runs alone |
//! | `judge` | what becomes of a failure |
//! | `address`, `publishing`, `journal` | what is sent where, and whether it arrived |

pub mod address;
pub mod alarm;
pub mod backlog;
mod backoff;
pub mod breaker;
pub mod crash;
pub mod field;
#[cfg(test)]
mod fixture;
pub mod flight;
pub mod headers;
pub mod identity;
pub mod instances;
pub mod intake;
pub mod job;
pub mod journal;
pub mod judge;
pub mod lane;
pub mod observe;
mod plugins;
pub mod prepare;
pub mod publishing;
pub mod ramp;
pub mod shape;
pub mod shard;
pub mod slot;
pub mod stages;
mod start;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::backoff::Backoff;
use self::crash::CrashJournal;
pub use self::intake::{Readiness, State, Want};
pub use self::plugins::{load as load_plugins, load_all as load_all_plugins};
use self::shard::{Event, Shard};
pub use self::start::{Setup, StartError};

/// All pipelines of a host, running.
pub struct Pipelines {
    lanes: Vec<Handle>,
    shards: Vec<mpsc::Sender<Event>>,
    abandon: CancellationToken,
    crashes: Arc<CrashJournal>,
    tasks: Mutex<Tasks>,
}

struct Handle {
    name: String,
    queue: String,
    want: watch::Sender<Want>,
    state: Arc<Mutex<State>>,
}

/// What is waited for at the end.
#[derive(Default)]
struct Tasks {
    intakes: Vec<JoinHandle<()>>,
    shards: Vec<Shard>,
    publishing: Vec<JoinHandle<()>>,
}

/// How a pipeline is doing.
#[derive(Clone, Debug)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// The queue it consumes.
    pub queue: String,
    /// What it does.
    pub state: State,
}

impl Pipelines {
    /// How each pipeline is doing.
    #[must_use]
    pub fn status(&self) -> Vec<PipelineStatus> {
        let status = |lane: &Handle| PipelineStatus {
            name: lane.name.clone(),
            queue: lane.queue.clone(),
            state: lane.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.lanes.iter().map(status).collect()
    }

    /// Tells a pipeline what to do; false where there is none of that name.
    #[must_use]
    pub fn want(&self, name: &str, want: Want) -> bool {
        let lane = self.lanes.iter().find(|lane| lane.name == name);
        lane.is_some_and(|lane| lane.want.send(want).is_ok())
    }

    /// Asks every shard for a sign of life; resolves when all have given it.
    pub async fn ping(&self) {
        let mut answers = Vec::new();
        for shard in &self.shards {
            let (answer, answered) = oneshot::channel();
            if shard.send(Event::Ping(answer)).await.is_ok() {
                answers.push(answered);
            }
        }
        for answered in answers {
            // A shard that stops before it answers is as gone as one that doesn't.
            let _ = answered.await;
        }
    }

    /// Stops consuming, finishes what is in hand within `grace`, releases the rest. Whether all was
    /// finished. Does nothing the second time.
    pub async fn drain(&self, grace: Duration) -> bool {
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for lane in &self.lanes {
            // An intake that has ended needs no telling.
            let _ = lane.want.send(Want::Stop);
        }
        let finished = tokio::time::timeout(grace, join(&mut tasks.intakes)).await.is_ok();
        if !finished {
            tracing::warn!(?grace, "not everything could be finished in time; releasing the rest");
            self.abandon.cancel();
            join(&mut tasks.intakes).await;
        }
        let finished = finished && !self.abandon.is_cancelled();
        self.abandon.cancel();
        for shard in tasks.shards {
            shard.stop().await;
        }
        for task in tasks.publishing {
            task.abort();
        }
        self.crashes.end();
        finished
    }

    /// Ends at once, as by a kill: nothing is finished, nothing given back.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.intakes.iter().chain(&tasks.publishing).for_each(JoinHandle::abort);
    }

    /// Gives up on what is being drained: what is held is released at once.
    pub fn abandon(&self) {
        self.abandon.cancel();
    }
}

async fn join(tasks: &mut Vec<JoinHandle<()>>) {
    while let Some(task) = tasks.last_mut() {
        if let Err(error) = task.await
            && error.is_panic()
        {
            tracing::error!(%error, "an intake panicked");
        }
        tasks.pop();
    }
}

/// Microseconds since 1970.
fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
