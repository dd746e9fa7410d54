//! What becomes of messages that failed, and who is told.

use super::Lane;
use super::group::{End, Entry, Group};
use crate::pipeline::address::Planned;
use crate::pipeline::job::Job;
use crate::pipeline::judge::{Sentence, Terminal, judge};
use crate::telemetry::Outcome as Settled;
use crate::verdict::Failure;

/// Why a message isn't tried again whose broker has no queue where it could wait.
const NOWHERE_TO_WAIT: &str = "there is no queue where it could wait, and only what has a key is held here, for 10 minutes at most";

impl Lane {
    /// What becomes of a failed message, and what must be published for it.
    pub(super) fn sentence(
        &self,
        job: &Job,
        mut failure: Failure,
        now_s: u64,
    ) -> (End, Vec<Planned>) {
        let shape = &*self.shape;
        let addresses = &shape.addresses;
        if let Sentence::Retry(rung) = judge(&failure, job.attempt, &shape.policy) {
            let copy = if shape.policy.delays {
                addresses.retry_copy(job, &failure, rung, now_s)
            } else {
                Err(NOWHERE_TO_WAIT.to_owned())
            };
            match copy {
                Ok(copy) => {
                    shape.metrics.failed(job.failed(&failure, Settled::Retried));
                    return (End::Failed(failure, Settled::Retried), vec![copy]);
                }
                Err(why) => failure.text = not_again(&why, &failure),
            }
        }
        self.end(job, failure, now_s)
    }

    /// How a message ends that won't be tried again, told to whom it concerns.
    fn end(&self, job: &Job, failure: Failure, now_s: u64) -> (End, Vec<Planned>) {
        let shape = &*self.shape;
        let addresses = &shape.addresses;
        let mut items = Vec::new();
        let settled = match &shape.policy.terminal {
            Terminal::Nack => Settled::DeadLettered,
            Terminal::Discard => Settled::Discarded,
            Terminal::Annotate { exchange, routing_key } => {
                let to = (exchange.as_str(), routing_key.as_deref());
                items.push(addresses.annotated(job, &failure, to, now_s));
                Settled::Annotated
            }
        };
        let report = addresses.report(job, &failure, settled.as_str(), now_s);
        items.insert(0, addresses.tell(&report));
        shape.metrics.failed(job.failed(&failure, settled));
        shape.metrics.ended(&report);
        (End::Failed(failure, settled), items)
    }

    /// Messages whose outputs or copies can't be published are judged in their turn. Where a retry's
    /// copy can't be made the message ends; an annotated one leaves the broker's own dead-lettering.
    pub(super) fn sentence_failed(&mut self, failed: Vec<(Entry, Failure)>, now_s: u64) {
        if failed.is_empty() {
            return;
        }
        let mut group = Group::default();
        for (entry, failure) in failed {
            let (end, items) = match entry.end {
                _ if entry.job.timer.is_some() => {
                    let changes = &mut group.changes;
                    self.sentence_timer(&entry.job, failure, changes, now_s)
                }
                End::Failed(mut first, Settled::Retried) => {
                    first.text = not_again(&failure.text, &first);
                    self.end(&entry.job, first, now_s)
                }
                End::Failed(first, _) => (End::Failed(first, Settled::DeadLettered), Vec::new()),
                End::Done | End::Dropped(_) => self.sentence(&entry.job, failure, now_s),
                End::Diverted => {
                    // It can't wait on the broker, so it waits here, whatever the bound.
                    let job = self.reopen(entry.job);
                    self.backlog.push(job);
                    continue;
                }
            };
            group.add(entry.job, end, items);
        }
        self.ready.push_front(group);
    }
}

/// The reason first: texts are cut at their ends.
fn not_again(why: &str, failure: &Failure) -> String {
    format!("it can't be tried again: {why}; it failed: {}", failure.text)
}
