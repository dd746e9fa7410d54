//! A queue read without taking anything out: every message is consumed, held unacknowledged, and
//! released at the end, which on a classic queue puts it back into its place. It is released by closing the
//! channel: a queue takes thousands back at once in no time, but one by one in minutes.
//!
//! A consumer gets no more than its prefetch, and the prefetch of a living consumer can't be raised. So a
//! queue is read in windows: when all of a window is held, its consumer is cancelled (what it holds stays
//! held, its channel stays open) and the next one is started. What the broker sends ahead is bounded, and
//! of a held message only its tag is kept. Each consumer is exclusive: two readers at once would each see
//! a part and take it for the whole.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Trouble;
use crate::broker::{Broker, BrokerError, ConsumeRequest, Consumer, Delivery, Receipt, Settlement};
use crate::limits::{
    DLQ_LENGTH_LOOK, DLQ_LENGTH_LOOKS, DLQ_LOCKED_POLL, DLQ_LOCKED_WAIT, DLQ_SETTLE, DLQ_SILENCE,
    DLQ_SILENCES_MAX, DLQ_WINDOW_BYTES, DLQ_WINDOW_MAX, DLQ_WINDOW_MIN, DLQ_WINDOWS_MAX,
};

/// A queue on its way from its first message to the last that it had at the start.
pub struct Browse {
    broker: Arc<dyn Broker>,
    queue: String,
    total: u32,
    /// Messages that may still come.
    left: u32,
    current: Window,
    /// Cancelled consumers that hold what was left.
    spent: Vec<Box<dyn Consumer>>,
    held: u64,
    /// Something was acknowledged.
    acked: bool,
    /// The queue counts deliveries, as quorum queues do.
    counts: bool,
    seen: u64,
    bytes: u64,
}

/// A message taken for a look; it must be settled or held.
#[derive(Debug)]
pub struct Taken {
    /// The delivery.
    pub delivery: Delivery,
    window: usize,
}

/// The right and duty to settle what was taken.
#[derive(Debug)]
pub struct Hold {
    receipt: Receipt,
    window: usize,
}

struct Window {
    number: usize,
    consumer: Box<dyn Consumer>,
    size: usize,
    /// Delivered and not settled.
    open: usize,
}

impl Browse {
    /// Opens the queue, and waits boundedly where somebody else reads it.
    ///
    /// # Errors
    /// When the queue isn't there, can't be read, or stays somebody else's.
    pub async fn open(broker: &Arc<dyn Broker>, queue: &str) -> Result<Self, Trouble> {
        let total = length(broker, queue).await?;
        let consumer = consume(broker, queue, DLQ_WINDOW_MIN).await?;
        let size = usize::from(DLQ_WINDOW_MIN);
        Ok(Self {
            broker: Arc::clone(broker),
            queue: queue.to_owned(),
            total,
            left: total,
            current: Window { number: 0, consumer, size, open: 0 },
            spent: Vec::new(),
            held: 0,
            acked: false,
            counts: false,
            seen: 0,
            bytes: 0,
        })
    }

    /// The same for a queue that counts deliveries.
    #[must_use]
    pub fn counting(self, counts: bool) -> Self {
        Self { counts, ..self }
    }

    /// Messages at the start.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The next message; `None` behind the last that was there at the start.
    ///
    /// # Errors
    /// When the consumer ended, or the broker went silent.
    pub async fn next(&mut self) -> Result<Option<Taken>, Trouble> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.current.open >= self.current.size {
            self.turn().await?;
        }
        for _ in 0..DLQ_SILENCES_MAX {
            if let Ok(delivery) = timeout(DLQ_SILENCE, self.current.consumer.next()).await {
                let delivery = delivery?;
                self.left -= 1;
                self.current.open += 1;
                self.seen += 1;
                self.bytes += delivery.message.body.len() as u64;
                return Ok(Some(Taken { delivery, window: self.current.number }));
            }
            if self.broker.depth(&self.queue).await?.messages == 0 {
                // Some went before they were reached: they expired, or another limit took them.
                self.left = 0;
                return Ok(None);
            }
        }
        let messages = self.broker.depth(&self.queue).await?.messages;
        let waited = DLQ_SILENCE * DLQ_SILENCES_MAX;
        Err(Trouble::Silent { queue: self.queue.clone(), messages, waited })
    }

    /// Leaves a message where it is: it goes back when all is read.
    pub fn hold(&mut self, hold: Hold) {
        self.held += 1;
        hold.receipt.leave();
    }

    /// Acknowledges a message: it is gone from the queue.
    pub fn ack(&mut self, hold: Hold) {
        if hold.window == self.current.number {
            self.current.open -= 1;
        }
        self.acked = true;
        hold.receipt.settle(Settlement::Ack);
    }

    /// How many are held.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Writes every acknowledgement, and gives back what is held.
    ///
    /// # Errors
    /// When a channel broke first: what wasn't acknowledged by then is in the queue again.
    pub async fn close(mut self) -> Result<(), Trouble> {
        let mut closed = Ok(());
        if self.counts && self.acked {
            // A quorum queue's channel sends acknowledgements on as earlier ones are through, and forgets
            // the rest when it closes: those letters would be there again.
            sleep(DLQ_SETTLE).await;
            closed = self.current.consumer.cancel().await;
        }
        self.spent.push(self.current.consumer);
        for consumer in self.spent {
            closed = closed.and(consumer.close().await);
        }
        Ok(closed?)
    }

    /// All of a window is held: on to the next, sized so that what is sent ahead stays bounded.
    async fn turn(&mut self) -> Result<(), Trouble> {
        if self.spent.len() + 1 >= DLQ_WINDOWS_MAX {
            return Err(Trouble::TooMany(self.queue.clone()));
        }
        self.current.consumer.cancel().await?;
        let size = window_size(self.seen, self.bytes);
        let consumer = consume(&self.broker, &self.queue, size).await?;
        let number = self.current.number + 1;
        let next = Window { number, consumer, size: usize::from(size), open: 0 };
        let full = std::mem::replace(&mut self.current, next);
        self.spent.push(full.consumer);
        Ok(())
    }
}

impl Taken {
    /// The delivery without its receipt, and the right to settle it.
    #[must_use]
    pub fn split(self) -> (crate::message::Message, Option<u32>, Hold) {
        let Delivery { message, delivery_count, receipt, .. } = self.delivery;
        (message, delivery_count, Hold { receipt, window: self.window })
    }
}

/// As many as fit into the bytes that may be sent ahead, as far as those seen let expect.
fn window_size(seen: u64, bytes: u64) -> u16 {
    let average = (bytes / seen.max(1)).max(1);
    let fitting = DLQ_WINDOW_BYTES as u64 / average;
    let bounded = fitting.clamp(DLQ_WINDOW_MIN.into(), DLQ_WINDOW_MAX.into());
    u16::try_from(bounded).unwrap_or(DLQ_WINDOW_MAX)
}

/// How long a queue is. What a reader has just given back, or a dead one lost, isn't counted at once:
/// the broker answers questions before it puts messages back. So it is asked until it grows no more.
async fn length(broker: &Arc<dyn Broker>, queue: &str) -> Result<u32, Trouble> {
    let mut most = broker.depth(queue).await?.messages;
    for _ in 0..DLQ_LENGTH_LOOKS {
        sleep(DLQ_LENGTH_LOOK).await;
        let now = broker.depth(queue).await?.messages;
        if now <= most {
            break;
        }
        most = now;
    }
    Ok(most)
}

async fn consume(
    broker: &Arc<dyn Broker>,
    queue: &str,
    prefetch: u16,
) -> Result<Box<dyn Consumer>, Trouble> {
    let started = Instant::now();
    loop {
        let request = ConsumeRequest {
            queue: queue.to_owned(),
            declare: Vec::new(),
            prefetch,
            exclusive: true,
            tag: format!("sluicegate.dlq.{:016x}", fastrand::u64(..)),
        };
        match broker.consume(request).await {
            Ok(consumer) => return Ok(consumer),
            Err(BrokerError::Locked(_)) if started.elapsed() < DLQ_LOCKED_WAIT => {
                sleep(DLQ_LOCKED_POLL).await;
            }
            Err(BrokerError::Locked(_)) => {
                let waited = Duration::from_secs(started.elapsed().as_secs());
                return Err(Trouble::Busy { queue: queue.to_owned(), waited });
            }
            Err(error) => return Err(error.into()),
        }
    }
}
