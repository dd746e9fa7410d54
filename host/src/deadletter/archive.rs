//! Dead letters that their queue keeps no longer, written to files: the dead-letter queue's own
//! dead-letter exchange puts them into an archive's queue, from which they are taken here.
//!
//! A message is acknowledged once its line is on disk. Where the disk, or what may be used of it, is
//! full, nothing is consumed until there is room: the queue keeps it all meanwhile.

mod files;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

pub use self::files::Files;
use super::export;
use super::letter::{Death, Letter};
use super::work::Found;
use crate::broker::{Broker, BrokerError, ConsumeRequest, Consumer, Delivery, Settlement};
use crate::config::{Config, DeadLetter, PastLimit};
use crate::limits;
use crate::message::Message;
use crate::notice::ConditionKind;
use crate::pipeline::Backoff;
use crate::telemetry::{DeadLetterMetrics, Telemetry};

/// The broker and name of each archive's queue.
#[must_use]
pub fn queues(config: &Config) -> BTreeSet<(String, String)> {
    let queues = config.queues.iter().filter_map(|queue| match &queue.dead_letter {
        DeadLetter::To(target) => match &target.past_limit {
            PastLimit::Archive(name) => Some((target.broker.clone(), name.clone())),
            PastLimit::Drop => None,
        },
        DeadLetter::Unset | DeadLetter::Policy | DeadLetter::Discard => None,
    });
    queues.collect()
}

/// One archive's queue on its way to files.
pub struct Archive {
    broker: Arc<dyn Broker>,
    queue: String,
    ready: watch::Receiver<Result<(), String>>,
    files: Arc<Files>,
    metrics: DeadLetterMetrics,
    telemetry: Telemetry,
}

/// Why archiving stopped for now.
enum Stop {
    Broker(BrokerError),
    Disk(String),
}

impl From<BrokerError> for Stop {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

impl Archive {
    /// An archive that does nothing before [`Archive::run`].
    #[must_use]
    pub fn new(
        (name, broker): (&str, Arc<dyn Broker>),
        queue: &str,
        ready: watch::Receiver<Result<(), String>>,
        files: Arc<Files>,
        telemetry: &Telemetry,
    ) -> Self {
        let metrics = telemetry.dead_letters(name, queue);
        Self {
            broker,
            queue: queue.to_owned(),
            ready,
            files,
            metrics,
            telemetry: telemetry.clone(),
        }
    }

    /// Archives for as long as it is polled.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            if self.ready.wait_for(Result::is_ok).await.is_err() {
                // The host is stopping.
                return;
            }
            let stop = match self.files.room() {
                Ok(()) => self.drain(&mut backoff).await,
                Err(error) => Stop::Disk(error.to_string()),
            };
            match stop {
                Stop::Disk(why) => {
                    self.paused(Some(&why));
                    tokio::time::sleep(limits::ARCHIVE_LOOK).await;
                }
                Stop::Broker(error) => {
                    tracing::warn!(queue = self.queue, %error, "archiving broke off; trying again");
                    backoff.wait().await;
                }
            }
        }
    }

    fn paused(&self, why: Option<&str>) {
        self.telemetry.condition(ConditionKind::ArchivePaused, &self.queue, why);
    }

    /// Archives until something is in the way.
    async fn drain(&self, backoff: &mut Backoff) -> Stop {
        let request = ConsumeRequest {
            queue: self.queue.clone(),
            declare: Vec::new(),
            prefetch: limits::ARCHIVE_PREFETCH,
            exclusive: false,
            tag: format!("sluicegate.archive.{}", std::process::id()),
        };
        let mut consumer = match self.broker.consume(request).await {
            Ok(consumer) => consumer,
            Err(error) => return Stop::Broker(error),
        };
        self.paused(None);
        loop {
            let group = match group(&mut *consumer).await {
                Ok(group) => group,
                Err(error) => return Stop::Broker(error),
            };
            backoff.reset();
            if let Err(stop) = self.keep(group).await {
                // What is held goes back with the channel, wherever it went before.
                let _gone = consumer.cancel().await;
                let _closed = consumer.close().await;
                return stop;
            }
        }
    }

    /// Writes a group, then acknowledges it; releases it where it can't be written.
    async fn keep(&self, group: Vec<Delivery>) -> Result<(), Stop> {
        let now = self.telemetry.clock().now_s();
        let mut lines = Vec::new();
        for delivery in &group {
            // A value of JSON can always be written to memory.
            let _written = serde_json::to_writer(&mut lines, &line(&delivery.message, now));
            lines.push(b'\n');
        }
        let (files, queue) = (Arc::clone(&self.files), self.queue.clone());
        let writing = tokio::task::spawn_blocking(move || files.write(&queue, now, &lines));
        let written = match writing.await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let settlement = if written.is_ok() { Settlement::Ack } else { Settlement::Release };
        let letters = group.len() as u64;
        for delivery in group {
            delivery.receipt.settle(settlement);
        }
        written.map_err(Stop::Disk)?;
        self.metrics.archived(letters);
        Ok(())
    }
}

/// What is there now, up to a prefetch; waits for the first message.
async fn group(consumer: &mut dyn Consumer) -> Result<Vec<Delivery>, BrokerError> {
    let mut group = vec![consumer.next().await?];
    let mut bytes = group[0].message.body.len();
    while group.len() < usize::from(limits::ARCHIVE_PREFETCH) && bytes < limits::ARCHIVE_GROUP_BYTES
    {
        match tokio::time::timeout(limits::ARCHIVE_GATHER, consumer.next()).await {
            Ok(Ok(delivery)) => {
                bytes += delivery.message.body.len();
                group.push(delivery);
            }
            // What is held is written all the same; its acknowledgement is stale, and it comes again.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    Ok(group)
}

/// A line of the archive: what `dlq export` writes, with when and why it left its queue, and what ties
/// it to its failure report.
fn line(message: &Message, now_s: u64) -> Value {
    let (letter, left) = Letter::archived(message.clone());
    let Death { queue, reason, time, .. } = left.unwrap_or_default();
    let report = letter.stand_in();
    let found = Found { report, letter, reported: false, fate: None, place: queue };
    let mut line = export::line(&found);
    line["letter"] = found.letter.digest.clone().into();
    line["failure_id"] = json!(found.letter.failure_id);
    line["left"] = json!({ "reason": reason, "time": time, "archived_at": now_s });
    line
}

#[cfg(test)]
mod tests;
