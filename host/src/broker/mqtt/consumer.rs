//! A consumer of one session, on a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::message;
use super::session::Shared;
use crate::broker::{BrokerError, Consumer, Delivery, Receipt, Settlement, Settler};
use crate::limits::BROKER_ANSWER;

/// Deliveries of one session.
pub(super) struct MqttConsumer {
    pub(super) name: String,
    pub(super) shared: Arc<Shared>,
    pub(super) settler: Arc<SessionSettler>,
    pub(super) separator: char,
    /// Serves the connection; taken by whoever waits for its end.
    pub(super) task: Option<JoinHandle<Result<(), BrokerError>>>,
}

/// Hands settlements to a session's task.
pub(super) struct SessionSettler {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    /// Receipts dropped unsettled, of the whole broker.
    pub(super) dropped: Arc<AtomicU64>,
}

impl MqttConsumer {
    /// What is here to be handed out; an error where nothing will be any more.
    fn take(&self) -> Result<Option<Delivery>, BrokerError> {
        let mut book = self.shared.book();
        if let Some(error) = &book.over {
            return Err(error.clone());
        }
        let Some((tag, held)) = book.window.take() else { return Ok(None) };
        drop(book);
        let (message, unfit) = message::of(&held.message, self.separator);
        let settler: Arc<dyn Settler> = Arc::clone(&self.settler) as _;
        Ok(Some(Delivery {
            message,
            redelivered: held.redelivered,
            delivery_count: None,
            unfit: held.unfit.or(unfit),
            receipt: Receipt::new(settler, tag),
        }))
    }
}

#[async_trait]
impl Consumer for MqttConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            if let Some(delivery) = self.take()? {
                return Ok(delivery);
            }
            self.shared.came.notified().await;
        }
    }

    fn at_hand(&mut self) -> Option<Delivery> {
        self.take().ok().flatten()
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        let mut book = self.shared.book();
        if book.over.is_some() {
            return Ok(());
        }
        book.window.cancel();
        let why = format!("session '{}' by sluicegate itself", self.name);
        book.over = Some(BrokerError::Cancelled(why));
        Ok(())
    }

    async fn close(mut self: Box<Self>) -> Result<(), BrokerError> {
        let what = format!("closing session '{}'", self.name);
        {
            let mut book = self.shared.book();
            book.closing = true;
            book.window.cancel();
        }
        self.shared.asked.notify_one();
        let Some(task) = self.task.take() else { return Ok(()) };
        match timeout(BROKER_ANSWER, task).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => Err(BrokerError::ChannelClosed(format!("{what}: {error}"))),
            Err(_) => Err(BrokerError::ChannelClosed(format!("{what}: no answer"))),
        }
    }
}

/// Whoever forgets to close still takes leave, in the background.
impl Drop for MqttConsumer {
    fn drop(&mut self) {
        self.shared.book().closing = true;
        self.shared.asked.notify_one();
    }
}

impl Settler for SessionSettler {
    fn settle(&self, tag: u64, settlement: Settlement) {
        let mut book = self.shared.book();
        if book.stale {
            return;
        }
        if let Some(held) = book.window.settle(tag, settlement) {
            book.condemned.push((tag, held));
        }
        drop(book);
        self.shared.asked.notify_one();
        self.shared.came.notify_one();
    }

    fn is_stale(&self) -> bool {
        self.shared.book().stale
    }

    fn dropped(&self, tag: u64) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            session = self.name,
            tag,
            "a receipt was dropped unsettled: a bug; released"
        );
    }
}
