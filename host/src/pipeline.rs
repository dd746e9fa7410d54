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
//! | `guard` | when a plugin counts as broken, and what stands still then |
//! | `observe`, `purity` | who looks on while plugins are called; whether they answer the same again |
//! | `crash` | which messages hosts died with, and who runs alone |
//! | `keeping`, `sweep`, `forget` | what is kept before anything is acknowledged; which idle keys are forgotten, and those that an operator has forgotten |
//! | `spread`, `scale` | which shards run a pipeline, and how many |
//! | `judge` | what becomes of a failure |
//! | `start`, `change` | what a pipeline of the config is made of; how pipelines come and go while others run |
//! | `address`, `publishing`, `journal` | what is sent where, and whether it arrived |

pub mod address;
pub mod alarm;
pub mod backlog;
mod backoff;
pub mod breaker;
mod change;
pub mod crash;
pub mod field;
#[cfg(test)]
pub(crate) mod fixture;
pub mod flight;
mod forget;
pub mod guard;
pub mod headers;
pub mod identity;
pub mod instances;
pub mod intake;
pub mod job;
pub mod journal;
pub mod judge;
pub mod keeping;
pub mod lane;
pub mod observe;
mod plugins;
pub mod prepare;
pub mod publishing;
pub mod purity;
pub mod ramp;
pub mod rate;
pub mod scale;
pub mod shape;
pub mod shard;
pub mod slot;
pub mod spread;
pub mod stages;
mod start;
mod sweep;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::backoff::Backoff;
pub use self::change::Left;
use self::crash::CrashJournal;
pub use self::forget::ForgetError;
pub use self::intake::{Readiness, State, Want};
use self::journal::Journal;
pub use self::keeping::{Commits, Committer};
pub use self::plugins::{
    bytes as plugin_bytes, load as load_plugins, load_all as load_all_plugins,
    load_bytes as load_plugin_bytes, load_some as load_some_plugins,
};
use self::shard::{Event, Shard};
use self::spread::CurrentSpread;
pub use self::start::{Prepared, Setup, StartError};
use crate::state::Place;

/// All pipelines of a host, running.
pub struct Pipelines {
    /// In the order of the config.
    running: Mutex<Vec<Running>>,
    /// Lanes that there were, which number the next.
    lanes: AtomicUsize,
    shards: Vec<mpsc::Sender<Event>>,
    /// What is waited for at the end; taken then.
    threads: Mutex<Option<Vec<Shard>>>,
    abandon: CancellationToken,
    /// One each for all pipelines: their bounds are the files'.
    journals: (Arc<Journal>, Arc<CrashJournal>),
    /// Where state is kept.
    commits: Commits,
}

/// A pipeline that runs, or is on its way out.
struct Running {
    name: String,
    queue: String,
    /// What shards know its lanes by.
    lane: usize,
    /// See [`shape::Shape::index`].
    index: u16,
    /// The shards that it uses.
    spread: Arc<CurrentSpread>,
    /// Where its stages keep their state.
    places: Vec<Arc<Place>>,
    /// And at most.
    widest: usize,
    /// As an operator wants it to be.
    width: watch::Sender<Option<usize>>,
    /// What an operator wants of it, whatever it is told on its way out.
    wish: Want,
    want: watch::Sender<Want>,
    state: Arc<Mutex<State>>,
    abandon: CancellationToken,
    /// Taken by whoever ends it.
    tasks: Option<Tasks>,
}

/// What a pipeline does on the runtime.
struct Tasks {
    intake: JoinHandle<()>,
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
        let status = |it: &Running| PipelineStatus {
            name: it.name.clone(),
            queue: it.queue.clone(),
            state: it.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.running().iter().map(status).collect()
    }

    /// Tells a pipeline what to do; false where there is none of that name.
    #[must_use]
    pub fn want(&self, name: &str, want: Want) -> bool {
        let mut running = self.running();
        let Some(it) = running.iter_mut().find(|it| it.name == name) else { return false };
        it.wish = want;
        // One on its way out stays so; whoever takes its place is told.
        it.want.send_if_modified(|now| *now != Want::Stop && std::mem::replace(now, want) != want);
        true
    }

    /// Has a pipeline use so many shards, of as many as its config lets it, from its next consumer on. How many
    /// that are; `None` where there is none of that name.
    #[must_use]
    pub fn scale(&self, name: &str, shards: usize) -> Option<usize> {
        let running = self.running();
        let it = running.iter().find(|it| it.name == name)?;
        let shards = shards.clamp(1, it.widest);
        it.width.send_replace(Some(shards));
        Some(shards)
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// finished. Does nothing the second time; nothing can be added from then on.
    pub async fn drain(&self, grace: Duration) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return true };
        let (mut intakes, mut publishing) = (Vec::new(), Vec::new());
        for it in &mut *self.running() {
            it.want.send_replace(Want::Stop);
            if let Some(tasks) = it.tasks.take() {
                intakes.push(tasks.intake);
                publishing.extend(tasks.publishing);
            }
        }
        let finished = tokio::time::timeout(grace, join(&mut intakes)).await.is_ok();
        if !finished {
            tracing::warn!(?grace, "not everything could be finished in time; releasing the rest");
            self.abandon.cancel();
            join(&mut intakes).await;
        }
        let finished = finished && !self.abandon.is_cancelled();
        self.abandon.cancel();
        for shard in threads {
            shard.stop().await;
        }
        for task in publishing {
            task.abort();
        }
        self.journals.1.end();
        finished
    }

    /// Ends at once, as by a kill: nothing is finished, nothing given back.
    #[cfg(test)]
    pub(crate) fn kill(&self) {
        for tasks in self.running().iter_mut().filter_map(|it| it.tasks.take()) {
            tasks.intake.abort();
            tasks.publishing.iter().for_each(JoinHandle::abort);
        }
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
