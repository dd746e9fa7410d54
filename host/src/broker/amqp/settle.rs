//! A consumer's channel settles its deliveries in one task, in order.
//!
//! Acknowledgements that race each other make RabbitMQ close the channel, so receipts only hand
//! over what is asked; [`super::ack`] decides, the task here writes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Channel, ChannelStatus};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::ack::{Coalescer, Frame};
use crate::broker::{Settlement, Settler};
use crate::limits::{ACK_DELAY, ACKS_RECENT, ACKS_UNHEARD};

/// What a channel's task is asked.
enum Ask {
    Settle(u64, Settlement),
    /// From here on what is released goes back together, with the next flush.
    Gather,
    /// Answered when everything asked before is written.
    Flush(oneshot::Sender<lapin::Result<Written>>),
}

/// What a flush leaves the broker with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// So little of late that the broker has passed all of it on.
    Heard,
    /// So much that it may hold some of it back, for as long as the channel is open.
    MaybeHeldBack,
}

/// What a channel's task is asked and hasn't taken yet. A list under a lock, which whoever asks holds for
/// a few nanoseconds: thousands are asked in a moment, and the task is called once for all of them.
#[derive(Default)]
struct Inbox {
    asked: Mutex<Asked>,
    called: Notify,
}

#[derive(Default)]
struct Asked {
    asks: Vec<Ask>,
    /// Nobody asks any more.
    over: bool,
    /// Nobody answers any more.
    deaf: bool,
}

/// Closes an inbox however its task ends.
struct Closing(Arc<Inbox>);

/// Why something can't be asked.
enum Refusal {
    /// The task is gone, and the channel with it.
    Deaf,
    /// More is asked than can be.
    Full,
}

/// When the last frames were written, as far as it matters.
#[derive(Default)]
struct Recent(VecDeque<Instant>);

/// Hands settlements to the task of one channel.
pub(super) struct ChannelSettler {
    inbox: Arc<Inbox>,
    /// What can wait there at most.
    bound: usize,
    status: ChannelStatus,
    closed: AtomicBool,
    queue: String,
    /// Receipts dropped unsettled, of the whole broker.
    dropped: Arc<AtomicU64>,
}

impl ChannelSettler {
    /// Starts the task. It ends when the channel breaks, or when nobody holds a receipt any more.
    pub(super) fn start(
        channel: &Channel,
        prefetch: u16,
        queue: &str,
        dropped: Arc<AtomicU64>,
    ) -> Arc<Self> {
        // No more deliveries are unsettled than the prefetch, and each is settled once.
        let bound = usize::from(prefetch) + 1;
        let inbox = Arc::new(Inbox::default());
        tokio::spawn(run(channel.clone(), Arc::clone(&inbox), prefetch));
        Arc::new(Self {
            inbox,
            bound,
            status: channel.status().clone(),
            closed: AtomicBool::new(false),
            queue: queue.to_owned(),
            dropped,
        })
    }

    /// What is released from now on goes back at the next flush, in the order in which it came: a quorum
    /// queue delivers again in the order in which it got back.
    pub(super) fn gather(&self) {
        // A channel that is gone gives everything back by itself.
        let _gone = self.inbox.ask(Ask::Gather, usize::MAX);
    }

    /// Waits until everything asked so far is written. `None`: the channel broke before.
    pub(super) async fn flush(&self) -> Option<lapin::Result<Written>> {
        let (done, written) = oneshot::channel();
        self.inbox.ask(Ask::Flush(done), usize::MAX).ok()?;
        written.await.ok()
    }

    /// From here on the channel is gone, whatever its state says yet.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl Settler for ChannelSettler {
    fn settle(&self, tag: u64, settlement: Settlement) {
        match self.inbox.ask(Ask::Settle(tag, settlement), self.bound) {
            // A channel that is gone: the broker delivers again.
            Ok(()) | Err(Refusal::Deaf) => {}
            Err(Refusal::Full) => tracing::error!(
                queue = self.queue,
                tag,
                "more settlements than deliveries: a bug; the delivery stays unsettled until its \
                 channel closes"
            ),
        }
    }

    fn is_stale(&self) -> bool {
        self.closed.load(Ordering::Acquire) || !self.status.connected()
    }

    fn dropped(&self, tag: u64) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            queue = self.queue,
            tag,
            "a receipt was dropped unsettled: a bug; released"
        );
    }
}

impl Drop for ChannelSettler {
    fn drop(&mut self) {
        self.inbox.lock().over = true;
        self.inbox.called.notify_one();
    }
}

impl Inbox {
    /// Asks for that, unless so much waits already.
    fn ask(&self, ask: Ask, bound: usize) -> Result<(), Refusal> {
        let mut asked = self.lock();
        if asked.deaf {
            return Err(Refusal::Deaf);
        }
        if asked.asks.len() >= bound {
            return Err(Refusal::Full);
        }
        let first = asked.asks.is_empty();
        asked.asks.push(ask);
        drop(asked);
        if first {
            self.called.notify_one();
        }
        Ok(())
    }

    /// Waits until something was asked, and takes all of it; false once nobody asks any more. It may be
    /// given up at any time and has taken nothing then.
    async fn take(&self, asks: &mut Vec<Ask>) -> bool {
        loop {
            {
                let mut asked = self.lock();
                if !asked.asks.is_empty() {
                    std::mem::swap(&mut asked.asks, asks);
                    return true;
                }
                if asked.over {
                    return false;
                }
            }
            self.called.notified().await;
        }
    }

    /// Takes what was asked since, too.
    fn take_more(&self, asks: &mut Vec<Ask>) {
        asks.append(&mut self.lock().asks);
    }

    /// Takes nothing any more.
    fn close(&self) {
        let mut asked = self.lock();
        asked.deaf = true;
        // Whoever waits to hear of a flush is told by its end.
        asked.asks.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Recent {
    fn add(&mut self, frames: usize) {
        let now = Instant::now();
        self.0.extend(std::iter::repeat_n(now, frames.min(ACKS_UNHEARD + 1)));
        let more = self.0.len().saturating_sub(ACKS_UNHEARD + 1);
        self.0.drain(..more);
    }

    fn written(&self) -> Written {
        let many = self.0.len() > ACKS_UNHEARD;
        if many && self.0.front().is_some_and(|first| first.elapsed() < ACKS_RECENT) {
            Written::MaybeHeldBack
        } else {
            Written::Heard
        }
    }
}

/// The task: takes what is asked, writes what is due.
async fn run(channel: Channel, inbox: Arc<Inbox>, prefetch: u16) {
    let inbox = Closing(inbox);
    settle_all(&channel, &inbox.0, prefetch).await;
}

async fn settle_all(channel: &Channel, inbox: &Inbox, prefetch: u16) {
    let mut coalescer = Coalescer::new(prefetch);
    let mut asks = Vec::new();
    let mut frames = Vec::new();
    let mut recent = Recent::default();
    let mut due: Option<Instant> = None;
    let mut gathered: Option<BTreeSet<u64>> = None;
    loop {
        let asked = tokio::select! {
            asked = inbox.take(&mut asks) => Some(asked),
            () = until(due) => None,
        };
        if asked == Some(true) {
            // Who asked for this goes on asking: one frame for all of it is cheaper than one for each.
            tokio::task::yield_now().await;
            inbox.take_more(&mut asks);
        }
        let mut flushed = Vec::new();
        for ask in asks.drain(..) {
            match (ask, &mut gathered) {
                (Ask::Settle(tag, Settlement::Release), Some(gathered)) => {
                    gathered.insert(tag);
                }
                (Ask::Settle(tag, settlement), _) => {
                    coalescer.settle(tag, settlement, &mut frames);
                }
                (Ask::Gather, gathered) => *gathered = Some(BTreeSet::new()),
                (Ask::Flush(done), _) => flushed.push(done),
            }
        }
        if asked == Some(false) || !flushed.is_empty() {
            for tag in gathered.iter_mut().flat_map(std::mem::take) {
                coalescer.settle(tag, Settlement::Release, &mut frames);
            }
        }
        coalescer.collect(&mut frames);
        let over = asked == Some(false);
        if over || asked.is_none() || !flushed.is_empty() {
            coalescer.flush(&mut frames);
        }
        due = match (coalescer.is_waiting(), due) {
            (false, _) => None,
            (true, Some(due)) => Some(due),
            (true, None) => Some(Instant::now() + ACK_DELAY),
        };
        recent.add(frames.len());
        let written = write(channel, &mut frames).await.map(|()| recent.written());
        let broken = written.is_err();
        for done in flushed {
            // Who asked may have run out of patience.
            let _gone = done.send(written.clone());
        }
        if over || broken {
            return;
        }
    }
}

/// Ready at that time; never where there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Writes the frames in order. They are handed to the connection one after the other as the futures
/// are first polled, and waited for together.
async fn write(channel: &Channel, frames: &mut Vec<Frame>) -> lapin::Result<()> {
    if let [frame] = frames.as_slice() {
        let frame = *frame;
        frames.clear();
        return write_one(channel, frame).await;
    }
    let written = join_all(frames.drain(..).map(|frame| write_one(channel, frame))).await;
    written.into_iter().collect()
}

async fn write_one(channel: &Channel, frame: Frame) -> lapin::Result<()> {
    match frame {
        Frame::Ack { tag, multiple } => channel.basic_ack(tag, BasicAckOptions { multiple }).await,
        Frame::Nack { tag, requeue } => {
            let options = BasicNackOptions { requeue, multiple: false };
            channel.basic_nack(tag, options).await
        }
    }
}
