//! What a batch's messages are settled for before any plugin sees them.

use super::Lane;
use crate::broker::Settlement;
use crate::pipeline::identity::Seen;
use crate::pipeline::job::Job;
use crate::telemetry::Outcome as Settled;

impl Lane {
    /// Settles what was settled before, as it was then: its outputs are safe, or its death is told.
    pub(super) fn settle_known(&mut self, batch: &mut Vec<Job>) {
        let known: Vec<Job> = batch.extract_if(.., |job| self.is_known(job)).collect();
        for job in known {
            let dead = job.identity.is_some_and(|id| self.window.seen(&id) == Seen::DeadLettered);
            // A copy of a retry that came twice: the other one is the dead letter.
            let twin = dead && !job.redelivered;
            let settlement = if dead && !twin { Settlement::DeadLetter } else { Settlement::Ack };
            self.settle(job, settlement, Settled::Duplicate);
        }
    }

    fn is_known(&mut self, job: &Job) -> bool {
        let Some(identity) = &job.identity else { return false };
        match self.window.seen(identity) {
            Seen::Settled => true,
            Seen::DeadLettered if job.redelivered || job.attempt > 1 => true,
            Seen::DeadLettered => {
                // Somebody took it out of the dead-letter queue, to have it run again.
                self.window.reopen(identity);
                false
            }
            Seen::OtherBody => {
                if job.attempt == 1 && job.replay_count == 0 {
                    self.shape.metrics.id_conflict();
                }
                false
            }
            Seen::Never => false,
        }
    }
}
