//! One connection of a session: the task that reads it, writes its acknowledgements and keeps it alive.
//!
//! It reads no further than the pipeline's prefetch allows, so that a broker that knows no bound of its
//! own (3.1.1) is held back by TCP; signs of life and acknowledgements are written all the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::dial::Stream;
use super::frames::{Frame, Frames};
use super::message;
use super::quarantine::Keeper;
use super::window::{Held, Window};
use super::wire::{Said, ToPublish, Wire};
use crate::broker::{BrokerError, Settlement};
use crate::limits::{BROKER_ANSWER, MQTT_FAREWELL, MQTT_READ_BYTES};

/// What a session's task and its consumer share.
pub(super) struct Shared {
    book: Mutex<Book>,
    /// The task has something to do.
    pub(super) asked: Notify,
    /// The consumer has something to look at.
    pub(super) came: Notify,
}

pub(super) struct Book {
    pub(super) window: Window,
    /// To be put into the quarantine, and acknowledged then.
    pub(super) condemned: Vec<(u64, Held)>,
    /// Why there are no more deliveries.
    pub(super) over: Option<BrokerError>,
    /// To be said goodbye.
    pub(super) closing: bool,
    /// The connection is gone, or as good as gone.
    pub(super) stale: bool,
}

impl Shared {
    pub(super) fn new(window: Window) -> Arc<Self> {
        let book = Book { window, condemned: Vec::new(), over: None, closing: false, stale: false };
        Arc::new(Self { book: Mutex::new(book), asked: Notify::new(), came: Notify::new() })
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection, before and after its session has begun.
pub(super) struct Line {
    read: ReadHalf<Stream>,
    write: WriteHalf<Stream>,
    pub(super) wire: Wire,
    frames: Frames,
    out: Vec<u8>,
    keep_alive: Duration,
    heard: Instant,
    spoke: Instant,
    buffer: Box<[u8]>,
}

/// What the task needs beside its connection.
pub(super) struct Session {
    pub(super) line: Line,
    pub(super) shared: Arc<Shared>,
    pub(super) keeper: Keeper,
    pub(super) max_payload: usize,
    /// What the session is called, for messages to people.
    pub(super) name: String,
}

impl Line {
    pub(super) fn new(stream: Stream, wire: Wire, frames: Frames, keep_alive: Duration) -> Self {
        let (read, write) = split(stream);
        let now = Instant::now();
        Self {
            read,
            write,
            wire,
            frames,
            out: Vec::new(),
            keep_alive,
            heard: now,
            spoke: now,
            buffer: vec![0; MQTT_READ_BYTES].into(),
        }
    }

    /// Another keep-alive, as the broker wants it.
    pub(super) fn keep_alive(&mut self, seconds: u16) {
        self.keep_alive = Duration::from_secs(seconds.into());
    }

    /// Has the wire say something, and sends it.
    pub(super) async fn say(
        &mut self,
        what: impl FnOnce(&mut Wire, &mut Vec<u8>) -> Result<(), BrokerError>,
    ) -> Result<(), BrokerError> {
        what(&mut self.wire, &mut self.out)?;
        self.flush().await
    }

    /// Publishes a message; see [`Wire::publish`].
    pub(super) async fn publish(
        &mut self,
        what: &ToPublish<'_>,
    ) -> Result<Result<u16, String>, BrokerError> {
        let published = self.wire.publish(what, &mut self.out)?;
        self.flush().await?;
        Ok(published)
    }

    async fn flush(&mut self) -> Result<(), BrokerError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = timeout(BROKER_ANSWER, async {
            self.write.write_all(&self.out).await?;
            self.write.flush().await
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(lost(&error.to_string())),
            Err(_) => return Err(lost("it takes nothing any more")),
        }
        self.out.clear();
        self.spoke = Instant::now();
        Ok(())
    }

    /// The next thing that the broker says, whatever is in between; with what was too large of it.
    pub(super) async fn hear(&mut self) -> Result<(Said, Frame), BrokerError> {
        loop {
            if let Some(said) = self.said()? {
                return Ok(said);
            }
            self.read().await?;
        }
    }

    /// What is here already of what the broker says.
    fn said(&mut self) -> Result<Option<(Said, Frame)>, BrokerError> {
        while let Some(frame) = self.frames.next()? {
            if let Some(said) = self.wire.receive(&frame.packet, &mut self.out)? {
                return Ok(Some((said, frame)));
            }
        }
        Ok(None)
    }

    /// Reads what comes. Cancel-safe.
    async fn read(&mut self) -> Result<(), BrokerError> {
        let read = self.read.read(&mut self.buffer).await;
        match read {
            Ok(0) => Err(lost("the broker hung up")),
            Ok(bytes) => {
                self.heard = Instant::now();
                self.frames.feed(&self.buffer[..bytes]);
                Ok(())
            }
            Err(error) => Err(lost(&error.to_string())),
        }
    }

    /// When the broker must hear something; never without a keep-alive.
    pub(super) fn next_ping(&self) -> Option<Instant> {
        (!self.keep_alive.is_zero()).then(|| self.spoke + self.keep_alive * 3 / 4)
    }

    /// When a broker that says nothing counts as gone.
    fn silence(&self) -> Option<Instant> {
        (!self.keep_alive.is_zero()).then(|| self.heard + self.keep_alive * 2)
    }

    /// Says goodbye and waits until the broker has hung up: it has read all that was written then.
    pub(super) async fn leave(mut self) -> Result<(), BrokerError> {
        self.say(|wire, out| wire.goodbye(out)).await?;
        let farewell = async {
            // What can't be told any more is as good as told.
            let _ = self.write.shutdown().await;
            while matches!(self.read.read(&mut self.buffer).await, Ok(1..)) {}
        };
        let _patience = timeout(MQTT_FAREWELL, farewell).await;
        Ok(())
    }
}

impl Session {
    /// Serves the connection until it breaks, or all is said.
    pub(super) async fn run(mut self) -> Result<(), BrokerError> {
        let ended = self.serve().await;
        let ended = match ended {
            Ok(()) => self.line.leave().await,
            Err(error) => Err(error),
        };
        let mut book = self.shared.book();
        book.stale = true;
        if let Err(error) = &ended {
            book.over.get_or_insert_with(|| error.clone());
        }
        drop(book);
        self.shared.came.notify_one();
        ended
    }

    async fn serve(&mut self) -> Result<(), BrokerError> {
        loop {
            if self.acknowledge()? {
                return self.line.flush().await;
            }
            self.line.flush().await?;
            let reads = self.take()?;
            self.line.flush().await?;
            if !reads {
                // It isn't listened to, so it isn't silent.
                self.line.heard = Instant::now();
            }
            let (ping, silence) = (self.line.next_ping(), self.line.silence());
            tokio::select! {
                biased;
                () = self.shared.asked.notified() => {
                    // Who settles one message settles more: one write for all of them is cheaper.
                    tokio::task::yield_now().await;
                }
                () = until(ping) => self.line.say(|wire, out| wire.ping(out)).await?,
                () = until(silence), if reads => return Err(lost("the broker says nothing any more")),
                read = self.line.read(), if reads => read?,
            }
        }
    }

    /// Puts aside what is condemned and acknowledges what is due. Whether all is over then.
    fn acknowledge(&mut self) -> Result<bool, BrokerError> {
        let condemned = std::mem::take(&mut self.shared.book().condemned);
        for (tag, held) in condemned {
            self.put_aside(tag, &held);
        }
        let mut book = self.shared.book();
        while let Some(packet_id) = book.window.due() {
            self.line.wire.acknowledge(packet_id, &mut self.line.out)?;
        }
        Ok(book.closing)
    }

    /// A message that couldn't be dead-lettered elsewhere is safe in the quarantine, or isn't acknowledged.
    fn put_aside(&self, tag: u64, held: &Held) {
        match self.keeper.keep(&held.message.topic, &held.message.payload) {
            Ok(kept) => {
                let file = kept.path.display().to_string();
                tracing::warn!(session = self.name, file, "what couldn't be dead-lettered is here");
                self.shared.book().window.settle(tag, Settlement::Ack);
            }
            Err(error) => {
                tracing::error!(
                    session = self.name,
                    error,
                    "what couldn't be dead-lettered can't be kept; the broker will send it again"
                );
            }
        }
    }

    /// Takes the messages that are here, as far as there is room. Whether more may be read.
    fn take(&mut self) -> Result<bool, BrokerError> {
        let mut news = false;
        let reads = loop {
            if !self.shared.book().window.wants_more() {
                break false;
            }
            match self.line.said()? {
                Some((said, frame)) => news |= self.understand(said, frame)?,
                None => break true,
            }
        };
        if news {
            self.shared.came.notify_one();
        }
        Ok(reads)
    }

    /// Whether there is something to hand out.
    pub(super) fn understand(&mut self, said: Said, frame: Frame) -> Result<bool, BrokerError> {
        match said {
            Said::Published(published) => {
                let oversize = frame.oversize.as_ref();
                let unfit = oversize.map(|it| message::too_large(it, self.max_payload));
                Ok(self.shared.book().window.arrived(published, unfit))
            }
            Said::Goodbye(why) => Err(BrokerError::Unreachable(why)),
            Said::Welcome(_)
            | Said::Subscribed(_)
            | Said::Unsubscribed
            | Said::Acknowledged(..)
            | Said::Alive => Ok(false),
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

fn lost(why: &str) -> BrokerError {
    BrokerError::Unreachable(format!("the connection is lost: {why}"))
}
