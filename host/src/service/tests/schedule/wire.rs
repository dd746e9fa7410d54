//! What lies between the host and the embedded broker: confirms that take their time or get lost,
//! publishes that are refused, settlements that pass through the very state machine that writes them
//! to RabbitMQ. It keeps a ledger of every tag, and notes what the host does that no broker would take.

mod publishing;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use tokio::sync::Notify;
use tokio::time::sleep;

use self::publishing::WirePublisher;
use super::book::Book;
use crate::broker::amqp::{Coalescer, Frame};
use crate::broker::embedded::Embedded;
use crate::broker::{
    Broker, BrokerError, ConsumeRequest, Consumer, Declaration, Declared, Delivery, Depth,
    LinkState, Publisher, Receipt, Server, Settlement, Settler,
};
use crate::limits::ACK_DELAY;
use crate::message::{FieldValue, Message};
use crate::pipeline::headers::ATTEMPT;

/// The host's way to the broker.
pub(super) struct Wire {
    pub(super) broker: Arc<Embedded>,
    faults: Arc<Faults>,
}

/// What goes wrong now.
pub(super) struct Faults {
    book: Arc<Book>,
    random: Mutex<Rng>,
    pub(super) refuse: AtomicBool,
    pub(super) lose: AtomicBool,
    /// Grows with every connection loss.
    pub(super) breaks: AtomicUsize,
    channels: AtomicUsize,
    /// Told when the broker cancels its consumers, as it does when a queue's leader moves.
    pub(super) cancels: Notify,
}

impl Wire {
    pub(super) fn new(broker: Arc<Embedded>, book: Arc<Book>, seed: u64) -> Self {
        let faults = Faults {
            book,
            random: Mutex::new(Rng::with_seed(seed ^ 0x57_69_72_65)),
            refuse: AtomicBool::new(false),
            lose: AtomicBool::new(false),
            breaks: AtomicUsize::new(0),
            channels: AtomicUsize::new(0),
            cancels: Notify::new(),
        };
        Self { broker, faults: Arc::new(faults) }
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Faults {
    fn chance(&self, of: u8) -> bool {
        self.random.lock().unwrap().u8(..of) == 0
    }

    async fn latency(&self) {
        let ms = self.random.lock().unwrap().u64(0..8);
        if ms == 0 {
            tokio::task::yield_now().await;
        } else {
            sleep(Duration::from_millis(ms * ms)).await;
        }
    }
}

#[async_trait]
impl Broker for Wire {
    async fn server(&self) -> Result<Server, BrokerError> {
        self.broker.server().await
    }

    async fn declare(&self, object: &Declaration) -> Result<Declared, BrokerError> {
        // Others get their turn between an exchange and its bindings.
        tokio::task::yield_now().await;
        self.broker.declare(object).await
    }

    async fn exists(&self, object: &Declaration) -> Result<bool, BrokerError> {
        self.broker.exists(object).await
    }

    async fn depth(&self, queue: &str) -> Result<Depth, BrokerError> {
        self.broker.depth(queue).await
    }

    async fn consume(&self, request: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError> {
        let prefetch = request.prefetch;
        let inner = self.broker.consume(request).await?;
        let number = self.faults.channels.fetch_add(1, Ordering::Relaxed);
        let coalescer = Coalescer::new(prefetch);
        let life = self.faults.book.facts().life;
        let channel = Arc::new_cyclic(|me| Channel {
            me: Weak::clone(me),
            number,
            life,
            book: Arc::clone(&self.faults.book),
            ledger: Mutex::new(Ledger { coalescer, held: BTreeMap::new(), due: false }),
            gone: AtomicBool::new(false),
        });
        self.faults.book.trace(&format!("channel {number} opens"));
        {
            let mut facts = self.faults.book.facts();
            facts.open.insert(number, (0, false));
            facts.channels += 1;
        }
        Ok(Box::new(WireConsumer { inner, channel, faults: Arc::clone(&self.faults) }))
    }

    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError> {
        let inner = self.broker.publisher().await?;
        Ok(Box::new(WirePublisher { inner, faults: Arc::clone(&self.faults) }))
    }

    fn link(&self) -> LinkState {
        self.broker.link()
    }

    async fn close(&self) {
        self.broker.close().await;
    }
}

struct WireConsumer {
    inner: Box<dyn Consumer>,
    channel: Arc<Channel>,
    faults: Arc<Faults>,
}

/// A channel as its client and its broker see it.
struct Channel {
    me: Weak<Self>,
    number: usize,
    life: usize,
    book: Arc<Book>,
    ledger: Mutex<Ledger>,
    gone: AtomicBool,
}

struct Ledger {
    coalescer: Coalescer,
    held: BTreeMap<u64, Held>,
    /// Somebody will flush.
    due: bool,
}

/// A delivery that the broker has no settlement of yet.
struct Held {
    receipt: Receipt,
    id: Option<u32>,
    attempt: u32,
    asked: Option<Settlement>,
}

/// A message's number, from the body of an input or an output.
pub(super) fn id_of(body: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(body).ok()?;
    text.split([' ', '/']).next()?.parse().ok()
}

fn attempt_of(message: &Message) -> u32 {
    let attempt = message.properties.headers.get(ATTEMPT).and_then(FieldValue::as_i64);
    attempt.and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(1)
}

#[async_trait]
impl Consumer for WireConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let next = tokio::select! {
            biased;
            () = self.faults.cancels.notified() => {
                Err(BrokerError::Cancelled("the queue's leader moved".to_owned()))
            }
            next = self.inner.next() => next,
        };
        let delivery = match next {
            Ok(delivery) => delivery,
            Err(error) => {
                self.channel.lost();
                return Err(error);
            }
        };
        let Delivery { message, redelivered, delivery_count, unfit, receipt } = delivery;
        let channel = &self.channel;
        let tag = receipt.tag();
        let (id, attempt) = (id_of(&message.body), attempt_of(&message));
        channel.book.trace(&format!(
            "channel {} delivers {tag}: {id:?} attempt {attempt} redelivered {redelivered}",
            channel.number
        ));
        {
            let mut facts = channel.book.facts();
            if let Some(id) = id {
                facts.deliveries.entry(id).or_default().push(channel.life);
            }
            if let Some((open, _)) = facts.open.get_mut(&channel.number) {
                *open += 1;
            }
        }
        let held = Held { receipt, id, attempt, asked: None };
        channel.ledger.lock().unwrap().held.insert(tag, held);
        let receipt = Receipt::new(Arc::clone(channel) as Arc<dyn Settler>, tag);
        Ok(Delivery { message, redelivered, delivery_count, unfit, receipt })
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        let cancelled = self.inner.cancel().await;
        if cancelled.is_err() {
            self.channel.lost();
        }
        cancelled
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        self.channel.flush();
        self.inner.close().await
    }
}

impl Settler for Channel {
    fn settle(&self, tag: u64, settlement: Settlement) {
        if self.is_killed() {
            return;
        }
        self.book.trace(&format!("channel {} is asked to {settlement:?} {tag}", self.number));
        let mut ledger = self.ledger.lock().unwrap();
        if let Some((open, _)) = self.book.facts().open.get_mut(&self.number) {
            *open = open.saturating_sub(1);
        }
        let mut frames = Vec::new();
        if !ledger.coalescer.settle(tag, settlement, &mut frames) {
            self.book.violation(format!("settled twice: tag {tag} of channel {}", self.number));
        }
        match ledger.held.get_mut(&tag) {
            Some(held) => {
                held.asked = Some(settlement);
                if let (Settlement::DeadLetter, Some(id)) = (settlement, held.id) {
                    self.book.facts().nacked.insert((id, held.attempt));
                }
            }
            None => self.book.violation(format!("unknown tag: {tag} of channel {}", self.number)),
        }
        ledger.coalescer.collect(&mut frames);
        self.write(&mut ledger, &frames);
    }

    fn is_stale(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
            || self.ledger.lock().unwrap().held.values().any(|held| held.receipt.is_stale())
    }

    fn dropped(&self, tag: u64) {
        if !self.is_killed() {
            self.book.violation(format!("receipt dropped: tag {tag} of channel {}", self.number));
        }
    }
}

impl Channel {
    /// The broker took its deliveries back.
    fn lost(&self) {
        if !self.gone.swap(true, Ordering::Relaxed) {
            self.book.trace(&format!("channel {} is gone", self.number));
            if let Some((_, gone)) = self.book.facts().open.get_mut(&self.number) {
                *gone = true;
            }
        }
    }

    /// Its process is gone: nothing that is asked now is heard.
    fn is_killed(&self) -> bool {
        self.book.facts().killed.contains(&self.life)
    }

    /// Writes what waits behind an open tag.
    fn flush(&self) {
        if self.is_killed() {
            return;
        }
        let mut ledger = self.ledger.lock().unwrap();
        ledger.due = false;
        let mut frames = Vec::new();
        ledger.coalescer.collect(&mut frames);
        ledger.coalescer.flush(&mut frames);
        self.write(&mut ledger, &frames);
    }

    fn write(&self, ledger: &mut Ledger, frames: &[Frame]) {
        for frame in frames {
            match *frame {
                Frame::Ack { tag, multiple: false } => self.end(ledger, tag, Settlement::Ack),
                Frame::Ack { tag, multiple: true } => {
                    let tags: Vec<u64> = ledger.held.range(..=tag).map(|(tag, _)| *tag).collect();
                    if !tags.contains(&tag) {
                        self.end(ledger, tag, Settlement::Ack);
                    }
                    tags.into_iter().for_each(|tag| self.end(ledger, tag, Settlement::Ack));
                }
                Frame::Nack { tag, requeue: true } => self.end(ledger, tag, Settlement::Release),
                Frame::Nack { tag, requeue: false } => {
                    self.end(ledger, tag, Settlement::DeadLetter);
                }
            }
        }
        if ledger.coalescer.is_waiting() && !ledger.due {
            ledger.due = true;
            let me = Weak::clone(&self.me);
            tokio::spawn(async move {
                sleep(ACK_DELAY).await;
                if let Some(channel) = me.upgrade() {
                    channel.flush();
                }
            });
        }
    }

    /// The broker hears how a delivery ends.
    fn end(&self, ledger: &mut Ledger, tag: u64, settlement: Settlement) {
        let number = self.number;
        let Some(Held { receipt, id, attempt, asked }) = ledger.held.remove(&tag) else {
            self.book.violation(format!("unknown tag: {tag} of channel {number} on the wire"));
            return;
        };
        if asked != Some(settlement) {
            let text =
                format!("open tag: {tag} of channel {number}: {settlement:?}, asked {asked:?}");
            self.book.violation(text);
        }
        if let (Settlement::Ack, Some(id), false) = (settlement, id, receipt.is_stale()) {
            let allowed = self.book.facts().may_ack(id, attempt);
            if let Err(why) = allowed {
                self.book.violation(why);
            }
        }
        receipt.settle(settlement);
    }
}
