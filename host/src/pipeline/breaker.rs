//! A pipeline's breaker: while its results have nowhere to go, or its journals no room, nothing is
//! consumed and nothing held.
//!
//! ```text
//! Closed ──trouble lasts──► Tripped ──consumer cancelled──► Open ──pause──► Probing ──it passes──► Closed
//!                              ▲                                               │
//!                              └───────────────trouble lasts───────────────────┘
//! ```
//!
//! Publishing, lanes and the committer trip it; the intake, which owns the consumer, opens it and tries again with one
//! delivery. That one is held while its results are tried, for up to [`PROBE_HOLD`]: each release counts
//! against a queue's delivery limit, so an outage of a day costs the message at the head of its queue
//! less than 80 of them, and no other more than a few.
//!
//! A plugin that is broken trips it too (`pipeline/guard`). It is tried with a few deliveries, of which one
//! that doesn't fail is enough: what fails then goes back to its queue, spent on nothing.

use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::limits::{BREAKER_PATIENCE, PROBE_HOLD};

/// A pipeline's breaker.
#[derive(Debug)]
pub struct Breaker {
    phase: watch::Sender<Phase>,
    hurry: Notify,
}

/// What it lets through, and why no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Deliveries flow.
    Closed,
    /// The consumer is about to be cancelled.
    Tripped(String),
    /// Nothing is consumed, and what couldn't be finished is given up.
    Open(String),
    /// One delivery at a time is tried.
    Probing(String),
}

impl Breaker {
    /// How long a group may be in trouble before the breaker trips.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match &*self.phase.borrow() {
            Phase::Closed | Phase::Tripped(_) | Phase::Open(_) => BREAKER_PATIENCE,
            Phase::Probing(_) => PROBE_HOLD,
        }
    }

    /// What it lets through.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// The trouble lasts too long. Does nothing where that is known.
    pub fn trip(&self, why: &str) {
        self.phase.send_if_modified(|phase| {
            let news = matches!(phase, Phase::Closed | Phase::Probing(_));
            if news {
                *phase = Phase::Tripped(why.to_owned());
            }
            news
        });
    }

    /// Nothing is consumed any more.
    pub fn open(&self, why: &str) {
        drop(self.phase.send_replace(Phase::Open(why.to_owned())));
    }

    /// One delivery is about to be tried.
    pub fn probe(&self) {
        self.phase.send_if_modified(|phase| match phase {
            Phase::Open(why) => {
                *phase = Phase::Probing(std::mem::take(why));
                true
            }
            Phase::Closed | Phase::Tripped(_) | Phase::Probing(_) => false,
        });
    }

    /// Something passed: where that was a probe, the trouble is over.
    pub fn passed(&self) {
        self.phase.send_if_modified(|phase| {
            let probing = matches!(phase, Phase::Probing(_));
            if probing {
                *phase = Phase::Closed;
            }
            probing
        });
    }

    /// There is reason to try sooner.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Resolves once there is.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// Resolves with the reason once the consumer is to be cancelled.
    pub async fn tripped(&self) -> String {
        let mut phases = self.phase.subscribe();
        let tripped = phases.wait_for(|phase| matches!(phase, Phase::Tripped(_))).await;
        match tripped.as_deref() {
            Ok(Phase::Tripped(why)) => why.clone(),
            // It holds the sender itself, which is therefore there.
            _ => String::new(),
        }
    }

    /// Resolves once nothing is consumed.
    pub async fn opened(&self) {
        // It holds the sender itself, which is therefore there.
        let _ = self.phase.subscribe().wait_for(|phase| matches!(phase, Phase::Open(_))).await;
    }

    /// Resolves once the trouble is over.
    pub async fn closed(&self) {
        // It holds the sender itself, which is therefore there.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Closed).await;
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Closed), hurry: Notify::new() }
    }
}
