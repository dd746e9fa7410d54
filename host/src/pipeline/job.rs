//! A delivery on its way through a pipeline.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::identity::Identity;
use crate::broker::{Receipt, Settlement};
use crate::message::Message;
use crate::telemetry::{Failed, Outcome};
use crate::verdict::Failure;

/// A delivery with all that the pipeline knows of it. It goes from hand to hand, so that it stays where it
/// is in memory: it is of half a kilobyte.
#[derive(Debug)]
pub struct Job(Box<Particulars>);

/// What is known of a delivery.
#[derive(Debug)]
pub struct Particulars {
    /// The message as its producer published it, whatever attempt this is.
    pub message: Message,
    /// Its body with the content encoding taken off, where it had one.
    pub decoded: Option<Bytes>,
    /// What orders it and finds its state.
    pub key: Option<Arc<str>>,
    /// The partition that it belongs to.
    pub partition: u8,
    /// Who it is; `None` where the pipeline or the message has no id.
    pub identity: Option<Identity>,
    /// What ids derived from it start from.
    pub seed: [u8; 16],
    /// 1 at the first.
    pub attempt: u32,
    /// When it failed first, in seconds since 1970; 0 where it hasn't.
    pub first_failed_at: u64,
    /// The id of the failure that it was replayed after, where it was.
    pub replay_of: Option<String>,
    /// How often it was replayed.
    pub replay_count: u32,
    /// Why it fails without running, where it does.
    pub unfit: Option<Failure>,
    /// The broker delivered it before, to this host or another.
    pub redelivered: bool,
    /// What the crash journal knows it by, where hosts died of it too often for it to run.
    pub condemned: Option<String>,
    /// Which consumer of the pipeline it came from, counted from its start.
    pub consumer: u64,
    /// When it arrived.
    pub received: Instant,
    /// Digests of outputs that were confirmed in a run that was undone.
    pub confirmed: Vec<u64>,
    /// The versions of plugins that it ran on last, as its lane counts them.
    pub versions: u64,
    /// What it is if it is no delivery but a timer that is due: its name is the routing key.
    pub timer: Option<Fired>,
    /// Settles it; nothing, for a timer.
    pub receipt: Receipt,
}

/// A timer that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The stage that it was set at, and is handed to.
    pub stage: usize,
    /// When it was due, microseconds since 1970.
    pub due_us: u64,
}

// === impl Job ===

impl From<Particulars> for Job {
    fn from(particulars: Particulars) -> Self {
        Self(Box::new(particulars))
    }
}

impl Deref for Job {
    type Target = Particulars;

    fn deref(&self) -> &Particulars {
        &self.0
    }
}

impl DerefMut for Job {
    fn deref_mut(&mut self) -> &mut Particulars {
        &mut self.0
    }
}

impl Job {
    /// Its body as plugins see it.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        self.decoded.as_ref().unwrap_or(&self.message.body)
    }

    /// Settles it; what is known of it goes with it.
    pub fn settle(self, settlement: Settlement) {
        self.0.receipt.settle(settlement);
    }

    /// Priority within a shard's backlog.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.message.properties.priority.unwrap_or(0)
    }

    /// That it failed, as telemetry wants to hear it.
    #[must_use]
    pub fn failed<'a>(&'a self, failure: &'a Failure, then: Outcome) -> Failed<'a> {
        let properties = &self.message.properties;
        Failed {
            failure,
            then,
            attempt: self.attempt,
            message_id: properties.message_id.as_deref(),
            traceparent: properties.headers.text("traceparent"),
        }
    }

    /// Whether it comes before the message of that key and identity is through.
    #[must_use]
    pub fn same_key(&self, key: &str) -> bool {
        self.key.as_deref() == Some(key)
    }
}
