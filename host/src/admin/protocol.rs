//! What is said over the control socket: one request and one answer per connection, each a line of JSON.
//!
//! ```text
//! → {"request":"pause","pipeline":"readings"}
//! ← {"answer":"done","message":"pipeline 'readings' is paused"}
//! ```

use serde::{Deserialize, Serialize};

use super::status::Status;

/// What is asked of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// How is it doing?
    Status,
    /// As [`Command::Drain`].
    Drain,
    /// As [`Command::Pause`].
    Pause {
        /// The pipeline.
        pipeline: String,
    },
    /// As [`Command::Resume`].
    Resume {
        /// The pipeline.
        pipeline: String,
    },
}

/// What an operator can tell a host to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop consuming, finish what is in hand, exit.
    Drain,
    /// Take no more deliveries in that pipeline; finish those in hand.
    Pause(String),
    /// Take deliveries again.
    Resume(String),
}

/// What a host answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status {
        /// The host.
        status: Box<Status>,
    },
    /// The command is carried out.
    Done {
        /// What happens now.
        message: String,
    },
    /// It isn't.
    Refused {
        /// Why.
        error: String,
    },
}
