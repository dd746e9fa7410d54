//! Timers of a lane's keys: which is due when, and what becomes of one that is.
//!
//! Timers lie in the entries of their keys, so that they are kept, undone and forgotten with the state. Here is
//! only an index: of each key that has some at a stage, the first that is to run. It follows the entries as their
//! messages end. A timer that is due joins the backlog behind what waits of its key, as a job of its own; from
//! there on it is a message that nobody delivered. Whether it is still set is looked at when its turn comes, for
//! messages before it may have set or cancelled it.

mod pending;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::pending::Pending;
use super::Lane;
use super::group::End;
use crate::broker::{Receipt, Settlement, Settler};
use crate::limits::TIMERS_DUE;
use crate::maps::{HashMap, HashSet};
use crate::message::{FieldValue, Message, Properties};
use crate::pipeline::address::Planned;
use crate::pipeline::breaker::Phase;
use crate::pipeline::job::{Fired, Job, Particulars};
use crate::pipeline::judge::{Sentence, judge};
use crate::pipeline::shard::partition;
use crate::state::{self, Changes, StoreError, Timer};
use crate::telemetry::Outcome as Settled;
use crate::verdict::Failure;

/// A key at a stage.
type Spot = (Arc<str>, usize);

/// Timers by name, and before when they aren't tried again.
type Again = Vec<(Arc<str>, u64)>;

/// When which timers are to run.
#[derive(Default)]
pub(super) struct Timing {
    /// Whether there has been any timer; else nothing here costs anything.
    in_use: bool,
    /// Nothing is consumed: what falls due waits.
    held: bool,
    due: BTreeSet<(u64, Spot)>,
    of: HashMap<Spot, u64>,
    /// Those that have a timer in the backlog, or on its way to being settled.
    flying: HashSet<Spot>,
    /// Timers that failed and wait to be tried again, by name: not before then. Forgotten by a restart.
    again: HashMap<Spot, Again>,
    /// Keys whose entries may have changed.
    doubtful: HashSet<Arc<str>>,
}

/// Says which inputs may run together: of a key at most one timer, and that before its messages.
#[derive(Default)]
pub(super) struct Turns {
    taken: Option<HashSet<Arc<str>>>,
}

/// What a timer is settled with: nobody waits for it.
struct Nobody;

impl Settler for Nobody {
    fn settle(&self, _: u64, _: Settlement) {}

    fn is_stale(&self) -> bool {
        false
    }

    fn dropped(&self, _: u64) {}
}

// === impl Timing ===

impl Timing {
    /// Says who may run in the batch that is taken.
    pub(super) fn turns(&self) -> Turns {
        Turns { taken: (!self.flying.is_empty()).then(HashSet::default) }
    }

    /// Something of the key may have been kept or undone.
    pub(super) fn doubt(&mut self, key: Option<&Arc<str>>) {
        if let Some(key) = key.filter(|_| self.in_use) {
            self.doubtful.insert(Arc::clone(key));
        }
    }

    /// Looks whether changes that are kept have timers.
    pub(super) fn note(&mut self, changes: &Changes) {
        self.in_use = self.in_use || changes.entries().any(|(_, _, entry)| entry.timers.is_some());
    }

    fn set(&mut self, spot: Spot, due_us: Option<u64>) {
        let before = match due_us {
            Some(due_us) => self.of.insert(spot.clone(), due_us),
            None => self.of.remove(&spot),
        };
        if let Some(before) = before {
            self.due.remove(&(before, spot.clone()));
        }
        if let Some(due_us) = due_us {
            self.due.insert((due_us, spot));
        }
    }

    /// When a timer is to run: when it is due, or later where it failed.
    fn runs_us(&self, spot: &Spot, timer: &Timer) -> u64 {
        if timer.attempt == 0 {
            return timer.due_us;
        }
        let again = self.again.get(spot).into_iter().flatten();
        let again = again.filter(|(name, _)| *name == timer.name).map(|(_, again)| *again);
        again.fold(timer.due_us, u64::max)
    }

    /// A timer that failed isn't tried before then.
    fn try_again(&mut self, spot: Spot, name: &Arc<str>, at_us: u64) {
        let again = self.again.entry(spot).or_default();
        again.retain(|(other, _)| other != name);
        again.push((Arc::clone(name), at_us));
    }

    /// Forgets when timers were to be tried again that aren't there any more, or were set anew.
    fn forget_again(&mut self, spot: &Spot, entry: &state::Entry) {
        let Some(again) = self.again.get_mut(spot) else { return };
        again.retain(|(name, _)| entry.timer(name).is_some_and(|timer| timer.attempt > 0));
        if again.is_empty() {
            self.again.remove(spot);
        }
    }
}

// === impl Turns ===

impl Turns {
    pub(super) fn opens_to(&mut self, job: &Job) -> bool {
        let (Some(taken), Some(key)) = (&mut self.taken, &job.key) else { return true };
        taken.insert(Arc::clone(key)) || job.timer.is_none()
    }
}

// === impl Lane ===

impl Lane {
    /// The pipeline consumes again, or doesn't: then timers wait, as messages do in their queue.
    pub fn flows(&mut self, flows: bool) {
        self.timing.held = !flows;
        if flows {
            self.ring(self.shape.clock.now_us());
        }
    }

    /// The alarm rang.
    pub fn rung(&mut self) {
        if let Some(alarm) = &self.parking.alarm {
            alarm.heard();
        }
        self.unpark();
        self.ring(self.shape.clock.now_us());
        self.set_alarm();
    }

    /// Puts timers that are due into the backlog.
    pub fn ring(&mut self, now_us: u64) {
        if !self.timing.in_use {
            return;
        }
        self.follow();
        let before = self.timing.of.len();
        while self.next_due().is_some_and(|due_us| due_us <= now_us) {
            let Some((_, spot)) = self.timing.due.first().cloned() else { break };
            self.timing.set(spot.clone(), None);
            self.launch(spot, now_us);
        }
        self.count_waiting(before);
        self.set_alarm();
    }

    fn launch(&mut self, spot: Spot, now_us: u64) {
        let entry = match self.entry_now(&spot.0, spot.1) {
            Ok(entry) => entry,
            Err(error) => return self.put_off(spot.0, &error),
        };
        let runs_us = |timer: &&Timer| self.timing.runs_us(&spot, timer);
        let Some(timer) = entry.timers().iter().min_by_key(runs_us) else { return };
        let runs_us = runs_us(&timer);
        if runs_us > now_us {
            // What is under way has set it anew, or cancelled one before it.
            return self.timing.set(spot, Some(runs_us));
        }
        let job = self.fired(&spot, timer);
        self.timing.flying.insert(spot);
        self.shape.in_flight.entered(1, &self.shape.metrics);
        self.backlog.push(job);
    }

    fn fired(&self, (key, stage): &Spot, timer: &Timer) -> Job {
        let shape = &*self.shape;
        let mut seed = blake3::Hasher::new();
        for part in [&shape.name, &*shape.stages[*stage].plugin, &**key, &*timer.name] {
            seed.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        seed.update(&(*stage as u64).to_le_bytes()).update(&timer.due_us.to_le_bytes());
        let mut properties = Properties::default();
        if let Some(header) = &shape.addresses.key_header {
            properties.headers.set(header, FieldValue::from(&**key));
        }
        let message =
            Message { routing_key: timer.name.to_string(), properties, ..Message::default() };
        let first = *seed.finalize().as_bytes().first_chunk().unwrap_or(&[0; 16]);
        Job::from(Particulars {
            message,
            decoded: None,
            key: Some(Arc::clone(key)),
            identity: None,
            seed: first,
            attempt: timer.attempt + 1,
            first_failed_at: 0,
            replay_of: None,
            replay_count: 0,
            unfit: None,
            redelivered: false,
            condemned: None,
            // Before all: when any is lost, timers come again by themselves.
            consumer: 0,
            received: Instant::now(),
            confirmed: Vec::new(),
            versions: 0,
            partition: u8::try_from(partition(key)).unwrap_or(0),
            timer: Some(Fired { stage: *stage, due_us: timer.due_us }),
            receipt: Receipt::new(Arc::new(Nobody), 0),
        })
    }

    /// Takes timers out of a batch that aren't set any more, or were set anew.
    pub(super) fn drop_stale(&mut self, batch: &mut Vec<Job>) {
        if self.timing.flying.is_empty() {
            return;
        }
        let stale: Vec<Job> = batch.extract_if(.., |job| !self.is_set(job)).collect();
        for job in stale {
            self.landed(&job, Settled::Released);
        }
    }

    fn is_set(&mut self, job: &Job) -> bool {
        let (Some(fired), Some(key)) = (job.timer, &job.key) else { return true };
        // One that can't be looked at doesn't run; it comes again.
        let Ok(entry) = self.entry_now(key, fired.stage) else { return false };
        let timer = entry.timer(&job.message.routing_key);
        timer.is_some_and(|timer| timer.due_us == fired.due_us)
    }

    /// A timer is through, or undone.
    pub(super) fn landed(&mut self, job: &Job, outcome: Settled) {
        let (Some(fired), Some(key)) = (job.timer, &job.key) else { return };
        if outcome != Settled::Released {
            let late = self.shape.clock.now_us().saturating_sub(fired.due_us);
            self.shape.metrics.timers().run(outcome, Duration::from_micros(late));
        }
        self.timing.flying.remove(&(Arc::clone(key), fired.stage));
        self.timing.doubtful.insert(Arc::clone(key));
        self.shape.in_flight.left(1, &self.shape.metrics);
    }

    /// What becomes of what failed, and what must be published for it.
    pub(super) fn sentence_either(
        &mut self,
        job: &Job,
        failure: Failure,
        changes: &mut Changes,
        now_s: u64,
    ) -> (End, Vec<Planned>) {
        match job.timer {
            Some(_) => self.sentence_timer(job, failure, changes, now_s),
            None => self.sentence(job, failure, now_s),
        }
    }

    /// What becomes of a timer that failed: it is tried again as the policy says, or told and dropped.
    pub(super) fn sentence_timer(
        &mut self,
        job: &Job,
        failure: Failure,
        changes: &mut Changes,
        now_s: u64,
    ) -> (End, Vec<Planned>) {
        let shape = Arc::clone(&self.shape);
        let (Some(fired), Some(key)) = (job.timer, &job.key) else {
            return (End::Failed(failure, Settled::Discarded), Vec::new());
        };
        let name: Arc<str> = job.message.routing_key.as_str().into();
        let spot = (Arc::clone(key), fired.stage);
        let before = changes.get(key, fired.stage).cloned();
        // It ran, so that its entry was read.
        let known = before.or_else(|| self.known(key, fired.stage).cloned());
        let mut entry = known.unwrap_or_default();
        let (settled, items) = match judge(&failure, job.attempt, &shape.policy) {
            Sentence::Retry(rung) => {
                let now_us = now_s.saturating_mul(1_000_000);
                let again = now_us + u64::try_from(rung.as_micros()).unwrap_or(u64::MAX / 2);
                self.timing.try_again(spot, &name, again);
                entry.set_timer(Timer { name, due_us: fired.due_us, attempt: job.attempt });
                (Settled::Retried, Vec::new())
            }
            Sentence::End => {
                entry.cancel_timer(&name);
                let end = Settled::Discarded;
                let report = shape.addresses.report(job, &failure, end.as_str(), now_s);
                shape.metrics.ended(&report);
                (end, vec![shape.addresses.tell(&report)])
            }
        };
        shape.metrics.failed(job.failed(&failure, settled));
        changes.set(key, fired.stage, entry);
        (End::Failed(failure, settled), items)
    }

    /// Looks again when the next timer is due, after messages were settled.
    pub(super) fn follow_timers(&mut self) {
        if self.timing.in_use {
            self.follow();
            self.set_alarm();
        }
    }

    /// Brings the index up to what keys have now.
    fn follow(&mut self) {
        let before = self.timing.of.len();
        for key in std::mem::take(&mut self.timing.doubtful) {
            for stage in 0..self.shape.stages.len() {
                let spot = (Arc::clone(&key), stage);
                if self.timing.flying.contains(&spot) {
                    continue;
                }
                match self.entry_now(&key, stage) {
                    Ok(entry) => {
                        self.timing.forget_again(&spot, &entry);
                        let runs = |timer| self.timing.runs_us(&spot, timer);
                        let first = entry.timers().iter().map(runs).min();
                        self.timing.set(spot, first);
                    }
                    Err(error) => {
                        self.put_off(Arc::clone(&key), &error);
                        break;
                    }
                }
            }
        }
        self.count_waiting(before);
    }

    fn count_waiting(&self, before: usize) {
        let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let change = signed(self.timing.of.len()) - signed(before);
        self.shape.metrics.timers().waiting(change);
    }

    /// What a key has at a stage now, what isn't kept yet included; read from the store where need be.
    fn entry_now(&mut self, key: &Arc<str>, stage: usize) -> Result<state::Entry, StoreError> {
        if self.known(key, stage).is_none()
            && let Some(place) = self.shape.places.get(stage)
        {
            let kept = self.keeping.load(place, key)?;
            self.cache.learn(key, stage, kept);
        }
        Ok(self.known(key, stage).cloned().unwrap_or_default())
    }

    /// The store can't be read: nothing is consumed until it can, and these are looked at again.
    fn put_off(&mut self, key: Arc<str>, error: &StoreError) {
        self.shape.breaker.trip(&error.to_string());
        self.timing.doubtful.insert(key);
    }

    /// Whether no further key may have a timer.
    pub(super) fn timers_full(&self) -> bool {
        self.timing.of.len() + self.timing.flying.len() >= self.shape.timer_keys
    }

    /// When the next timer is due; none while timers wait, or enough of them are here.
    pub(super) fn next_due(&self) -> Option<u64> {
        let (due_us, _) = self.timing.due.first()?;
        (self.timers_flow() && self.timing.flying.len() < TIMERS_DUE).then_some(*due_us)
    }

    /// Whether timers that are due run. Where they don't, the intake tells when they do again.
    fn timers_flow(&self) -> bool {
        !self.timing.held && matches!(self.shape.breaker.phase(), Phase::Closed)
    }
}

#[cfg(test)]
mod tests;
