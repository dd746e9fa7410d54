//! Whatever clients do, a message is acknowledged once, or still in a queue.

use std::collections::BTreeMap;

use super::*;
use crate::broker::Delivery;

/// Two queues that dead-letter to a third, clients that do as chance has it, and the account of
/// what was published and acknowledged.
struct Chance {
    broker: Arc<Embedded>,
    random: fastrand::Rng,
    consumers: Vec<Box<dyn Consumer>>,
    held: Vec<(String, Delivery)>,
    published: u64,
    acked: BTreeMap<String, u32>,
}

impl Chance {
    async fn new(seed: u64) -> Self {
        let broker = Embedded::new();
        declare(&broker, queue("dead", &[])).await;
        let ttl = [("x-message-ttl", 400.into()), ("x-max-priority", 3.into())];
        declare(&broker, leading_to("classic", "dead", &ttl)).await;
        let limit = [("x-delivery-limit", 2.into())];
        let mut quorum = leading_to("quorum", "dead", &limit);
        quorum.kind = QueueKind::Quorum;
        declare(&broker, quorum).await;
        Self {
            broker,
            random: fastrand::Rng::with_seed(seed),
            consumers: Vec::new(),
            held: Vec::new(),
            published: 0,
            acked: BTreeMap::new(),
        }
    }

    async fn step(&mut self) {
        match self.random.u8(..100) {
            0..30 => self.publish().await,
            30..55 => self.take().await,
            55..85 => self.settle(),
            85..92 => self.join().await,
            92..95 => self.leave().await,
            95..99 => tokio::time::advance(Duration::from_millis(150)).await,
            _ => {
                self.broker.drop_connections();
                self.consumers.clear();
            }
        }
    }

    async fn publish(&mut self) {
        let queue = ["classic", "quorum"][self.random.usize(..2)];
        let mut message = outgoing("", queue, "");
        message.properties.message_id = Some(self.published.to_string());
        message.properties.priority = Some(self.random.u8(..5));
        assert_eq!(publish(&self.broker, message).await, Published::Confirmed);
        self.published += 1;
    }

    async fn take(&mut self) {
        if self.consumers.is_empty() {
            return;
        }
        let at = self.random.usize(..self.consumers.len());
        // Nothing may be there for it: a next that is given up loses nothing.
        tokio::select! {
            biased;
            delivery = self.consumers[at].next() => {
                let delivery = delivery.unwrap();
                let id = delivery.message.properties.message_id.clone().unwrap();
                self.held.push((id, delivery));
            }
            () = std::future::ready(()) => {}
        }
    }

    fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let (id, delivery) = self.held.swap_remove(self.random.usize(..self.held.len()));
        let settlement = match self.random.u8(..3) {
            0 => Settlement::Release,
            1 => Settlement::DeadLetter,
            _ => Settlement::Ack,
        };
        // What was dead-lettered from the last queue would be gone, so that is acknowledged.
        let dies = delivery.message.properties.headers.get("x-death").is_none();
        let settlement = match settlement {
            Settlement::DeadLetter if !dies => Settlement::Ack,
            other => other,
        };
        if settlement == Settlement::Ack && !delivery.receipt.is_stale() {
            *self.acked.entry(id).or_default() += 1;
        }
        delivery.receipt.settle(settlement);
    }

    async fn join(&mut self) {
        if self.consumers.len() < 5 {
            let mut request = request(["classic", "quorum", "dead"][self.random.usize(..3)]);
            request.prefetch = self.random.u16(1..5);
            self.consumers.push(self.broker.consume(request).await.unwrap());
        }
    }

    async fn leave(&mut self) {
        if !self.consumers.is_empty() {
            let at = self.random.usize(..self.consumers.len());
            self.consumers.swap_remove(at).close().await.unwrap();
        }
    }

    /// Ends every client and counts what is left where.
    fn account(mut self) {
        self.consumers.clear();
        let mut seen = self.acked;
        for queue in ["classic", "quorum", "dead"] {
            assert_eq!(self.broker.queue_depth(queue).1, 0, "nobody holds anything");
            while let Some(message) = self.broker.get(queue) {
                *seen.entry(message.properties.message_id.unwrap()).or_default() += 1;
            }
        }
        assert_eq!(seen.len() as u64, self.published, "nothing is lost");
        assert!(seen.values().all(|times| *times == 1), "nothing is there twice: {seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_message_is_lost_or_doubled_whatever_clients_do() {
    for seed in 0..40 {
        let mut chance = Chance::new(seed).await;
        for _ in 0..1500 {
            chance.step().await;
        }
        chance.account();
    }
}
