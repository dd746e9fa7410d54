//! Files to an exchange: what `sluicegate publish` does between its arguments and its summary.
//!
//! [`exported`] reads whole messages. [`record`] reads JSON lines, CSV, MessagePack or plain lines, one record at a time. [`recipe`]
//! turns a record and some counters into a message, by way of [`template`]s. [`pace`] holds a rate.
//! [`send`] publishes in confirmed groups and repeats what the broker refused, until each message
//! is confirmed, known to be unroutable, or given up by name.
//!
//! The reader runs on a thread of its own, because a terminal or a pipe may block for ever; between
//! it and the publishers is a bounded backlog.

pub mod exported;
pub mod pace;
pub mod recipe;
pub mod record;
pub mod send;
pub mod template;

use std::fmt;

/// What is wrong with one record, or with what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Where it is in the input: `line 12`, `value 3`.
    pub place: String,
    /// What is wrong and what to do about it.
    pub text: String,
    /// The input can't be read beyond this point, so that skipping the record is no way out.
    pub fatal: bool,
}

// === impl RecordError ===

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl std::error::Error for RecordError {}
