//! What a lane reads from the store before a batch, and keeps there before it settles one.
//!
//! One commit is under way at a time; what is published meanwhile goes into the next. Until it is kept
//! its changes lie above the committed state for all who run.

use std::sync::Arc;

use tokio::time::Instant;

use super::group::{End, Entry, Group};
use super::{Forgotten, Lane};
use crate::broker::Settlement;
use crate::fault::{self, Point};
use crate::limits::STATE_SWEEP_SHARE;
use crate::pipeline::job::Job;
use crate::pipeline::keeping::Handed;
use crate::pipeline::stages::Call;
use crate::state::{self, Change, Changes, Commit, Remembered, StoreError};
use crate::telemetry::{Outcome as Settled, Together};
use crate::verdict::{Failure, FailureClass};

impl Lane {
    /// What there is of a key above its committed state, the newest first.
    pub(super) fn above(&self, key: &str, stage: usize) -> Option<&state::Entry> {
        let groups = self.ready.iter().rev().chain(&self.publishing);
        let groups = groups.chain(&self.confirmed).chain(&self.committing);
        groups.filter_map(|group| group.changes.get(key, stage)).next()
    }

    /// All that is known here of a key at a stage; it may be more in the store.
    pub(super) fn known(&self, key: &str, stage: usize) -> Option<&state::Entry> {
        self.above(key, stage).or_else(|| self.cache.get(key, stage))
    }

    /// Reads what a batch needs of its keys' state. A key whose state is damaged fails alone.
    pub(super) fn fetch(&mut self, call: &dyn Call, jobs: &mut [Job]) -> Result<(), String> {
        let shape = Arc::clone(&self.shape);
        for (stage, place) in shape.places.iter().enumerate() {
            if !call.version(stage).stateful {
                continue;
            }
            for job in jobs.iter_mut().filter(|job| job.unfit.is_none()) {
                let Some(key) = &job.key else { continue };
                if self.above(key, stage).is_some() || !self.cache.lacks(key, stage) {
                    continue;
                }
                match self.keeping.load(place, key) {
                    Ok(kept) => self.cache.learn(key, stage, kept),
                    Err(error @ StoreError::Damaged { .. }) => {
                        job.unfit = Some(unfit("state_damaged", error.to_string()));
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
        }
        let figures = self.cache.take_figures();
        shape.metrics.state_cache(figures.hits, figures.misses);
        Ok(())
    }

    /// Puts a batch back that can't run now.
    pub(super) fn put_back(&mut self, jobs: Vec<Job>) {
        let jobs = jobs.into_iter().map(|job| self.reopen(job)).collect();
        self.backlog.push_front(jobs);
    }

    /// Refuses keys that would need more state than a pipeline keeps.
    pub(super) fn bound_keys(&self, jobs: &mut [Job]) {
        let shape = &*self.shape;
        if !self.stateful || self.keeping.usage(&shape.name).keys < shape.state_keys {
            return;
        }
        let has = |key: &str| {
            let mut stages = 0..shape.stages.len();
            self.cache.has(key) || stages.any(|stage| self.above(key, stage).is_some())
        };
        for job in jobs.iter_mut().filter(|job| job.unfit.is_none()) {
            if job.key.as_ref().is_some_and(|key| !has(key)) {
                let text =
                    format!("this pipeline keeps state of {} keys and no more", shape.state_keys);
                job.unfit = Some(unfit("state_full", text));
            }
        }
    }

    /// Notes that keys were used whose state didn't change, where idle ones are forgotten.
    pub(super) fn touch(&self, jobs: &[Job], changes: &mut Changes, now_s: u64) {
        let Some(ttl) = self.shape.state_ttl else { return };
        let old = now_s.saturating_sub((ttl / STATE_SWEEP_SHARE).as_secs());
        for key in jobs.iter().filter_map(|job| job.key.as_ref()) {
            for stage in 0..self.shape.stages.len() {
                let touched = self.cache.touched_s(key, stage);
                let idle = touched.is_some_and(|touched| touched < old);
                if !idle || changes.get(key, stage).is_some() || self.above(key, stage).is_some() {
                    continue;
                }
                match self.cache.get(key, stage) {
                    Some(entry) if !entry.is_vacant() => changes.set(key, stage, entry.clone()),
                    _ => {}
                }
            }
        }
    }

    /// Those keys were idle at a stage since then: what they have is forgotten, unless they are in use.
    pub fn idle(&mut self, stage: usize, keys: Vec<Arc<str>>, since_s: u64) {
        let Some(place) = self.shape.places.get(stage).cloned() else { return };
        let mut changes = Changes::default();
        for key in keys {
            if !self.owns(&key)
                || self.backlog.of_key(&key) > 0
                || self.above(&key, stage).is_some()
            {
                continue;
            }
            // It may have been used since it was seen.
            let Ok(Some(kept)) = self.keeping.load(&place, &key) else { continue };
            if kept.touched_s > since_s || kept.entry.timers.is_some() {
                continue;
            }
            let vacant = self.vacant(&key, stage);
            changes.set(&key, stage, vacant);
        }
        let swept = changes.entries().count();
        if swept > 0 {
            self.shape.metrics.state_swept(swept);
            self.commit(Vec::new(), changes);
        }
    }

    /// What a key has at a stage where all that it had is forgotten.
    pub(super) fn vacant(&mut self, key: &Arc<str>, stage: usize) -> state::Entry {
        let generation = match self.cache.get(key, stage) {
            Some(entry) => entry.generation + 1,
            None => {
                self.cache.learn(key, stage, None);
                self.cache.get(key, stage).map_or(0, |entry| entry.generation)
            }
        };
        state::Entry { generation, ..state::Entry::default() }
    }

    /// Keeps what published messages did, then settles them.
    pub(super) fn commit(&mut self, entries: Vec<Entry>, changes: Changes) {
        self.commit_group(Group { entries, changes, ..Group::default() });
    }

    /// The same of a group that is all to be kept.
    pub(super) fn commit_group(&mut self, group: Group) {
        match &mut self.confirmed {
            Some(confirmed) => confirmed.merge(group),
            none => *none = Some(group),
        }
        self.commit_next();
    }

    fn commit_next(&mut self) {
        if self.committing.is_some() {
            return;
        }
        let Some(mut group) = self.confirmed.take() else { return };
        group.at_us = self.shape.clock.now_us();
        let commit = self.commit_of(&group);
        let bodies = || group.entries.iter().map(|entry| &**entry.job.body());
        fault::point(Point::PreCommit, bodies);
        let handed = if commit.is_empty() {
            Handed::Done
        } else {
            self.keeping.hand_over(commit, &self.shape.breaker)
        };
        self.committing = Some(group);
        match handed {
            Handed::Done => self.committed(),
            Handed::Waits => {}
            Handed::Refused => {
                let group = self.committing.take().unwrap_or_default();
                let jobs = group.entries.into_iter().map(|entry| entry.job).collect();
                self.release(jobs);
            }
        }
    }

    fn commit_of(&mut self, group: &Group) -> Commit {
        let at_us = group.at_us;
        let mut commit = Commit::new(self.shape.name.as_str().into(), at_us / 1_000_000);
        let places = &self.shape.places;
        let changes = group.changes.entries().filter_map(|(key, stage, entry)| {
            let place = Arc::clone(places.get(stage)?);
            Some(Change { place, key: Arc::clone(key), entry: entry.clone() })
        });
        commit.entries = changes.collect();
        let forgotten = self.window.take_forgotten();
        if self.stateful {
            let settled = group.entries.iter().filter_map(|entry| entry.remembered(at_us));
            commit.settled = settled.collect();
            commit.forgotten = forgotten;
        }
        commit
    }

    /// What was under way is kept.
    pub fn committed(&mut self) {
        let Some(group) = self.committing.take() else { return };
        fault::point(Point::PostCommit, || group.entries.iter().map(|entry| &**entry.job.body()));
        let at_us = group.at_us;
        self.timing.note(&group.changes);
        if !group.changes.is_empty() {
            self.cache.commit(group.changes, at_us / 1_000_000);
            let usage = self.keeping.usage(&self.shape.name);
            self.shape.metrics.state(usage.keys, usage.bytes);
        }
        let mut together = Together::at(Instant::now());
        let mut done = Vec::with_capacity(group.entries.len());
        for entry in group.entries {
            done.extend(self.finish(entry, at_us, &mut together));
        }
        self.settle_all(done, &together);
        group.forgotten.into_iter().for_each(Forgotten::tell);
        self.forget_quiet();
        self.follow_timers();
        self.commit_next();
    }

    /// What is kept of a message; with what it is to be settled, if anybody waits for that.
    fn finish(
        &mut self,
        entry: Entry,
        at_us: u64,
        together: &mut Together,
    ) -> Option<(Job, Settlement)> {
        if let End::Dropped(reason) = &entry.end {
            tracing::debug!(pipeline = self.shape.name, reason, "dropped");
        }
        let (settlement, outcome) = entry.settlement();
        if let Some(remembered) = entry.remembered(at_us) {
            self.window.settle(remembered, together.now());
        }
        self.note_settled(&entry.job);
        let job = self.reopen(entry.job);
        if job.timer.is_some() {
            self.landed(&job, outcome);
            return None;
        }
        together.note(outcome, job.received);
        Some((job, settlement))
    }

    /// Settles a message that was taken from the backlog.
    pub(super) fn settle(&mut self, job: Job, settlement: Settlement, outcome: Settled) {
        let job = self.reopen(job);
        self.hand_back(job, settlement, outcome);
    }

    pub(super) fn hand_back(&mut self, job: Job, settlement: Settlement, outcome: Settled) {
        if job.timer.is_some() {
            return self.landed(&job, outcome);
        }
        let mut together = Together::at(Instant::now());
        together.note(outcome, job.received);
        self.settle_all([(job, settlement)], &together);
    }

    /// Settles those, which are counted first: who sees a message settled sees it counted, too.
    fn settle_all(&self, jobs: impl IntoIterator<Item = (Job, Settlement)>, together: &Together) {
        self.shape.metrics.settled(together);
        for (job, settlement) in jobs {
            fault::point(Point::PreAck, || std::iter::once(&**job.body()));
            job.settle(settlement);
        }
        self.shape.in_flight.left(together.settled(), &self.shape.metrics);
    }

    /// Takes up the identities that a host before this one settled.
    pub fn recall(&mut self, remembered: impl Iterator<Item = Remembered>, now_us: u64) {
        let now = Instant::now();
        for one in remembered {
            let age = std::time::Duration::from_micros(now_us.saturating_sub(one.at_us));
            // A clock that runs since a moment ago can't say when that was; it is remembered longer.
            self.window.recall(one, age, now.checked_sub(age).unwrap_or(now));
        }
    }
}

// === impl Entry ===

impl Entry {
    /// How it is to be settled.
    fn settlement(&self) -> (Settlement, Settled) {
        match &self.end {
            End::Done => (Settlement::Ack, Settled::Done),
            End::Dropped(_) => (Settlement::Ack, Settled::Dropped),
            End::Failed(_, Settled::DeadLettered) => {
                (Settlement::DeadLetter, Settled::DeadLettered)
            }
            End::Failed(_, settled) => (Settlement::Ack, *settled),
            End::Diverted => (Settlement::Ack, Settled::Retried),
        }
    }

    /// What is to be known of it once it is settled. A diverted message comes back as the one it is.
    fn remembered(&self, at_us: u64) -> Option<Remembered> {
        let identity = self.job.identity.filter(|_| !matches!(self.end, End::Diverted))?;
        let dead = self.settlement().0 == Settlement::DeadLetter;
        let partition = self.job.partition;
        Some(Remembered { at_us, whole: identity.whole, id: identity.id, dead, partition })
    }
}

fn unfit(code: &str, text: String) -> Failure {
    Failure {
        class: FailureClass::Memory,
        code: code.to_owned(),
        text,
        stage: None,
        backtrace: Vec::new(),
        retry_after: None,
    }
}
