//! One queue: messages in order of priority and age, and what bounds them.
//!
//! Pure bookkeeping: where a message that leaves goes is the model's business.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::settings::Settings;
use crate::broker::QueueDeclaration;
use crate::config::{Overflow, QueueKind};
use crate::limits::{EMBEDDED_QUEUE_BYTES, EMBEDDED_QUEUE_MESSAGES};
use crate::message::Message;

/// A consumer's number, given in order.
pub(super) type ConsumerId = u64;

/// A message in a queue, or handed over by it and not settled yet.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    /// Its place in the queue, which it gets back when it is released.
    position: u64,
    level: usize,
    expires_at: Option<Instant>,
    pub(super) redelivered: bool,
    /// How often it was delivered before; only quorum queues count.
    pub(super) deliveries: u32,
}

/// Who may use an exclusive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Everybody: the queue isn't exclusive.
    Nobody,
    /// It was declared by itself: anyone until the broker is closed.
    Broker,
    /// It was declared with that consumer, and goes with it.
    Consumer(ConsumerId),
}

/// What a queue says to one message more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It fits, or others go for it.
    Fits,
    /// The publisher gets a nack.
    Full,
    /// The publisher gets a nack and the message is dead-lettered.
    FullDeadLetter,
}

/// A queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) declaration: QueueDeclaration,
    pub(super) settings: Settings,
    pub(super) owner: Owner,
    /// The next in turn first.
    pub(super) consumers: VecDeque<ConsumerId>,
    /// When it was last declared, consumed or asked for a message.
    pub(super) used_at: Instant,
    /// When the model looks at it again.
    pub(super) alarm: Option<Instant>,
    pub(super) unacked: usize,
    /// By priority, lowest first; each in order of position.
    levels: Vec<VecDeque<Entry>>,
    length: usize,
    bytes: u64,
    next_position: u64,
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(
        declaration: QueueDeclaration,
        settings: Settings,
        owner: Owner,
        now: Instant,
    ) -> Self {
        let levels = usize::from(settings.max_priority) + 1;
        Self {
            declaration,
            settings,
            owner,
            consumers: VecDeque::new(),
            used_at: now,
            alarm: None,
            unacked: 0,
            levels: (0..levels).map(|_| VecDeque::new()).collect(),
            length: 0,
            bytes: 0,
            next_position: 0,
        }
    }

    /// Ready messages, the last to leave first.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.levels.iter().flatten()
    }

    /// Ready messages.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// An entry for a message that arrives now. Its time to live is the shorter one of its own and
    /// the queue's.
    pub(super) fn entry(&mut self, message: Arc<Message>, now: Instant) -> Entry {
        let own = expiration(&message);
        let ttl = match (own, self.settings.message_ttl) {
            (Some(own), Some(queue)) => Some(own.min(queue)),
            (own, queue) => own.or(queue),
        };
        let priority = message.properties.priority.unwrap_or(0).min(self.settings.max_priority);
        Entry {
            position: self.take_position(),
            level: priority.into(),
            expires_at: ttl.and_then(|ttl| now.checked_add(ttl)),
            message,
            redelivered: false,
            deliveries: 0,
        }
    }

    fn take_position(&mut self) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        position
    }

    /// Puts an entry in its place: at the end if it is new, where it was if it comes back.
    pub(super) fn put(&mut self, entry: Entry) {
        self.length += 1;
        self.bytes += size(&entry.message);
        let level = &mut self.levels[entry.level];
        if level.back().is_none_or(|last| last.position < entry.position) {
            level.push_back(entry);
        } else {
            let at = level.partition_point(|other| other.position < entry.position);
            level.insert(at, entry);
        }
    }

    /// Puts back an entry that was delivered. `Err` gives it back where it was delivered too often.
    pub(super) fn put_back(&mut self, mut entry: Entry) -> Result<(), Entry> {
        entry.redelivered = true;
        if self.settings.kind == QueueKind::Quorum {
            entry.deliveries = entry.deliveries.saturating_add(1);
            match self.settings.delivery_limit {
                Some(limit) if entry.deliveries > limit => return Err(entry),
                Some(_) => {}
                // Without a limit a quorum queue appends it anew, so that its log can be cut.
                None => entry.position = self.take_position(),
            }
        }
        self.put(entry);
        Ok(())
    }

    /// The next message: the highest priority, then the oldest.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.levels.iter_mut().rev().find_map(VecDeque::pop_front)?;
        self.length -= 1;
        self.bytes -= size(&entry.message);
        Some(entry)
    }

    /// The next message, if its time to live is over. Those behind it wait for it, as RabbitMQ has
    /// it.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<Entry> {
        self.head()?.expires_at.filter(|at| *at <= now)?;
        self.pop()
    }

    /// The message that makes a drop-head queue too full: the next one to be delivered.
    pub(super) fn pop_overflow(&mut self) -> Option<Entry> {
        let (length, bytes) = self.bounds();
        let over = self.length as u64 > length || self.bytes > bytes;
        if over && self.drops_head() { self.pop() } else { None }
    }

    /// Forgets the ready messages and says how many there were.
    pub(super) fn clear(&mut self) -> usize {
        self.levels.iter_mut().for_each(VecDeque::clear);
        self.bytes = 0;
        std::mem::take(&mut self.length)
    }

    /// Whether a message may enter.
    pub(super) fn room_for(&self, message: &Message) -> Room {
        let (length, bytes) = self.bounds();
        let fits =
            (self.length as u64) < length && self.bytes.saturating_add(size(message)) <= bytes;
        if fits || self.drops_head() {
            Room::Fits
        } else if self.settings.overflow == Overflow::RejectPublishDlx {
            Room::FullDeadLetter
        } else {
            Room::Full
        }
    }

    /// A queue without a bound of its own refuses at the model's; a stream forgets its oldest.
    fn drops_head(&self) -> bool {
        let bounded = self.settings.max_length.is_some() || self.settings.max_bytes.is_some();
        self.settings.kind == QueueKind::Stream
            || (bounded && self.settings.overflow == Overflow::DropHead)
    }

    fn bounds(&self) -> (u64, u64) {
        (
            self.settings.max_length.unwrap_or(EMBEDDED_QUEUE_MESSAGES),
            self.settings.max_bytes.unwrap_or(EMBEDDED_QUEUE_BYTES),
        )
    }

    fn head(&self) -> Option<&Entry> {
        self.levels.iter().rev().find_map(VecDeque::front)
    }

    /// When something happens to the queue by itself: its next message expires, or it does.
    pub(super) fn due(&self) -> Option<Instant> {
        let message = self.head().and_then(|head| head.expires_at);
        match (message, self.expires_at()) {
            (Some(message), Some(queue)) => Some(message.min(queue)),
            (message, queue) => message.or(queue),
        }
    }

    /// When the queue itself goes, if nobody uses it until then.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let expires = self.settings.expires.filter(|_| self.consumers.is_empty())?;
        self.used_at.checked_add(expires)
    }
}

/// Bytes that count against a queue's bound: the body's.
fn size(message: &Message) -> u64 {
    message.body.len() as u64
}

/// A message's own time to live; one that can't be read counts as none.
fn expiration(message: &Message) -> Option<Duration> {
    message.properties.expiration.as_deref().and_then(parse_expiration)
}

/// Reads the `expiration` property: milliseconds, in decimal.
pub(super) fn parse_expiration(text: &str) -> Option<Duration> {
    text.parse::<u32>().ok().map(|millis| Duration::from_millis(millis.into()))
}

#[cfg(test)]
mod tests;
