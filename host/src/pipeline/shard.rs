//! Shards: the threads that run plugins.
//!
//! A shard owns a lane of every pipeline and an instance of every plugin; messages of one key always
//! come to the same shard, so that nothing here is locked. It takes its events as they come and runs
//! one batch of each lane that has work, in turn, so that no pipeline starves another. Lanes come and go
//! with their pipelines.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::instances::Instances;
use super::job::Job;
use super::lane::{Lane, Legacy};
use super::publishing::Done;
use super::spread::Spread;
use crate::broker::Settlement;
use crate::limits::{PARTITIONS, RELEASE_TIMEOUT};
use crate::state::Place;

/// What a shard is told.
pub enum Event {
    /// A pipeline has begun: its lane, under a number that no other had.
    Add(usize, Box<Lane>),
    /// A pipeline has ended; nothing more of it will come. Answered with what its lane leaves.
    Remove(usize, oneshot::Sender<Legacy>),
    /// That pipeline's keys are dealt out by that spread from now on. Answered with what its lane knows of them.
    Share(usize, Spread, oneshot::Sender<Legacy>),
    /// What other lanes of that pipeline knew of the keys that are this one's now.
    TakeOver(usize, Box<Legacy>),
    /// Messages for that pipeline, in order.
    Arrived(usize, Vec<Job>),
    /// That pipeline's group is through.
    Published(usize, Done),
    /// What that pipeline's lane handed over is kept.
    Committed(usize),
    /// Those keys of that pipeline weren't used at that stage since then, in seconds since 1970.
    Idle(usize, usize, Vec<Arc<str>>, u64),
    /// That key of that pipeline is to be forgotten at those stages. Answered with the number of them at which
    /// it had something.
    Forget(usize, Arc<str>, Vec<Arc<Place>>, oneshot::Sender<usize>),
    /// Consumers of that pipeline up to this one are gone.
    Lost(usize, u64),
    /// Consumers of that pipeline up to this one are being wound down; all that they handed out is here.
    Draining(usize, u64),
    /// Something of that pipeline has waited long enough.
    Due(usize),
    /// That pipeline consumes, or doesn't for now.
    Flows(usize, bool),
    /// Asked to show that it lives.
    Ping(oneshot::Sender<()>),
    /// Nothing more will come.
    Stop,
}

/// What a shard runs its batches on.
pub trait Guests {
    /// Runs one batch of that lane. Whether there was one.
    fn work(&mut self, lane: &mut Lane) -> bool;

    /// A lane is gone. What ran for it remembers nothing of it from now on, for its place may be given
    /// to another; and what runs for none of those that are left isn't needed any more.
    fn retire(&mut self, gone: &[u64], left: &BTreeSet<u64>);
}

/// A running shard.
#[derive(Debug)]
pub struct Shard {
    events: mpsc::Sender<Event>,
    /// `None` where it is a task of the runtime, as in tests that must repeat to the letter.
    thread: Option<JoinHandle<()>>,
    /// Ends with the thread.
    ended: oneshot::Receiver<()>,
}

impl Shard {
    /// Starts a thread that runs the lanes that it will be given.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        number: usize,
        (events, inbox): (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    ) -> std::io::Result<Self> {
        let instances = Instances::default();
        let (running, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
            let _running = running;
            Worker::new(instances, inbox).run();
        })?;
        Ok(Self { events, thread: Some(thread), ended })
    }

    /// The same as a task of the runtime, on other guests.
    #[cfg(test)]
    pub(crate) fn on_runtime(
        guests: impl Guests + Send + 'static,
        (events, inbox): (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    ) -> (Self, tokio::task::AbortHandle) {
        let (running, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let _running = running;
            Worker::new(guests, inbox).run_on_runtime().await;
        });
        (Self { events, thread: None, ended }, task.abort_handle())
    }

    /// Where its events go.
    #[must_use]
    pub fn events(&self) -> &mpsc::Sender<Event> {
        &self.events
    }

    /// Stops it when it has taken what was sent before, and waits for its thread; not longer than
    /// [`RELEASE_TIMEOUT`], since a plugin may use all of the time that its limit allows.
    pub async fn stop(self) {
        let Self { events, thread, ended } = self;
        let stopped = async {
            // A shard that is gone already has nothing to stop, and its end is an error to hear of.
            let _ = events.send(Event::Stop).await;
            let _ = ended.await;
        };
        if timeout(RELEASE_TIMEOUT, stopped).await.is_err() {
            tracing::warn!(
                "a plugin is still running; what it works on goes back with the connection"
            );
            return;
        }
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a shard's thread panicked; its messages were released");
        }
    }
}

/// The partition of a key: never changes, on no host.
pub(super) fn partition(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % PARTITIONS as u64).unwrap_or(0)
}

/// What becomes of a lane as soon as nothing is being kept.
enum Leaving {
    Over,
    Share(Spread),
}

struct Worker<G> {
    lanes: BTreeMap<usize, Lane>,
    /// Lanes that are over, or to give their keys away, but for what is being kept; and who waits for that.
    leaving: BTreeMap<usize, (Leaving, oneshot::Sender<Legacy>)>,
    guests: G,
    inbox: mpsc::Receiver<Event>,
    stopped: bool,
}

impl<G: Guests> Worker<G> {
    fn new(guests: G, inbox: mpsc::Receiver<Event>) -> Self {
        let (lanes, leaving) = (BTreeMap::new(), BTreeMap::new());
        Self { lanes, leaving, guests, inbox, stopped: false }
    }

    fn run(mut self) {
        while !self.stopped {
            // What waits without running waits for what is being published: a duplicate for its twin.
            if !self.turn() && !self.stopped {
                match self.inbox.blocking_recv() {
                    Some(event) => self.take(event),
                    None => return,
                }
            }
        }
    }

    #[cfg(test)]
    async fn run_on_runtime(mut self) {
        while !self.stopped {
            if self.turn() {
                tokio::task::yield_now().await;
            } else if !self.stopped {
                match self.inbox.recv().await {
                    Some(event) => self.take(event),
                    None => return,
                }
            }
        }
    }

    /// Takes the events that are here, then runs one batch of each lane. Whether there was any.
    fn turn(&mut self) -> bool {
        while let Ok(event) = self.inbox.try_recv() {
            self.take(event);
        }
        let mut worked = false;
        for lane in self.lanes.values_mut().filter(|lane| lane.has_work()) {
            worked |= self.guests.work(lane);
        }
        worked
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Add(id, lane) => drop(self.lanes.insert(id, *lane)),
            Event::Remove(id, answer) => self.remove(id, answer),
            Event::Share(id, spread, answer) => {
                self.leave_kept(id, Leaving::Share(spread), answer);
            }
            Event::TakeOver(id, legacy) => self.tell(id, |lane| lane.take_over(*legacy)),
            Event::Arrived(id, jobs) => match self.lanes.get_mut(&id) {
                Some(lane) => jobs.into_iter().for_each(|job| lane.arrived(job)),
                // Its intake ended before it did, so that there is none; nobody's loss if there were.
                None => jobs.into_iter().for_each(|job| job.settle(Settlement::Release)),
            },
            Event::Published(id, done) => self.tell(id, |lane| lane.published(done)),
            Event::Committed(id) => self.committed(id),
            Event::Idle(id, stage, keys, since_s) => {
                self.tell(id, |lane| lane.idle(stage, keys, since_s));
            }
            Event::Forget(id, key, places, answer) => {
                self.tell(id, |lane| lane.forget(key, places, answer));
            }
            Event::Lost(id, consumer) => self.tell(id, |lane| lane.lost(consumer)),
            Event::Draining(id, consumer) => self.tell(id, |lane| lane.draining(consumer)),
            Event::Due(id) => self.tell(id, Lane::rung),
            Event::Flows(id, flows) => self.tell(id, |lane| lane.flows(flows)),
            Event::Ping(answer) => drop(answer.send(())),
            Event::Stop => {
                self.lanes.values_mut().for_each(Lane::close);
                self.stopped = true;
            }
        }
    }

    /// What comes for a lane that is gone is about nothing.
    fn tell(&mut self, id: usize, what: impl FnOnce(&mut Lane)) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            what(lane);
        }
    }

    /// Its successor must not begin before all that it published is kept.
    fn remove(&mut self, id: usize, answer: oneshot::Sender<Legacy>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.wind_up();
        self.leave_kept(id, Leaving::Over, answer);
    }

    /// At once where nothing is being kept, else after that.
    fn leave_kept(&mut self, id: usize, leaving: Leaving, answer: oneshot::Sender<Legacy>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.is_committing() {
            self.leaving.insert(id, (leaving, answer));
            return;
        }
        match leaving {
            Leaving::Over => self.leave(id, answer),
            // Whoever doesn't wait for it is gone, and its pipeline with it.
            Leaving::Share(spread) => drop(answer.send(lane.share(spread))),
        }
    }

    fn committed(&mut self, id: usize) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.committed();
        if !lane.is_committing()
            && let Some((leaving, answer)) = self.leaving.remove(&id)
        {
            self.leave_kept(id, leaving, answer);
        }
    }

    fn leave(&mut self, id: usize, answer: oneshot::Sender<Legacy>) {
        let Some(lane) = self.lanes.remove(&id) else { return };
        let slots = |lane: &Lane| lane.shape().plugins.iter().map(|slot| slot.id()).collect();
        let gone: Vec<u64> = slots(&lane);
        let left = self.lanes.values().flat_map(slots).collect();
        self.guests.retire(&gone, &left);
        // Whoever doesn't wait for it wants none of it.
        let _ = answer.send(lane.retire());
    }
}
