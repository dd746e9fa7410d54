//! `retry.order = "key"`: while a message waits to be tried again, its key waits with it.
//!
//! The message returns to the front of the backlog, one attempt further, and its key isn't taken from
//! there until its time is up: what is parked is in the backlog like everything that hasn't run, goes
//! back with a lost connection, and has been acknowledged by nobody. What a batch did for the key before
//! the failure is undone, and runs again one message at a time, so that nothing has overtaken.
//!
//! A pipeline parks up to its bound; what is past it waits in the delay queue.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Lane;
use super::group::{End, Group};
use crate::broker::Settlement;
use crate::config::RetryOrder;
use crate::limits::RETRY_PARK_TIME;
use crate::pipeline::alarm::{Alarm, Times};
use crate::pipeline::job::Job;
use crate::pipeline::judge::{Sentence, judge};
use crate::pipeline::stages::Outcome;
use crate::state::Changes;
use crate::telemetry::Outcome as Settled;
use crate::verdict::Failure;

/// The keys of a lane that wait.
#[derive(Default)]
pub(super) struct Parking {
    keys: HashMap<Arc<str>, Parked>,
    /// Keys that run one message at a time until none of theirs waits: one of them failed.
    single: HashSet<Arc<str>>,
    /// What goes to the delay queue behind the group that is being made.
    overflow: Vec<(Job, Duration)>,
    /// How many of the pipeline's parked messages are this lane's.
    counted: usize,
    /// Consumers up to this one hold nothing for longer than it takes.
    draining: u64,
    pub(super) alarm: Option<Alarm>,
}

/// A key that waits.
struct Parked {
    until: Instant,
    rung: Duration,
    /// Something of it went to the delay queue: what comes later goes behind it.
    overflowed: bool,
}

/// Says who may run in the batch that is taken.
pub(super) struct Gate<'p> {
    parking: &'p Parking,
    taken: HashSet<Arc<str>>,
}

// === impl Parking ===

impl Parking {
    pub(super) fn gate(&self) -> Gate<'_> {
        Gate { parking: self, taken: HashSet::new() }
    }
}

// === impl Gate ===

impl Gate<'_> {
    pub(super) fn opens_to(&mut self, job: &Job) -> bool {
        let Some(key) = &job.key else { return true };
        if self.parking.keys.contains_key(key) {
            return false;
        }
        !self.parking.single.contains(key) || self.taken.insert(Arc::clone(key))
    }
}

// === impl Lane ===

impl Lane {
    /// Keeps what may not run behind a retried message of its key from having run: parks that message,
    /// and gives back what ran with it. What is left is settled as it came out.
    pub(super) fn keep_order(
        &mut self,
        ran: Vec<(Job, Outcome)>,
        changes: &mut Changes,
        now_s: u64,
    ) -> Vec<(Job, Outcome)> {
        let now = Instant::now();
        let mut waiting: HashMap<Arc<str>, usize> = ran
            .iter()
            .filter(|(job, outcome)| self.wait(job, outcome, now).is_some())
            .filter_map(|(job, _)| Some((job.key.clone()?, 0)))
            .collect();
        if waiting.is_empty() {
            return ran;
        }
        for key in ran.iter().filter_map(|(job, _)| job.key.as_ref()) {
            waiting.entry(Arc::clone(key)).and_modify(|count| *count += 1);
        }
        waiting.retain(|_, count| *count > 0);
        let (mut kept, mut back) = (Vec::new(), Vec::new());
        for (job, outcome) in ran {
            let together = job.key.as_ref().and_then(|key| waiting.get(key)).copied();
            match (together, self.wait(&job, &outcome, now), outcome) {
                (Some(2..), _, _) => back.push(self.reopen(job)),
                (Some(_), Some(rung), Outcome::Failed(failure)) => {
                    kept.extend(self.park(job, failure, rung, now_s));
                }
                (_, _, outcome) => kept.push((job, outcome)),
            }
        }
        for (key, _) in waiting.into_iter().filter(|(_, count)| *count > 1) {
            changes.forget(&key);
            if self.stateful {
                self.rewind(&key);
            }
            self.parking.single.insert(key);
        }
        self.shape.metrics.rewound(back.len());
        self.backlog.push_front(back);
        kept
    }

    /// How long a message that came out so holds its key up, if it does: not where it would be held so
    /// long that the broker takes it for lost.
    fn wait(&self, job: &Job, outcome: &Outcome, now: Instant) -> Option<Duration> {
        let policy = &self.shape.policy;
        if policy.retry.order != RetryOrder::Key || job.key.is_none() || job.timer.is_some() {
            return None;
        }
        let Outcome::Failed(failure) = outcome else { return None };
        let Sentence::Retry(rung) = judge(failure, job.attempt, policy) else { return None };
        let held = now.saturating_duration_since(job.received).saturating_add(rung);
        (held <= RETRY_PARK_TIME).then_some(rung)
    }

    /// Puts a message back before everything of its key, and holds the key up. Gives it back where
    /// nothing more may be parked: then it waits in the delay queue, and its key's others behind it.
    fn park(
        &mut self,
        mut job: Job,
        failure: Failure,
        rung: Duration,
        now_s: u64,
    ) -> Option<(Job, Outcome)> {
        let key = job.key.clone()?;
        let mut behind = self.backlog.extract(|other| other.same_key(&key));
        let shape = Arc::clone(&self.shape);
        let room = shape.in_flight.park(1 + behind.len(), shape.policy.retry.park);
        let past = behind.split_off(room.saturating_sub(1).min(behind.len()));
        let overflowed = !past.is_empty();
        self.parking.overflow.extend(past.into_iter().map(|job| (job, rung)));
        if room == 0 {
            return Some((job, Outcome::Failed(failure)));
        }
        shape.metrics.failed(job.failed(&failure, Settled::Retried));
        job.attempt += 1;
        if job.first_failed_at == 0 {
            job.first_failed_at = now_s;
        }
        let drains = job.consumer <= self.parking.draining;
        let job = self.reopen(job);
        self.backlog.push_front(behind);
        self.backlog.push_front(vec![job]);
        self.parking.counted += room;
        let until = Instant::now() + rung;
        self.parking.keys.insert(key, Parked { until, rung, overflowed });
        if drains {
            self.release_parked();
        } else {
            self.set_alarm();
        }
        None
    }

    /// Takes a message that arrived for a parked key into account; none where it went on to the delay
    /// queue, because no more may be parked.
    pub(super) fn beside_parked(&mut self, job: Job) -> Option<Job> {
        let Some(key) = &job.key else { return Some(job) };
        let Some(parked) = self.parking.keys.get_mut(key) else { return Some(job) };
        let bound = self.shape.policy.retry.park;
        if !parked.overflowed && self.shape.in_flight.park(1, bound) == 1 {
            self.parking.counted += 1;
            return Some(job);
        }
        parked.overflowed = true;
        let rung = parked.rung;
        self.parking.overflow.push((job, rung));
        self.divert_overflow();
        self.dispatch();
        None
    }

    /// Sends what is past the bound to the delay queue, as it is.
    pub(super) fn divert_overflow(&mut self) {
        let overflow = std::mem::take(&mut self.parking.overflow);
        if overflow.is_empty() {
            return;
        }
        let mut group = Group::default();
        for (job, rung) in overflow {
            let twin = job.identity.is_some_and(|identity| !self.running.insert(identity.whole));
            if twin {
                // It runs already, or waits to be published: this one is known to be it later.
                self.backlog.push(job);
                continue;
            }
            match self.shape.addresses.waiting_copy(&job, rung) {
                Ok(copy) => group.add(job, End::Diverted, vec![copy]),
                Err(_too_large) => {
                    // It can't wait on the broker, so it waits here, whatever the bound.
                    let job = self.reopen(job);
                    self.backlog.push(job);
                }
            }
        }
        self.ready.push_back(group);
    }

    /// Lets keys go on that have waited long enough.
    pub fn unpark(&mut self) {
        if self.parking.keys.is_empty() && self.parking.single.is_empty() {
            return;
        }
        let now = Instant::now();
        let before = self.parking.keys.len();
        self.parking.keys.retain(|_, parked| parked.until > now);
        let backlog = &self.backlog;
        self.parking.single.retain(|key| backlog.of_key(key) > 0);
        if self.parking.keys.len() < before {
            self.recount();
            self.set_alarm();
        }
    }

    /// Consumers up to this one are being wound down: nothing waits here for them.
    pub fn draining(&mut self, consumer: u64) {
        self.parking.draining = consumer;
        self.release_parked();
        self.judge_tried();
    }

    /// Gives back what is parked: the broker delivers it again, in order, at its first attempt here.
    fn release_parked(&mut self) {
        let keys = std::mem::take(&mut self.parking.keys);
        let parked = |job: &Job| job.key.as_ref().is_some_and(|key| keys.contains_key(key));
        for job in self.backlog.extract(parked) {
            self.hand_back(job, Settlement::Release, Settled::Released);
        }
        self.recount();
        self.set_alarm();
    }

    /// Forgets keys of which nothing is left here.
    pub(super) fn forget_parked(&mut self) {
        let backlog = &self.backlog;
        self.parking.keys.retain(|key, _| backlog.of_key(key) > 0);
        self.recount();
        self.set_alarm();
    }

    fn recount(&mut self) {
        let keys = self.parking.keys.keys();
        let held =
            keys.map(|key| self.backlog.of_key(key)).sum::<usize>().min(self.parking.counted);
        self.shape.in_flight.unpark(self.parking.counted - held);
        self.parking.counted = held;
    }

    pub(super) fn set_alarm(&self) {
        if let Some(alarm) = &self.parking.alarm {
            let parked = self.parking.keys.values().map(|parked| parked.until).min();
            alarm.set(Times { parked, due_us: self.next_due() });
        }
    }
}

#[cfg(test)]
mod tests;
