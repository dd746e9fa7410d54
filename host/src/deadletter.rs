//! Dead letters: what failed, why, and how it is put right.
//!
//! Failure reports tell what failed and why; the letters themselves wait in dead-letter queues. Lists and
//! groups read the reports alone. Whatever touches letters reads a queue once, up to its length at the
//! start, holds what it leaves unacknowledged, and releases it at the end: nothing is ever taken out
//! before what it was taken out for is safe.
//!
//! | file | what it knows |
//! |---|---|
//! | `browse` | a queue, read without taking anything out |
//! | `letter`, `places` | a message in a dead-letter queue; which queues hold whose |
//! | `ledger`, `filter`, `group` | reports and what became of them; which are meant; which belong together |
//! | `check` | letters without a report, reports without a letter |
//! | `work` | the one pass over letters that replay, purge and export share |
//! | `replay`, `patch`, `export` | the copy that goes back; its body mended; a letter as a line of JSON |
//! | `archive` | what a queue keeps no longer, written to files by a running host |
//! | `watch` | how much each queue holds, how old it is, how near a limit that is |
//! | `trial` | letters through a candidate plugin, nothing published |
//!
//! Nothing here prints; `cli/dlq` does.

pub mod archive;
pub mod browse;
pub mod check;
pub mod export;
pub mod filter;
pub mod group;
pub mod ledger;
pub mod letter;
pub mod patch;
pub mod places;
pub mod replay;
pub mod trial;
pub mod watch;
pub mod work;

use std::time::Duration;

use crate::broker::BrokerError;
use crate::clock::Clock;

/// Why something couldn't be done with dead letters.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Trouble {
    /// The broker said so.
    #[error("{0}")]
    Broker(#[from] BrokerError),
    /// Somebody else reads the queue, and went on doing so.
    #[error(
        "queue '{queue}' is being read by somebody else, and was for {waited:?}: reading it beside them \
         would show a part only; wait for the other `sluicegate dlq`, or stop the consumer"
    )]
    Busy {
        /// The queue.
        queue: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The broker counts letters in the queue and doesn't send them.
    #[error("queue '{queue}' has {messages} messages, but the broker sent none for {waited:?}")]
    Silent {
        /// The queue.
        queue: String,
        /// What it counts.
        messages: u32,
        /// How long nothing came.
        waited: Duration,
    },
    /// More was left unacknowledged than channels may hold.
    #[error("queue '{0}' holds more letters than can be read past at once; narrow it with --limit")]
    TooMany(String),
    /// A file, an option, a letter: in words.
    #[error("{0}")]
    Other(String),
}

/// Seconds since 1970.
#[must_use]
pub fn now_s() -> u64 {
    Clock::system().now_s()
}
