//! What a lane does while a plugin of its pipeline is broken: it stands still but for probes, and what
//! fails in one is judged only when another message has passed: the plugin works, so it was the message.

use std::sync::Arc;

use super::Lane;
use super::group::Group;
use crate::pipeline::breaker::Phase;
use crate::pipeline::job::Job;
use crate::pipeline::stages::{Outcome, Run};
use crate::verdict::FailureClass;

/// What may be the plugin's fault, and not the message's.
const CALL_CLASSES: [FailureClass; 4] =
    [FailureClass::Trap, FailureClass::Deadline, FailureClass::Memory, FailureClass::Malformed];

impl Lane {
    /// Whether nothing is run, since it would fail.
    pub(super) fn stands_still(&self) -> bool {
        self.plugin_broken() && !self.probing()
    }

    /// Whether what runs is run to see whether the plugin works again: one message at a time, until one
    /// doesn't fail.
    pub(super) fn probes_plugin(&self) -> bool {
        self.plugin_broken() && self.probing()
    }

    /// Keeps from judgement what failed because a plugin is broken, or has just been found to be: a
    /// probe's message waits for what becomes of the others; any other run is undone as a whole, and its
    /// messages go back to their queue with what else the consumer handed out.
    pub(super) fn spare(&mut self, jobs: Vec<Job>, mut run: Run) -> Option<(Vec<Job>, Run)> {
        if !self.plugin_broken() || !run.outcomes.iter().any(|it| self.blames_broken(it)) {
            return Some((jobs, run));
        }
        for key in jobs.iter().filter_map(|job| job.key.as_ref().map(Arc::clone)) {
            self.rewind(&key);
        }
        if !self.probing() {
            self.stranded.extend(jobs);
            return None;
        }
        for (job, outcome) in jobs.into_iter().zip(run.outcomes.drain(..)) {
            match outcome {
                Outcome::Failed(failure) => self.tried.push((job, failure)),
                // A probe is of one message.
                Outcome::Done(_) | Outcome::Dropped { .. } => self.stranded.push(job),
            }
        }
        None
    }

    /// Judges what failed in a probe, where another message passed.
    pub(super) fn judge_tried(&mut self) {
        if self.tried.is_empty() || self.plugin_broken() {
            return;
        }
        let now_s = self.shape.clock.now_s();
        let mut group = Group::default();
        for (job, failure) in std::mem::take(&mut self.tried) {
            let (end, items) = self.sentence(&job, failure, now_s);
            group.add(job, end, items);
        }
        self.ready.push_back(group);
        self.dispatch();
    }

    /// Gives back what failed in a probe.
    pub(super) fn release_tried(&mut self) {
        let tried = std::mem::take(&mut self.tried);
        self.release(tried.into_iter().map(|(job, _)| job).collect());
    }

    fn blames_broken(&self, outcome: &Outcome) -> bool {
        let Outcome::Failed(failure) = outcome else { return false };
        let stage = failure.stage.as_ref().and_then(|it| self.shape.plugins.get(it.index));
        CALL_CLASSES.contains(&failure.class) && stage.is_some_and(|it| it.guard().pauses())
    }

    fn plugin_broken(&self) -> bool {
        self.shape.plugins.iter().any(|slot| slot.guard().pauses())
    }

    fn probing(&self) -> bool {
        matches!(self.shape.breaker.phase(), Phase::Probing(_))
    }
}
