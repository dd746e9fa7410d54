//! How often one cause was recorded lately. A storm of one failure would push all else off the shelf.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use crate::limits::{CAPSULE_CAUSES, CAPSULES_PER_CAUSE, RECORD_INTERVAL};
use crate::verdict::FailureClass;

/// What was recorded of each cause in its latest interval.
#[derive(Debug, Default)]
pub(super) struct Causes {
    seen: HashMap<u64, Seen>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Seen {
    since: Instant,
    count: u32,
}

impl Causes {
    /// A call failed as a whole: whether that is to be recorded.
    pub(super) fn failed(&mut self, stage: usize, class: FailureClass, frame: &str) -> bool {
        let cause = self.hasher.hash_one((stage, class, frame));
        self.admit(cause, CAPSULES_PER_CAUSE)
    }

    /// A plugin refused a message: whether that is to be recorded.
    pub(super) fn refused(&mut self, stage: usize, code: &str) -> bool {
        let cause = self.hasher.hash_one((stage, code));
        self.admit(cause, 1)
    }

    fn admit(&mut self, cause: u64, most: u32) -> bool {
        let now = Instant::now();
        if self.seen.len() >= CAPSULE_CAUSES && !self.seen.contains_key(&cause) {
            self.seen.retain(|_, seen| now.duration_since(seen.since) < RECORD_INTERVAL);
            if self.seen.len() >= CAPSULE_CAUSES {
                return false;
            }
        }
        let seen = self.seen.entry(cause).or_insert(Seen { since: now, count: 0 });
        if now.duration_since(seen.since) >= RECORD_INTERVAL {
            *seen = Seen { since: now, count: 0 };
        }
        seen.count = seen.count.saturating_add(1);
        seen.count <= most
    }
}
