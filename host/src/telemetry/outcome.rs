//! How deliveries end, and what is counted of those that end together.

use tokio::time::Instant;

use super::histogram::Observed;

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged after its outputs were confirmed.
    Done,
    /// Acknowledged; a plugin finished it on purpose without a result.
    Dropped,
    /// Acknowledged without running: its outputs were already safe.
    Duplicate,
    /// Nacked into the queue's dead-letter exchange.
    DeadLettered,
    /// Copied to a dead-letter exchange with its reason, then acknowledged.
    Annotated,
    /// Failed and acknowledged, as the config asks.
    Discarded,
    /// Copied to a retry queue, then acknowledged.
    Retried,
    /// Given back to the queue.
    Released,
}

/// Deliveries that are settled together: counted here, and told once.
#[derive(Clone, Debug)]
pub struct Together {
    now: Instant,
    pub(super) outcomes: [u64; Outcome::ALL.len()],
    pub(super) latencies: Observed,
}

// === impl Outcome ===

impl Outcome {
    /// Every outcome, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Dropped,
        Self::Duplicate,
        Self::DeadLettered,
        Self::Annotated,
        Self::Discarded,
        Self::Retried,
        Self::Released,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Dropped => "dropped",
            Self::Duplicate => "duplicate",
            Self::DeadLettered => "dead_lettered",
            Self::Annotated => "annotated",
            Self::Discarded => "discarded",
            Self::Retried => "retried",
            Self::Released => "released",
        }
    }
}

// === impl Together ===

impl Together {
    /// None yet; all at that time.
    #[must_use]
    pub fn at(now: Instant) -> Self {
        Self { now, outcomes: [0; Outcome::ALL.len()], latencies: Observed::default() }
    }

    /// When they were settled.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// One that was delivered then ended so.
    pub fn note(&mut self, outcome: Outcome, received: Instant) {
        self.outcomes[outcome as usize] += 1;
        self.latencies.observe(self.now.saturating_duration_since(received));
    }

    /// How many there are.
    #[must_use]
    pub fn settled(&self) -> usize {
        usize::try_from(self.outcomes.iter().sum::<u64>()).unwrap_or(usize::MAX)
    }
}
