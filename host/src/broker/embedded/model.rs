//! The broker's state and how messages move through it: published, handed over, settled, expired,
//! dead-lettered.
//!
//! Single-threaded and without I/O; the caller holds the lock and says what time it is. Time passes
//! in [`Model::advance`], event by event in order, so that what happened while nobody looked
//! happened at its own moment.

mod objects;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::Signal;
use super::death::{Death, Reason, buried, is_cycle};
use super::exchange::{self, Exchanges};
use super::queue::{ConsumerId, Entry, Queue, Room};
use crate::broker::{BrokerError, Outgoing, Published, Settlement};
use crate::clock::Clock;
use crate::message::Message;

/// The state of the broker.
pub(super) struct Model {
    exchanges: Exchanges,
    queues: BTreeMap<Arc<str>, Queue>,
    consumers: BTreeMap<ConsumerId, Consuming>,
    next_consumer: ConsumerId,
    next_queue: u64,
    /// When each queue that waits for something is to be looked at.
    alarms: BTreeSet<(Instant, Arc<str>)>,
    /// Dead letters on their way; empty between two calls.
    letters: VecDeque<Letter>,
    /// The same moment on both clocks, for the times in `x-death`: the broker stands for another machine.
    epoch: (Instant, u64),
}

/// A consumer as the broker sees it.
struct Consuming {
    queue: Arc<str>,
    exclusive: bool,
    prefetch: usize,
    next_tag: u64,
    unacked: BTreeMap<u64, Entry>,
    /// Tags that were delivered, but not taken by the client yet.
    outbox: VecDeque<u64>,
    signal: Arc<Signal>,
    cancelled: bool,
    /// Why it is over; kept until its client has seen it.
    end: Option<BrokerError>,
}

/// A dead letter on its way to its exchange.
struct Letter {
    message: Message,
    /// A letter that no consumer rejected isn't sent round in a circle.
    automatic: bool,
}

/// What a consumer finds when it asks for a message.
pub(super) enum Handed {
    Entry { tag: u64, entry: Entry },
    Nothing,
    Over(BrokerError),
}

// === impl Model: messages ===

impl Model {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            exchanges: exchange::predeclared(),
            queues: BTreeMap::new(),
            consumers: BTreeMap::new(),
            next_consumer: 0,
            next_queue: 0,
            alarms: BTreeSet::new(),
            letters: VecDeque::new(),
            epoch: (now, Clock::system().now_us()),
        }
    }

    /// Lets everything happen that is due until `now`, in order.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some((at, name)) = self.alarms.first().filter(|(at, _)| *at <= now).cloned() {
            let Some(queue) = self.queues.get(&name) else {
                self.alarms.remove(&(at, name));
                continue;
            };
            if queue.expires_at().is_some_and(|expires| expires <= at) {
                self.remove_queue(&name, at);
            } else {
                self.refresh(&name, at);
            }
            self.deliver_letters(at);
        }
    }

    /// When the next thing happens that a waiting consumer might see: a message that expires into
    /// a dead-letter exchange. What concerns its own queue alone can wait until somebody asks, so
    /// that a far expiry moves no paused clock.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let seen = |queue: &Queue| queue.settings.dead_letter_exchange.is_some();
        self.alarms.iter().find(|(_, name)| self.queues.get(name).is_some_and(seen)).map(|a| a.0)
    }

    /// Publishes one message.
    pub(super) fn publish(&mut self, outgoing: &Outgoing, now: Instant) -> Published {
        match self.exchanges.get(outgoing.exchange.as_str()) {
            None => {
                return Published::NoTarget(format!("no exchange '{}'", outgoing.exchange));
            }
            Some(exchange) if exchange.declaration.internal => {
                return Published::NoTarget(format!(
                    "exchange '{}' is internal",
                    outgoing.exchange
                ));
            }
            Some(_) => {}
        }
        let mut message = Message {
            exchange: outgoing.exchange.clone(),
            routing_key: outgoing.routing_key.clone(),
            properties: outgoing.properties.clone(),
            body: outgoing.body.clone(),
        };
        message.properties.delivery_mode.get_or_insert(2);
        let mut queues = exchange::route(&self.exchanges, &message);
        queues.retain(|queue| self.queues.contains_key(queue.as_str()));
        message.properties.headers.remove("BCC");
        if queues.is_empty() {
            return Published::Unroutable;
        }
        let message = Arc::new(message);
        let mut outcome = Published::Confirmed;
        for queue in &queues {
            if !self.offer(queue, &message, now) {
                outcome = Published::Refused(format!("queue '{queue}' is full"));
            }
        }
        self.deliver_letters(now);
        outcome
    }

    /// Gives a message to a queue; false if it is full and refuses.
    fn offer(&mut self, name: &str, message: &Arc<Message>, now: Instant) -> bool {
        let Some(queue) = self.queues.get_mut(name) else { return true };
        let room = queue.room_for(message);
        let entry = queue.entry(Arc::clone(message), now);
        match room {
            Room::Fits => {}
            Room::Full => return false,
            Room::FullDeadLetter => {
                self.bury(name, &entry, Reason::MaxLength, now);
                return false;
            }
        }
        if queue.length() == 0
            && let Some(id) = self.next_taker(name)
        {
            self.hand(id, entry);
        } else if let Some(queue) = self.queues.get_mut(name) {
            queue.put(entry);
            self.refresh(name, now);
        }
        true
    }

    /// Settles a delivery. A tag that isn't open is passed over.
    pub(super) fn settle(
        &mut self,
        id: ConsumerId,
        tag: u64,
        settlement: Settlement,
        now: Instant,
    ) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let Some(entry) = consumer.unacked.remove(&tag) else { return };
        let name = Arc::clone(&consumer.queue);
        let Some(queue) = self.queues.get_mut(&name) else { return };
        queue.unacked -= 1;
        match settlement {
            Settlement::Ack => {}
            Settlement::DeadLetter => self.bury(&name, &entry, Reason::Rejected, now),
            Settlement::Release => self.put_back(&name, entry, now),
        }
        self.refresh(&name, now);
        self.deliver_letters(now);
    }

    /// What a consumer's client gets next.
    pub(super) fn hand_out(&mut self, id: ConsumerId) -> Handed {
        let Some(consumer) = self.consumers.get_mut(&id) else {
            return Handed::Over(BrokerError::ChannelClosed("the consumer is closed".to_owned()));
        };
        if let Some(tag) = consumer.outbox.pop_front()
            && let Some(entry) = consumer.unacked.get(&tag)
        {
            return Handed::Entry { tag, entry: entry.clone() };
        }
        match &consumer.end {
            Some(end) => Handed::Over(end.clone()),
            None => Handed::Nothing,
        }
    }

    /// Takes the next message out of a queue for good.
    pub(super) fn get(&mut self, name: &str, now: Instant) -> Option<Entry> {
        let queue = self.queues.get_mut(name)?;
        queue.used_at = now;
        let entry = queue.pop();
        self.refresh(name, now);
        self.deliver_letters(now);
        entry
    }

    /// What waits, queue by queue.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<(String, bytes::Bytes)> {
        let of = |(name, queue): (&Arc<str>, &Queue)| {
            let bodies = queue.waiting().map(|entry| entry.message.body.clone());
            bodies.map(|body| (name.to_string(), body)).collect::<Vec<_>>()
        };
        self.queues.iter().flat_map(of).collect()
    }

    fn put_back(&mut self, name: &str, entry: Entry, now: Instant) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        if let Err(entry) = queue.put_back(entry) {
            self.bury(name, &entry, Reason::DeliveryLimit, now);
        }
    }

    /// After any change to a queue: what is too much or too old leaves, what may be handed over is
    /// handed over, and the alarm is set.
    fn refresh(&mut self, name: &str, now: Instant) {
        while let Some(queue) = self.queues.get_mut(name) {
            let (entry, reason) = if let Some(expired) = queue.pop_expired(now) {
                (expired, Reason::Expired)
            } else if queue.length() > 0
                && let Some(id) = self.next_taker(name)
            {
                if let Some(entry) = self.queues.get_mut(name).and_then(Queue::pop) {
                    self.hand(id, entry);
                }
                continue;
            } else if let Some(queue) = self.queues.get_mut(name)
                && let Some(dropped) = queue.pop_overflow()
            {
                (dropped, Reason::MaxLength)
            } else {
                break;
            };
            self.bury(name, &entry, reason, now);
        }
        self.set_alarm(name);
    }

    fn set_alarm(&mut self, name: &str) {
        let Some((name, queue)) = self.queues.get_key_value(name) else { return };
        let (name, due) = (Arc::clone(name), queue.due());
        let Some(queue) = self.queues.get_mut(&name) else { return };
        if queue.alarm == due {
            return;
        }
        let before = std::mem::replace(&mut queue.alarm, due);
        if let Some(before) = before {
            self.alarms.remove(&(before, Arc::clone(&name)));
        }
        if let Some(due) = due {
            self.alarms.insert((due, name));
        }
    }

    /// The consumer that gets the queue's next message: round robin among those with credit left;
    /// with a single active consumer the first alone.
    fn next_taker(&mut self, name: &str) -> Option<ConsumerId> {
        let queue = self.queues.get_mut(name)?;
        let candidates = match queue.settings.single_active_consumer {
            true => queue.consumers.len().min(1),
            false => queue.consumers.len(),
        };
        let has_credit =
            |id: &ConsumerId| self.consumers.get(id).is_some_and(|c| c.unacked.len() < c.prefetch);
        let at = queue.consumers.iter().take(candidates).position(has_credit)?;
        let id = queue.consumers.get(at).copied()?;
        if candidates > 1 {
            queue.consumers.rotate_left(at + 1);
        }
        Some(id)
    }

    fn hand(&mut self, id: ConsumerId, entry: Entry) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        if let Some(queue) = self.queues.get_mut(&consumer.queue) {
            queue.unacked += 1;
        }
        let tag = consumer.next_tag;
        consumer.next_tag += 1;
        consumer.unacked.insert(tag, entry);
        consumer.outbox.push_back(tag);
        consumer.signal.wake();
    }

    /// Sends a message that left its queue to the queue's dead-letter exchange, if it has one.
    fn bury(&mut self, name: &str, entry: &Entry, reason: Reason, now: Instant) {
        let Some(queue) = self.queues.get(name) else { return };
        let Some(exchange) = &queue.settings.dead_letter_exchange else { return };
        let death = Death { reason, queue: name, time: self.seconds(now) };
        let key = queue.settings.dead_letter_routing_key.as_deref();
        let message = buried(&entry.message, &death, exchange, key);
        self.letters.push_back(Letter { message, automatic: reason != Reason::Rejected });
    }

    /// Routes dead letters until none is left. It ends: a letter that nobody rejected enters no
    /// queue twice, and nobody rejects meanwhile.
    fn deliver_letters(&mut self, now: Instant) {
        while let Some(Letter { message, automatic }) = self.letters.pop_front() {
            let mut queues = exchange::route(&self.exchanges, &message);
            queues.retain(|queue| !(automatic && is_cycle(&message, queue)));
            let message = Arc::new(message);
            for queue in queues {
                // As in RabbitMQ a queue that refuses a dead letter loses it.
                self.offer(&queue, &message, now);
            }
        }
    }

    /// Seconds since 1970-01-01 UTC.
    fn seconds(&self, now: Instant) -> u64 {
        let wall = Duration::from_micros(self.epoch.1);
        (wall + now.saturating_duration_since(self.epoch.0)).as_secs()
    }
}
