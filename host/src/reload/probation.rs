//! Whether a version that serves since a moment ago may stay: its failures beside those of the one
//! before it.

use std::time::Duration;

use super::eyes::Tally;
use crate::config::Probation;
use crate::limits::{PROBATION_FAILURES_MIN, PROBATION_MESSAGES_MIN};

/// What is to be done with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Judged {
    /// It is too early to say.
    Wait,
    /// It stays.
    Keep,
    /// The one before it is put back.
    PutBack(String),
}

/// Judges by what was counted so far.
pub(super) fn judge(old: Tally, new: Tally, settings: &Probation, elapsed: Duration) -> Judged {
    let all_fail = new.failed == new.messages;
    let enough = new.messages >= PROBATION_MESSAGES_MIN || all_fail;
    let rises = new.rate() > old.rate() + settings.max_rise;
    if new.failed >= PROBATION_FAILURES_MIN && enough && rises {
        return Judged::PutBack(format!(
            "{} of its first {} messages failed, where {} of {} failed before",
            new.failed, new.messages, old.failed, old.messages
        ));
    }
    if new.messages >= settings.messages || elapsed >= settings.time {
        return Judged::Keep;
    }
    Judged::Wait
}

#[cfg(test)]
mod tests;
