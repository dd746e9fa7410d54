//! What a batch's messages are refused for before any plugin sees them.

use super::Lane;
use crate::limits::STATE_KEYS;
use crate::pipeline::job::Job;
use crate::verdict::{Failure, FailureClass};

impl Lane {
    /// Refuses keys that would need more state than a shard holds.
    pub(super) fn bound_keys(&self, jobs: &mut [Job]) {
        if self.store.keys() < STATE_KEYS {
            return;
        }
        for job in jobs {
            if job.key.as_ref().is_some_and(|key| !self.store.has(key)) && job.unfit.is_none() {
                job.unfit = Some(Failure {
                    class: FailureClass::Memory,
                    code: "state_full".to_owned(),
                    text: format!("this shard holds state of {STATE_KEYS} keys and takes no more"),
                    stage: None,
                    backtrace: Vec::new(),
                    retry_after: None,
                });
            }
        }
    }
}
