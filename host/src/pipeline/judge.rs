//! What becomes of a failed message: one pure, total function, the only place where an error turns
//! into an acknowledgement or a nack.

use std::time::Duration;

use crate::config::Retry;
use crate::verdict::Failure;

/// What a pipeline does about failures.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What is tried again.
    pub retry: Retry,
    /// Whether the queue has delay queues; without them a message waits here or not at all.
    pub delays: bool,
    /// How a message ends that won't be tried again.
    pub terminal: Terminal,
}

/// How a message ends that won't be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// `basic.nack`: the queue's own dead-letter exchange takes it.
    Nack,
    /// A confirmed copy with the reason in its headers goes to this exchange, then an ack.
    Annotate {
        /// The dead-letter exchange.
        exchange: String,
        /// Instead of the message's own routing key.
        routing_key: Option<String>,
    },
    /// An ack: the operator wants no dead letters.
    Discard,
}

/// What to do with a failed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentence {
    /// Publish a copy to the delay queue of this rung; when it is confirmed, ack.
    Retry(Duration),
    /// It ends here, as the policy's [`Terminal`] says.
    End,
}

/// Judges a failure at the given attempt, 1 being the first.
#[must_use]
pub fn judge(failure: &Failure, attempt: u32, policy: &Policy) -> Sentence {
    if attempt >= policy.retry.attempts_of(failure.class) {
        return Sentence::End;
    }
    let rungs = policy.retry.rungs_of(failure.class);
    rung(rungs, attempt, failure.retry_after).map_or(Sentence::End, Sentence::Retry)
}

/// The rung for what an attempt waits after: the attempt's own, or the next one up from the delay that
/// the plugin wished for, at most the last.
fn rung(rungs: &[Duration], attempt: u32, wish: Option<Duration>) -> Option<Duration> {
    let last = rungs.last().copied()?;
    Some(match wish {
        Some(wish) => rungs.iter().copied().find(|rung| *rung >= wish).unwrap_or(last),
        None => rungs.get(attempt.saturating_sub(1) as usize).copied().unwrap_or(last),
    })
}

#[cfg(test)]
mod tests;
