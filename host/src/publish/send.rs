//! Publishing: a reader's thread, a bounded backlog, and publishers that take groups from it.
//!
//! Each message ends confirmed, unroutable, skipped with a reason, or, where the run was cut short,
//! not known. What the broker refused or left unanswered is published again, after a pause.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RecordError;
use super::pace::Pace;
use super::recipe::Recipe;
use super::record::{Format, Record, Records};
use crate::broker::{Broker, Outgoing, Published, Publisher};
use crate::limits;

/// What is to be published, and how.
pub struct Job {
    /// Where it comes from.
    pub feed: Feed,
    /// Where it goes.
    pub broker: Arc<dyn Broker>,
    /// Groups in flight at once; with 1 the order is kept, but for what the broker refused at first.
    pub publishers: usize,
    /// Messages per second at most.
    pub rate_per_s: Option<f64>,
    /// Counted up while it runs.
    pub progress: Arc<Progress>,
    /// Ends it: groups under way are waited for, no more are begun.
    pub stop: CancellationToken,
}

/// Where messages come from.
pub struct Feed {
    /// Opens the input; called once per pass.
    pub open: Box<dyn FnMut() -> std::io::Result<Box<dyn Read + Send>> + Send>,
    /// How it is written.
    pub format: Format,
    /// CSV's delimiter; `None` goes by the header row.
    pub delimiter: Option<u8>,
    /// How a record becomes a message.
    pub recipe: Recipe,
    /// Messages per record.
    pub copies: u64,
    /// Passes over the input.
    pub passes: u64,
    /// Messages at most.
    pub limit: Option<u64>,
    /// Whether a bad record is left out instead of ending the run.
    pub skip_bad: bool,
}

/// How far a run has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read of the input, all passes together.
    pub bytes_read: Arc<AtomicU64>,
    confirmed: AtomicU64,
    unroutable: AtomicU64,
    skipped: AtomicU64,
    repeated: AtomicU64,
    unknown: AtomicU64,
    notes: Mutex<Vec<String>>,
}

/// A run's counts, in messages; `skipped` in records where they couldn't be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In a queue, safely.
    pub confirmed: u64,
    /// Accepted by the exchange, bound for no queue.
    pub unroutable: u64,
    /// Left out.
    pub skipped: u64,
    /// Published more than once, because the broker refused or didn't answer.
    pub repeated: u64,
    /// Cut short before the broker answered.
    pub unknown: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All of the input is published.
    Complete,
    /// It was asked to stop.
    Interrupted,
    /// Something is wrong that only a person can set right.
    Failed(String),
}

struct Item {
    outgoing: Outgoing,
    place: String,
    _backlog: OwnedSemaphorePermit,
}

/// The receiving end of the backlog, shared by the publishers.
struct Intake {
    items: mpsc::Receiver<Item>,
    pace: Pace,
}

// === impl Job ===

impl Job {
    /// Publishes all of it.
    pub async fn run(self) -> End {
        let (items, backlog) = mpsc::channel(limits::PUBLISH_BACKLOG_MESSAGES);
        let (read, reader) = oneshot::channel();
        let (feed, progress) = (self.feed, Arc::clone(&self.progress));
        let (skip_bad, runtime) = (feed.skip_bad, tokio::runtime::Handle::current());
        // A thread and not a task: it may hang on a terminal, and the process must end all the same.
        let spawned = std::thread::Builder::new().name("reader".to_owned()).spawn(move || {
            let bytes =
                Arc::new(Semaphore::new(limits::PUBLISH_BACKLOG_BYTES / BACKLOG_UNIT_BYTES));
            let _ = read.send(Feeder { items, bytes, progress, runtime }.run(feed));
        });
        if let Err(error) = spawned {
            return End::Failed(format!("can't start a thread to read the input: {error}"));
        }
        let intake = Intake { items: backlog, pace: Pace::new(self.rate_per_s) };
        let intake = Arc::new(tokio::sync::Mutex::new(intake));
        let halt = self.stop.child_token();
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..self.publishers.max(1) {
            workers.spawn(work(
                Arc::clone(&self.broker),
                Arc::clone(&intake),
                Lane { progress: Arc::clone(&self.progress), halt: halt.clone(), skip_bad },
            ));
        }
        drop(intake);
        let mut failure = None;
        while let Some(worked) = workers.join_next().await {
            let worked = worked.unwrap_or_else(|error| Err(format!("a publisher broke: {error}")));
            if let Err(text) = worked {
                failure.get_or_insert(text);
                halt.cancel();
            }
        }
        if let Some(text) = failure {
            return End::Failed(text);
        }
        if self.stop.is_cancelled() {
            return End::Interrupted;
        }
        match reader.await {
            Ok(Ok(())) => End::Complete,
            Ok(Err(error)) => End::Failed(error.to_string()),
            Err(_) => End::Failed("the reader broke".to_owned()),
        }
    }
}

// === the reader ===

/// What one permit of the backlog stands for.
const BACKLOG_UNIT_BYTES: usize = 1024;

struct Feeder {
    items: mpsc::Sender<Item>,
    bytes: Arc<Semaphore>,
    progress: Arc<Progress>,
    runtime: tokio::runtime::Handle,
}

impl Feeder {
    fn run(self, mut feed: Feed) -> Result<(), RecordError> {
        let fields = feed.recipe.needs_fields(feed.format);
        let mut seq = 0;
        for pass in 1..=feed.passes {
            let input = (feed.open)().map_err(|error| RecordError {
                place: "the input".to_owned(),
                text: format!("can't be opened: {error}"),
                fatal: true,
            })?;
            let bytes_read = Arc::clone(&self.progress.bytes_read);
            let mut none = true;
            for record in Records::new(input, feed.format, feed.delimiter, fields, bytes_read)? {
                none = false;
                match record {
                    Ok(record) => match self.copies(&feed, &record, &mut seq, pass) {
                        Ok(true) => {}
                        Ok(false) => return Ok(()),
                        Err(error) => self.bad(&feed, error)?,
                    },
                    Err(error) => self.bad(&feed, error)?,
                }
            }
            if none {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands on the copies of a record; false once no more are wanted.
    fn copies(
        &self,
        feed: &Feed,
        record: &Record,
        seq: &mut u64,
        pass: u64,
    ) -> Result<bool, RecordError> {
        for copy in 1..=feed.copies {
            if feed.limit.is_some_and(|limit| *seq >= limit) {
                return Ok(false);
            }
            let outgoing = feed.recipe.message(record, *seq + 1, copy, pass)?;
            let units = (outgoing.body.len() / BACKLOG_UNIT_BYTES + 1) as u64;
            let units = u32::try_from(units).unwrap_or(u32::MAX);
            let permits = self.runtime.block_on(Arc::clone(&self.bytes).acquire_many_owned(units));
            let Ok(permits) = permits else { return Ok(false) };
            let item = Item { outgoing, place: record.place.clone(), _backlog: permits };
            if self.items.blocking_send(item).is_err() {
                return Ok(false);
            }
            *seq += 1;
        }
        Ok(true)
    }

    fn bad(&self, feed: &Feed, error: RecordError) -> Result<(), RecordError> {
        if error.fatal || !feed.skip_bad {
            return Err(error);
        }
        self.progress.skip(&error);
        Ok(())
    }
}

// === the publishers ===

/// What a publisher's task shares with the run.
struct Lane {
    progress: Arc<Progress>,
    halt: CancellationToken,
    skip_bad: bool,
}

async fn work(
    broker: Arc<dyn Broker>,
    intake: Arc<tokio::sync::Mutex<Intake>>,
    lane: Lane,
) -> Result<(), String> {
    let mut publisher = broker.publisher().await.map_err(|error| error.to_string())?;
    loop {
        let group = tokio::select! {
            () = lane.halt.cancelled() => return Ok(()),
            group = async { intake.lock().await.group().await } => group,
        };
        if group.is_empty() {
            return Ok(());
        }
        lane.settle(publisher.as_mut(), group).await?;
    }
}

impl Intake {
    /// What is waiting, up to a group; waits for the first message. Empty once there are no more.
    async fn group(&mut self) -> Vec<Item> {
        let wanted = self.pace.take(limits::PUBLISH_GROUP_MESSAGES).await;
        let mut group = Vec::with_capacity(wanted);
        let got = self.items.recv_many(&mut group, wanted).await;
        self.pace.unused(wanted - got);
        group
    }
}

impl Lane {
    /// Publishes a group until each of its messages has an end.
    async fn settle(&self, publisher: &mut dyn Publisher, group: Vec<Item>) -> Result<(), String> {
        let (mut pause, mut since) = (limits::BACKOFF_MIN, Instant::now());
        let (mut messages, mut places): (Vec<_>, Vec<_>) =
            group.iter().map(|item| (item.outgoing.clone(), item.place.as_str())).unzip();
        loop {
            let published = publisher.publish(&messages).await;
            let mut left = (Vec::new(), Vec::new());
            let mut no_target = None;
            let mut why = String::from("the broker gave no answer");
            for (at, message) in messages.iter().enumerate() {
                let answer = published.get(at).cloned();
                match answer.unwrap_or_else(|| Published::Unknown(why.clone())) {
                    Published::Confirmed => count(&self.progress.confirmed, 1),
                    Published::Unroutable => self.progress.unroutable(message, places[at]),
                    Published::NoTarget(text) => no_target = Some(text),
                    Published::Impossible(text) => self.impossible(places[at], text)?,
                    Published::Refused(text) | Published::Unknown(text) => {
                        why = text;
                        left.0.push(message.clone());
                        left.1.push(places[at]);
                    }
                }
            }
            if let Some(text) = no_target {
                count(&self.progress.unknown, left.0.len() as u64);
                return Err(format!("{text}; is the exchange declared? (sluicegate topology)"));
            }
            if left.0.is_empty() {
                return Ok(());
            }
            if left.0.len() < messages.len() {
                (pause, since) = (limits::BACKOFF_MIN, Instant::now());
            }
            let count_left = left.0.len() as u64;
            let over = since.elapsed() >= limits::PUBLISH_OUTAGE_MAX;
            if over || !self.pause(pause).await {
                count(&self.progress.unknown, count_left);
                return if over { Err(outage(&why)) } else { Ok(()) };
            }
            self.progress.repeat(count_left, &why);
            pause = (pause * 2).min(limits::BACKOFF_MAX);
            (messages, places) = left;
        }
    }

    /// Waits; false when the run is over meanwhile.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.halt.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    fn impossible(&self, place: &str, text: String) -> Result<(), String> {
        let error = RecordError { place: place.to_owned(), text, fatal: false };
        if !self.skip_bad {
            return Err(error.to_string());
        }
        self.progress.skip(&error);
        Ok(())
    }
}

fn outage(why: &str) -> String {
    format!(
        "the broker took nothing for {} s: {why}; see its alarms and the queues' limits",
        limits::PUBLISH_OUTAGE_MAX.as_secs()
    )
}

fn count(counter: &AtomicU64, messages: u64) {
    counter.fetch_add(messages, Ordering::Relaxed);
}

// === impl Progress ===

impl Progress {
    /// How far it has come.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            confirmed: self.confirmed.load(Ordering::Relaxed),
            unroutable: self.unroutable.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            repeated: self.repeated.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
        }
    }

    /// What is worth telling and wasn't taken yet: the first few of each kind.
    #[must_use]
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn skip(&self, error: &RecordError) {
        self.note(&self.skipped, 1, || format!("skipped {error}"));
    }

    fn unroutable(&self, message: &Outgoing, place: &str) {
        self.note(&self.unroutable, 1, || {
            let (exchange, key) = (&message.exchange, &message.routing_key);
            format!("{place}: exchange '{exchange}' routes '{key}' to no queue")
        });
    }

    fn repeat(&self, messages: u64, why: &str) {
        self.note(&self.repeated, messages, || format!("publishing {messages} again: {why}"));
    }

    /// Counts, and tells of the first few.
    fn note(&self, counter: &AtomicU64, messages: u64, text: impl FnOnce() -> String) {
        let before = counter.fetch_add(messages, Ordering::Relaxed);
        if before < limits::PUBLISH_NOTES_MAX {
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text());
        }
    }
}

#[cfg(test)]
mod tests;
