//! From lanes to the store of state: each lane hands over what its published messages did, one commit at
//! a time, and hears when it is kept; nothing is acknowledged before.
//!
//! One committer takes the commits of all lanes that wait, so that the busier the host is, the more of
//! them share a transaction and its sync. A store that can't write trips the breakers of those who wait,
//! and is tried again until it can.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::breaker::Breaker;
use super::shard::Event;
use crate::limits::{COMMIT_GROUP, COMMITS_WAITING};
use crate::state::{Commit, Kept, Place, StateStore, StoreError, Usage};
use crate::telemetry::StateMetrics;

/// What a lane keeps its state in.
pub struct Keeping {
    store: Arc<dyn StateStore>,
    way: Way,
}

/// How commits get there.
enum Way {
    /// On the lane's own thread: it costs nothing.
    Here,
    /// By the committer, which answers the shard.
    Sent { requests: mpsc::Sender<Request>, lane: usize, shard: mpsc::Sender<Event> },
}

/// A lane's commit on its way.
pub struct Request {
    commit: Commit,
    breaker: Arc<Breaker>,
    lane: usize,
    shard: mpsc::Sender<Event>,
}

/// What became of a commit that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It is kept.
    Done,
    /// [`Event::Committed`] will tell.
    Waits,
    /// Nobody takes it: the host is stopping.
    Refused,
}

/// Where commits of all lanes go.
#[derive(Clone)]
pub struct Commits {
    store: Arc<dyn StateStore>,
    requests: mpsc::Sender<Request>,
}

/// Does what may take long with a store, on a thread that may wait; at once where all is at hand, so that
/// runs over such a store repeat to the letter. `None` where the runtime ends.
pub(super) async fn with_store<T: Send + 'static>(
    store: &Arc<dyn StateStore>,
    work: impl FnOnce(&dyn StateStore) -> T + Send + 'static,
) -> Option<T> {
    if store.is_at_hand() {
        return Some(work(&**store));
    }
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || work(&*store)).await.ok()
}

/// Commits for all lanes of a host.
pub struct Committer {
    commits: Commits,
    stopping: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// The committer's own end.
struct Committing {
    store: Arc<dyn StateStore>,
    requests: mpsc::Receiver<Request>,
    stopping: CancellationToken,
    metrics: StateMetrics,
}

// === impl Keeping ===

impl Keeping {
    /// Commits on the thread that asks for it.
    #[must_use]
    pub fn here(store: Arc<dyn StateStore>) -> Self {
        Self { store, way: Way::Here }
    }

    /// What a key has at a place.
    ///
    /// # Errors
    /// It can't be read.
    pub fn load(&self, place: &Place, key: &str) -> Result<Option<Kept>, StoreError> {
        self.store.load(place, key)
    }

    /// How much a pipeline keeps.
    #[must_use]
    pub fn usage(&self, pipeline: &str) -> Usage {
        self.store.usage(pipeline)
    }

    /// Hands a commit over.
    pub fn hand_over(&self, commit: Commit, breaker: &Arc<Breaker>) -> Handed {
        match &self.way {
            Way::Here => match self.store.commit(&[commit]) {
                Ok(()) => Handed::Done,
                Err(error) => {
                    breaker.trip(&error.to_string());
                    Handed::Refused
                }
            },
            Way::Sent { requests, lane, shard } => {
                let (breaker, shard) = (Arc::clone(breaker), shard.clone());
                let request = Request { commit, breaker, lane: *lane, shard };
                // Each lane has one commit under way, so that only a committer that is gone refuses.
                requests.try_send(request).map_or(Handed::Refused, |()| Handed::Waits)
            }
        }
    }
}

// === impl Committer ===

impl Committer {
    /// Starts its thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(store: Arc<dyn StateStore>, metrics: StateMetrics) -> std::io::Result<Self> {
        let (mut committer, committing) = Self::new(store, metrics);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new().name("committer".to_owned());
        committer.thread = Some(thread.spawn(move || runtime.block_on(committing.run()))?);
        Ok(committer)
    }

    /// The same as a task of the runtime, for tests that must repeat to the letter.
    #[cfg(test)]
    pub(crate) fn on_runtime(
        store: Arc<dyn StateStore>,
        metrics: StateMetrics,
    ) -> (Self, tokio::task::AbortHandle) {
        let (committer, committing) = Self::new(store, metrics);
        let task = tokio::spawn(committing.run());
        (committer, task.abort_handle())
    }

    fn new(store: Arc<dyn StateStore>, metrics: StateMetrics) -> (Self, Committing) {
        let (requests, inbox) = mpsc::channel(COMMITS_WAITING);
        let stopping = CancellationToken::new();
        let committing = Committing {
            store: Arc::clone(&store),
            requests: inbox,
            stopping: stopping.clone(),
            metrics,
        };
        (Self { commits: Commits { store, requests }, stopping, thread: None }, committing)
    }

    /// Where commits go.
    #[must_use]
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Ends it when what was handed over is kept, or the store refuses it.
    pub fn stop(self) {
        let Self { stopping, thread, .. } = self;
        stopping.cancel();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the committer's thread panicked");
        }
    }
}

// === impl Commits ===

impl Commits {
    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    /// For a lane of that shard.
    #[must_use]
    pub fn keeping(&self, lane: usize, shard: mpsc::Sender<Event>) -> Keeping {
        let requests = self.requests.clone();
        Keeping { store: Arc::clone(&self.store), way: Way::Sent { requests, lane, shard } }
    }
}

// === impl Committing ===

impl Committing {
    async fn run(mut self) {
        let mut group: Vec<Request> = Vec::new();
        loop {
            let stopping = self.stopping.clone();
            tokio::select! {
                biased;
                taken = self.requests.recv_many(&mut group, COMMIT_GROUP) => if taken == 0 {
                    return;
                },
                () = stopping.cancelled() => return,
            }
            let commits: Vec<Commit> =
                group.iter_mut().map(|request| std::mem::take(&mut request.commit)).collect();
            if !self.keep(&commits, &group).await {
                return;
            }
            for request in group.drain(..) {
                // A shard that is gone gave everything back.
                let _ = request.shard.send(Event::Committed(request.lane)).await;
            }
        }
    }

    /// Keeps those commits, however long it takes. False where the host stops before.
    async fn keep(&self, commits: &[Commit], group: &[Request]) -> bool {
        let mut backoff = Backoff::default();
        let mut troubled = false;
        loop {
            let started = Instant::now();
            let error = match self.store.commit(commits) {
                Ok(()) => {
                    let records = commits.iter().map(|commit| commit.entries.len()).sum();
                    self.metrics.committed(commits.len(), records, started.elapsed());
                    if troubled {
                        tracing::info!("the state can be written again");
                    }
                    return true;
                }
                Err(error) => error.to_string(),
            };
            self.metrics.refused();
            if !troubled {
                tracing::error!(error, "state isn't kept, so nothing is acknowledged");
            }
            troubled = true;
            group.iter().for_each(|request| request.breaker.trip(&error));
            tokio::select! {
                () = self.stopping.cancelled() => return false,
                () = backoff.wait() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
