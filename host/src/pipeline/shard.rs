//! Shards: the threads that run plugins.
//!
//! A shard owns a lane of every pipeline and an instance of every plugin; messages of one key always
//! come to the same shard, so that nothing here is locked. It takes its events as they come and runs
//! one batch of each lane that has work, in turn, so that no pipeline starves another.

use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::instances::Instances;
use super::job::Job;
use super::lane::Lane;
use super::publishing::Done;
use crate::limits::RELEASE_TIMEOUT;

/// What a shard is told.
pub enum Event {
    /// A message for that pipeline.
    Arrived(usize, Box<Job>),
    /// That pipeline's group is through.
    Published(usize, Done),
    /// Consumers of that pipeline up to this one are gone.
    Lost(usize, u64),
    /// Consumers of that pipeline up to this one are being wound down; all that they handed out is here.
    Draining(usize, u64),
    /// Something of that pipeline has waited long enough.
    Due(usize),
    /// Asked to show that it lives.
    Ping(oneshot::Sender<()>),
    /// Nothing more will come.
    Stop,
}

/// What a shard runs its batches on.
pub trait Guests {
    /// Runs one batch of that lane. Whether there was one.
    fn work(&mut self, lane: &mut Lane) -> bool;
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
    /// Starts a thread that runs these lanes.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        number: usize,
        lanes: Vec<Lane>,
        (events, inbox): (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    ) -> std::io::Result<Self> {
        let instances = Instances::default();
        let (running, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
            let _running = running;
            Worker { lanes, guests: instances, inbox, stopped: false }.run();
        })?;
        Ok(Self { events, thread: Some(thread), ended })
    }

    /// The same as a task of the runtime, on other guests.
    #[cfg(test)]
    pub(crate) fn on_runtime(
        lanes: Vec<Lane>,
        guests: impl Guests + Send + 'static,
        (events, inbox): (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    ) -> (Self, tokio::task::AbortHandle) {
        let (running, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let _running = running;
            Worker { lanes, guests, inbox, stopped: false }.run_on_runtime().await;
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

struct Worker<G> {
    lanes: Vec<Lane>,
    guests: G,
    inbox: mpsc::Receiver<Event>,
    stopped: bool,
}

impl<G: Guests> Worker<G> {
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
        for lane in self.lanes.iter_mut().filter(|lane| lane.has_work()) {
            worked |= self.guests.work(lane);
        }
        worked
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Arrived(lane, job) => self.lanes[lane].arrived(*job),
            Event::Published(lane, done) => self.lanes[lane].published(done),
            Event::Lost(lane, consumer) => self.lanes[lane].lost(consumer),
            Event::Draining(lane, consumer) => self.lanes[lane].draining(consumer),
            Event::Due(lane) => self.lanes[lane].unpark(),
            Event::Ping(answer) => drop(answer.send(())),
            Event::Stop => {
                self.lanes.iter_mut().for_each(Lane::close);
                self.stopped = true;
            }
        }
    }
}
