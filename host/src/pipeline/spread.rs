//! Which of the host's shards run a pipeline, and which of them a key's messages go to.
//!
//! A pipeline uses as many shards as it is wide. Those of its keys that another width gives to another shard
//! are handed over between two consumers, when nothing is in hand: see `intake/widening.rs`.

use std::sync::{Mutex, PoisonError};

/// How a pipeline's partitions are dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    shards: usize,
    first: usize,
    width: usize,
}

/// The spread of a pipeline that runs, which its intake changes.
#[derive(Debug)]
pub struct CurrentSpread(Mutex<Spread>);

// === impl Spread ===

impl Spread {
    /// Over all of so many shards.
    #[must_use]
    pub fn over(shards: usize) -> Self {
        let shards = shards.max(1);
        Self { shards, first: 0, width: shards }
    }

    /// Over so many of them, at least one and no more than there are, from this one on: pipelines that use
    /// few are to use others than their neighbours.
    #[must_use]
    pub fn part(self, first: usize, width: usize) -> Self {
        Self { first: first % self.shards, width: width.clamp(1, self.shards), ..self }
    }

    /// The same over more or fewer.
    #[must_use]
    pub fn wide(self, width: usize) -> Self {
        self.part(self.first, width)
    }

    /// The shards that it uses.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The shards that there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The shard of that partition.
    #[must_use]
    pub fn shard(&self, partition: usize) -> usize {
        (self.first + partition % self.width) % self.shards
    }
}

// === impl CurrentSpread ===

impl CurrentSpread {
    /// Begins with that one.
    #[must_use]
    pub fn new(spread: Spread) -> Self {
        Self(Mutex::new(spread))
    }

    /// What it is now.
    #[must_use]
    pub fn now(&self) -> Spread {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is from now on.
    pub fn set(&self, spread: Spread) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = spread;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PARTITIONS;

    #[test]
    fn a_narrow_pipeline_uses_as_many_shards_as_it_is_wide_and_its_neighbour_others() {
        let used = |spread: Spread| {
            let mut used: Vec<usize> = (0..PARTITIONS).map(|it| spread.shard(it)).collect();
            used.sort_unstable();
            used.dedup();
            used
        };
        let all = Spread::over(4);
        assert_eq!(used(all), [0, 1, 2, 3]);
        assert_eq!(used(all.part(1, 1)), [1]);
        assert_eq!(used(all.part(3, 2)), [0, 3]);
        assert_eq!(used(all.part(7, 9)), [0, 1, 2, 3], "no more than there are");
        assert_eq!(all.part(0, 0).width(), 1, "no less than one");
    }
}
