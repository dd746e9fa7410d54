//! Keys that an operator has forgotten while their pipeline runs.
//!
//! What a key's messages did that are under way is kept first; meanwhile none of it begins. Then all that it has
//! is forgotten in a commit of its own, and what waits of it runs on nothing.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Lane;
use super::group::Group;
use crate::state::{Changes, Place, StoreError};

/// A key that is to be forgotten.
pub(super) struct Forget {
    key: Arc<str>,
    places: Vec<Arc<Place>>,
    answer: oneshot::Sender<usize>,
}

/// At how many stages a key was forgotten, for who waits to hear it.
pub(super) struct Forgotten(usize, oneshot::Sender<usize>);

impl Forget {
    /// Whether it is about that key.
    pub(super) fn is_of(&self, key: Option<&Arc<str>>) -> bool {
        key.is_some_and(|key| *key == self.key)
    }
}

impl Forgotten {
    /// It is kept that there is nothing.
    pub(super) fn tell(self) {
        // Whoever asked may have gone; it is done all the same.
        let _gone = self.1.send(self.0);
    }
}

impl Lane {
    /// Forgets all that a key has at those of its stages, in its turn. Answered with the number of stages at
    /// which there was something, once that is kept; not at all where the lane ends before.
    pub fn forget(
        &mut self,
        key: Arc<str>,
        places: Vec<Arc<Place>>,
        answer: oneshot::Sender<usize>,
    ) {
        // Who waits hears that it wasn't done, and may ask again.
        if !self.owns(&key) {
            return;
        }
        self.forgetting.push(Forget { key, places, answer });
        self.forget_quiet();
        self.follow_timers();
    }

    /// Forgets those of which nothing is under way any more.
    pub(super) fn forget_quiet(&mut self) {
        for forget in std::mem::take(&mut self.forgetting) {
            let mut stages = 0..self.shape.stages.len();
            if stages.any(|stage| self.above(&forget.key, stage).is_some()) {
                self.forgetting.push(forget);
            } else {
                self.forget_now(forget);
            }
        }
    }

    fn forget_now(&mut self, Forget { key, places, answer }: Forget) {
        let mut changes = Changes::default();
        let shape = Arc::clone(&self.shape);
        for (at, place) in shape.places.iter().enumerate().filter(|(_, it)| places.contains(it)) {
            match self.keeping.load(place, &key) {
                Ok(None) => continue,
                // What is damaged can be forgotten too: that is how it is mended.
                Ok(Some(_)) | Err(StoreError::Damaged { .. }) => {
                    let vacant = self.vacant(&key, at);
                    changes.set(&key, at, vacant);
                }
                // Nothing can be read now: who waits hears that it wasn't done.
                Err(_) => return,
            }
        }
        self.timing.doubt(Some(&key));
        let forgotten = vec![Forgotten(changes.entries().count(), answer)];
        self.commit_group(Group { changes, forgotten, ..Group::default() });
    }
}

#[cfg(test)]
mod tests;
