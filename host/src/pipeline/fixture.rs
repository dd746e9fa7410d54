//! Jobs, deliveries and plugin doubles for tests of pipelines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::time::Instant;

use super::job::{Job, Particulars};
use super::stages::{Call, Stage, Version};
use crate::broker::{Delivery, Receipt, Settlement, Settler};
use crate::message::Message;
use crate::plugin::{Batch, CallError, Decisions};
use crate::reference::Table;

/// A channel that notes how each delivery was settled.
#[derive(Debug, Default)]
pub(crate) struct Settled(pub(crate) Mutex<Vec<(u64, Settlement)>>);

impl Settler for Settled {
    fn settle(&self, tag: u64, settlement: Settlement) {
        self.0.lock().unwrap().push((tag, settlement));
    }

    fn is_stale(&self) -> bool {
        false
    }

    fn dropped(&self, _: u64) {}
}

/// A delivery of that message.
pub(crate) fn delivery(message: Message) -> Delivery {
    Delivery {
        message,
        redelivered: false,
        delivery_count: None,
        unfit: None,
        receipt: Receipt::new(Arc::new(Settled::default()), 1),
    }
}

/// A job of that key and priority; an empty key is none.
pub(crate) fn job(key: &str, priority: u8, body: &str) -> Job {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut message = Message { body, ..Message::default() };
    message.properties.priority = Some(priority);
    let particulars = Particulars {
        message,
        decoded: None,
        key: (!key.is_empty()).then(|| key.into()),
        partition: 0,
        identity: None,
        seed: [0; 16],
        attempt: 1,
        first_failed_at: 0,
        replay_of: None,
        replay_count: 0,
        unfit: None,
        redelivered: false,
        condemned: None,
        consumer: 1,
        received: Instant::now(),
        confirmed: Vec::new(),
        versions: 0,
        timer: None,
        receipt: Receipt::new(Arc::new(Settled::default()), 1),
    };
    particulars.into()
}

/// A plugin double: state, of one version, that needs no migration, and nobody runs beside it.
pub(crate) trait Double {
    /// One `process` call.
    fn process(&mut self, stage: usize, batch: &Batch<'_>) -> Result<Decisions, CallError>;
}

impl<T: Double> Call for T {
    fn version(&self, _: usize) -> Version<'_> {
        Version { digest: "d", stateful: true, ..Version::default() }
    }

    fn call(
        &mut self,
        stage: usize,
        batch: &Batch<'_>,
        _: &[Arc<Table>],
    ) -> Result<Decisions, CallError> {
        self.process(stage, batch)
    }

    fn migrate(&mut self, _: usize, _: u32, _: &[u8]) -> Result<Bytes, CallError> {
        unreachable!("there is one schema")
    }

    fn shadow(&mut self, _: usize, _: &Batch<'_>) -> Result<Decisions, CallError> {
        unreachable!("nobody runs beside it")
    }
}

/// A stage of that plugin, which sees every message.
pub(crate) fn stage(plugin: &str) -> Stage {
    Stage { plugin: plugin.to_owned(), when: None, first_generation: 0, tables: Vec::new() }
}
