//! The broker seen from outside, by plain lapin.

use std::time::{Duration, Instant};

use lapin::message::BasicGetMessage;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};

use super::POLL;

/// A connection of plain lapin with a channel, to look at the broker from outside.
pub(crate) struct Raw {
    /// Kept: the channel lives as long as its connection.
    #[expect(dead_code, reason = "held, not used")]
    pub(crate) connection: Connection,
    /// The channel.
    pub(crate) channel: Channel,
}

// === impl Raw ===

impl Raw {
    /// Ready messages of a queue, by passive declare.
    pub(crate) async fn depth(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .unwrap_or_else(|e| panic!("depth of {queue}: {e}"))
            .message_count()
    }

    /// Waits, boundedly, until the queue holds that many ready messages.
    pub(crate) async fn await_depth(&self, queue: &str, wanted: u32) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let depth = self.depth(queue).await;
            if depth == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{queue} holds {depth}, not {wanted}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes one message, acknowledged; `None` from an empty queue.
    pub(crate) async fn get(&self, queue: &str) -> Option<BasicGetMessage> {
        self.channel
            .basic_get(queue.into(), BasicGetOptions { no_ack: true })
            .await
            .unwrap_or_else(|e| panic!("get from {queue}: {e}"))
    }
}
