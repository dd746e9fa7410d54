//! A broker without a network: it hands out prepared messages as fast as they are settled, and confirms
//! what is published at once, so that a host on it shows what it costs itself.
//!
//! Each queue is a belt of its own. A belt stands still until it is given messages to hand out. Like a
//! broker whose client gathers acknowledgements it hands out nothing while more than half of the prefetch
//! is unsettled, once all of it was. What it hands out is made on the spot, as a client makes it of frames:
//! what that costs is known by [`Treadmill::bare`], a consumer that settles what it gets.
//!
//! In step it hands out a handful at once, and the next when all of those are settled: then the host does
//! the same however its threads are scheduled, so that what it does can be counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use async_trait::async_trait;
use sluicegate::broker::{
    Broker, BrokerError, ConsumeRequest, Consumer, Declaration, Declared, Delivery, Depth,
    LinkState, Outgoing, Published, Publisher, Receipt, Server, Settlement, Settler, Version,
};
use sluicegate::message::{Message, Properties};
use tokio::sync::Notify;

use crate::method::Done;
use crate::sample::Sample;

/// Many belts, and what came of what they carried.
pub struct Treadmill {
    samples: Arc<[Sample]>,
    keys: u64,
    step: Option<i64>,
    belts: Mutex<BTreeMap<String, Arc<Belt>>>,
    books: Arc<Books>,
}

/// What is counted over all belts.
#[derive(Default)]
struct Books {
    /// Messages that were given and aren't settled.
    open: AtomicI64,
    acked: AtomicU64,
    dead: AtomicU64,
    published: AtomicU64,
    dropped: AtomicU64,
    through: Mutex<()>,
    told: Condvar,
}

/// One queue.
struct Belt {
    samples: Arc<[Sample]>,
    keys: u64,
    /// To be handed out.
    left: AtomicI64,
    /// Handed out since the start.
    at: AtomicU64,
    wake: Notify,
    books: Arc<Books>,
}

/// One consumer's side of a belt.
struct Settling {
    belt: Arc<Belt>,
    held: AtomicI64,
    /// Unsettled at most.
    most: i64,
    /// Once there are as many, nothing is handed out until no more than these are left.
    refill: i64,
    gone: AtomicBool,
}

struct Walker {
    settling: Arc<Settling>,
    /// All that may be is out.
    full: bool,
}

struct Confirmer(Arc<Books>);

// === impl Treadmill ===

impl Treadmill {
    /// One that hands these out, again and again, each time under another id, and of so many keys in turn.
    #[must_use]
    pub fn new(samples: Vec<Sample>, keys: u64) -> Arc<Self> {
        Arc::new(Self::made(samples, keys, None))
    }

    /// The same in step, so many at once.
    #[must_use]
    pub fn in_step(samples: Vec<Sample>, keys: u64, step: u16) -> Arc<Self> {
        Arc::new(Self::made(samples, keys, Some(step.into())))
    }

    fn made(samples: Vec<Sample>, keys: u64, step: Option<i64>) -> Self {
        let (belts, books) = (Mutex::default(), Arc::default());
        // Each message gets an id of its own.
        let bare = samples.into_iter().map(|sample| Sample {
            properties: Properties { message_id: None, ..sample.properties },
            ..sample
        });
        let samples: Vec<Sample> = bare.collect();
        Self { samples: samples.into(), keys: keys.max(1), step, belts, books }
    }

    fn belt(&self, queue: &str) -> Arc<Belt> {
        let mut belts = self.belts.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            Arc::new(Belt {
                samples: Arc::clone(&self.samples),
                keys: self.keys,
                left: AtomicI64::new(0),
                at: AtomicU64::new(0),
                wake: Notify::new(),
                books: Arc::clone(&self.books),
            })
        };
        Arc::clone(belts.entry(queue.to_owned()).or_insert_with(make))
    }

    /// Hands out so many on each of these queues, and waits until all are settled.
    ///
    /// # Errors
    /// A receipt was dropped: a bug of the host.
    pub fn run<'q>(
        &self,
        queues: impl Iterator<Item = &'q str>,
        messages: u64,
    ) -> anyhow::Result<Done> {
        let before = self.books.done();
        let belts: Vec<Arc<Belt>> = queues.map(|queue| self.belt(queue)).collect();
        let each = i64::try_from(messages)?;
        self.books.open.fetch_add(each * i64::try_from(belts.len())?, Ordering::AcqRel);
        for belt in &belts {
            belt.left.fetch_add(each, Ordering::AcqRel);
            belt.wake.notify_one();
        }
        self.books.wait();
        anyhow::ensure!(self.books.dropped.load(Ordering::Acquire) == 0, "a receipt was dropped");
        let after = self.books.done();
        Ok(Done {
            messages: after.messages - before.messages,
            refused: after.refused - before.refused,
            told: after.told - before.told,
        })
    }

    /// What handing out and settling costs alone: messages taken and acknowledged in groups.
    ///
    /// # Errors
    /// The belt broke.
    pub async fn bare(self: &Arc<Self>, queue: &str, group: usize) -> Result<(), BrokerError> {
        let request = ConsumeRequest {
            queue: queue.to_owned(),
            declare: Vec::new(),
            prefetch: 1000,
            exclusive: false,
            tag: String::new(),
        };
        let mut consumer = self.consume(request).await?;
        let mut held = Vec::with_capacity(group);
        loop {
            held.push(consumer.next().await?);
            while held.len() < group
                && let Some(delivery) = consumer.at_hand()
            {
                held.push(delivery);
            }
            if held.len() == group {
                held.drain(..).for_each(|delivery| delivery.receipt.settle(Settlement::Ack));
            }
        }
    }
}

#[async_trait]
impl Broker for Treadmill {
    async fn server(&self) -> Result<Server, BrokerError> {
        let version = Version { major: 4, minor: 0, patch: 0 };
        Ok(Server { product: "treadmill".to_owned(), version })
    }

    async fn declare(&self, object: &Declaration) -> Result<Declared, BrokerError> {
        let name = match object {
            Declaration::Queue(queue) => queue.name.clone(),
            Declaration::Exchange(_) | Declaration::Binding(_) => String::new(),
        };
        Ok(Declared { name, ..Declared::default() })
    }

    async fn exists(&self, _: &Declaration) -> Result<bool, BrokerError> {
        Ok(true)
    }

    async fn depth(&self, _: &str) -> Result<Depth, BrokerError> {
        Ok(Depth::default())
    }

    async fn consume(&self, request: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError> {
        let settling = Settling {
            belt: self.belt(&request.queue),
            held: AtomicI64::new(0),
            most: self.step.unwrap_or(i64::MAX).min(request.prefetch.into()),
            refill: if self.step.is_some() { 0 } else { i64::from(request.prefetch) / 2 },
            gone: AtomicBool::new(false),
        };
        Ok(Box::new(Walker { settling: Arc::new(settling), full: false }))
    }

    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError> {
        Ok(Box::new(Confirmer(Arc::clone(&self.books))))
    }

    fn link(&self) -> LinkState {
        LinkState {
            consume: true,
            publish: true,
            receipts_dropped: self.books.dropped.load(Ordering::Relaxed),
            ..LinkState::default()
        }
    }

    async fn close(&self) {}
}

// === impl Books ===

impl Books {
    fn settled(&self, settlement: Settlement) {
        match settlement {
            Settlement::Ack => self.acked.fetch_add(1, Ordering::Relaxed),
            Settlement::DeadLetter => self.dead.fetch_add(1, Ordering::Relaxed),
            Settlement::Release => return,
        };
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            drop(self.through.lock());
            self.told.notify_all();
        }
    }

    fn done(&self) -> Done {
        let (acked, dead) = (self.acked.load(Ordering::Acquire), self.dead.load(Ordering::Acquire));
        let told = self.published.load(Ordering::Acquire);
        Done { messages: acked + dead, refused: dead, told }
    }

    fn wait(&self) {
        let mut held = self.through.lock().unwrap_or_else(PoisonError::into_inner);
        while self.open.load(Ordering::Acquire) > 0 {
            held = self.told.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

// === impl Belt ===

impl Belt {
    fn make(&self) -> (u64, Message) {
        let at = self.at.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(at).unwrap_or(0) % self.samples.len();
        let sample = &self.samples[place];
        let mut properties = sample.properties.clone();
        properties.message_id = Some(number(at, 36));
        let mut routing_key = String::with_capacity(32);
        routing_key.push_str("meter.");
        routing_key.push_str(&number(at % self.keys, 8));
        routing_key.push_str(".reading");
        let message = Message {
            exchange: "meters".to_owned(),
            routing_key,
            properties,
            body: sample.body.to_vec().into(),
        };
        (at, message)
    }
}

/// A number in so many hexadecimal digits: 36, as many as a UUID has letters, make an id, of which a host drops
/// what it has seen. Formatting would cost a tenth of all that a host does with a message.
fn number(mut number: u64, digits: usize) -> String {
    let mut text = vec![b'0'; digits];
    for place in text.iter_mut().rev() {
        if number == 0 {
            break;
        }
        *place = b"0123456789abcdef"[usize::from(number.to_le_bytes()[0] & 15)];
        number >>= 4;
    }
    String::from_utf8(text).unwrap_or_default()
}

// === impl Settling ===

impl Settler for Settling {
    fn settle(&self, _: u64, settlement: Settlement) {
        self.belt.books.settled(settlement);
        if settlement == Settlement::Release {
            self.belt.left.fetch_add(1, Ordering::AcqRel);
            self.belt.wake.notify_one();
        }
        if self.held.fetch_sub(1, Ordering::AcqRel) - 1 == self.refill {
            self.belt.wake.notify_one();
        }
    }

    fn is_stale(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn dropped(&self, _: u64) {
        self.belt.books.dropped.fetch_add(1, Ordering::AcqRel);
    }
}

// === impl Walker ===

impl Walker {
    fn may(&mut self) -> bool {
        let held = self.settling.held.load(Ordering::Acquire);
        let Settling { most, refill, .. } = *self.settling;
        self.full = if self.full { held > refill } else { held >= most };
        !self.full && self.settling.belt.left.load(Ordering::Acquire) > 0
    }

    fn hand_out(&self) -> Delivery {
        let belt = &self.settling.belt;
        belt.left.fetch_sub(1, Ordering::AcqRel);
        self.settling.held.fetch_add(1, Ordering::AcqRel);
        let (tag, message) = belt.make();
        let settler: Arc<dyn Settler> = Arc::clone(&self.settling) as _;
        let receipt = Receipt::new(settler, tag);
        Delivery { message, redelivered: false, delivery_count: None, unfit: None, receipt }
    }
}

#[async_trait]
impl Consumer for Walker {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        let belt = Arc::clone(&self.settling.belt);
        while !self.may() {
            belt.wake.notified().await;
        }
        Ok(self.hand_out())
    }

    fn at_hand(&mut self) -> Option<Delivery> {
        self.may().then(|| self.hand_out())
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        self.settling.gone.store(true, Ordering::Relaxed);
        Ok(())
    }
}

// === impl Confirmer ===

#[async_trait]
impl Publisher for Confirmer {
    async fn publish(&mut self, group: &[Outgoing]) -> Vec<Published> {
        self.0.published.fetch_add(group.len() as u64, Ordering::AcqRel);
        vec![Published::Confirmed; group.len()]
    }
}
