//! How far a pass has come, and what it came to.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

/// How far a pass has come, for somebody who watches.
#[derive(Debug, Default)]
pub struct Progress {
    /// Letters in the queues at the start.
    pub total: AtomicU64,
    /// Letters looked at.
    pub seen: AtomicU64,
    /// Letters dealt with.
    pub done: AtomicU64,
    /// Letters that were meant and left.
    pub left: AtomicU64,
}

/// What a pass came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Letters looked at.
    pub seen: u64,
    /// Letters that were meant.
    pub matched: u64,
    /// Letters that were dealt with.
    pub done: u64,
    /// Letters that were meant and left, by reason.
    pub left: BTreeMap<String, u64>,
    /// Letters that no report was found of.
    pub unreported: u64,
    /// Letters of quorum queues that were put back as copies, for their last deliveries were near.
    pub renewed: u64,
    /// Resolutions that couldn't be told.
    pub untold: u64,
    /// It was stopped before the end.
    pub interrupted: bool,
}
