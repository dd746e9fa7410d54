//! One pipeline on one shard: what waits, what ran and waits to be published, what is being published.
//!
//! ```text
//! backlog ──take──► run ──► ready groups ──► publishing ──► confirmed ──► committing ──► settle
//!    ▲                          │                 │
//!    └──────────── rewind ◄─────┴─────────────────┘
//! ```
//!
//! State changes of a group stay in the group until they are committed. A key that must be rewound gives
//! them up, in the group and in all later ones, and its messages return to the front of the backlog.

mod admit;
mod commit;
mod crash;
#[cfg(test)]
mod fixture;
mod forgetting;
mod give_up;
mod group;
mod judging;
mod legacy;
mod parking;
mod probing;
mod timing;
mod tuning;
mod versions;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use self::forgetting::{Forget, Forgotten};
use self::group::{End, Entry, Group};
pub use self::legacy::Legacy;
use self::parking::Parking;
use self::timing::Timing;
use self::tuning::Tuner;
use self::versions::Versions;
use super::address::Planned;
use super::alarm::Alarm;
use super::backlog::Backlog;
use super::identity::Window;
use super::job::Job;
use super::keeping::Keeping;
use super::publishing::{Done, Fate};
use super::shape::Shape;
use super::spread::Spread;
use super::stages::{self, Call, Outcome, Run, Setting};
use crate::broker::Settlement;
use crate::config::BatchLimits;
use crate::fault::{self, Point};
use crate::limits::READY_BATCHES_MAX;
use crate::maps::HashSet;
use crate::state::{Cache, Changes};
use crate::telemetry::Outcome as Settled;
use crate::verdict::Failure;

/// One pipeline on one shard.
pub struct Lane {
    shape: Arc<Shape>,
    /// The shard that it is on, and which keys are its.
    place: (usize, Spread),
    backlog: Backlog,
    ready: VecDeque<Group>,
    publishing: Option<Group>,
    publisher: mpsc::Sender<Vec<Planned>>,
    /// Published; in the next commit.
    confirmed: Option<Group>,
    /// In the commit that is under way.
    committing: Option<Group>,
    keeping: Keeping,
    cache: Cache,
    window: Window,
    /// Identities that are between the backlog and their settlement.
    running: HashSet<[u8; 16]>,
    /// Given up; released with what else the consumer handed out.
    stranded: Vec<Job>,
    /// What a broken plugin was tried with, and how that failed.
    tried: Vec<(Job, Failure)>,
    parking: Parking,
    timing: Timing,
    tuner: Tuner,
    /// Keys to be forgotten as soon as nothing of theirs is under way; until then none of theirs begins.
    forgetting: Vec<Forget>,
    versions: Versions,
    /// Whether anything under way may have changed a key's state.
    stateful: bool,
}

impl Lane {
    /// An idle lane on that shard that hands its groups to `publisher`, and what they did to `keeping`.
    pub fn new(
        shape: Arc<Shape>,
        shard: usize,
        publisher: mpsc::Sender<Vec<Planned>>,
        keeping: Keeping,
    ) -> Self {
        let spread = shape.spread.now();
        let window = Window::new(shape.id_window(spread));
        let first = shape.stages.iter().map(|stage| stage.first_generation).collect();
        let cache = Cache::new(shape.state_cache, first);
        Self {
            shape,
            place: (shard, spread),
            backlog: Backlog::default(),
            ready: VecDeque::new(),
            publishing: None,
            publisher,
            confirmed: None,
            committing: None,
            keeping,
            cache,
            window,
            running: HashSet::default(),
            stranded: Vec::new(),
            tried: Vec::new(),
            parking: Parking::default(),
            timing: Timing::default(),
            tuner: Tuner::default(),
            forgetting: Vec::new(),
            versions: Versions::default(),
            stateful: false,
        }
    }

    /// Gives it what wakes its shard when a key has waited long enough.
    #[must_use]
    pub fn with_alarm(mut self, alarm: Alarm) -> Self {
        self.parking.alarm = Some(alarm);
        self
    }

    /// A message arrived.
    pub fn arrived(&mut self, job: Job) {
        if let Some(job) = self.beside_parked(job) {
            self.backlog.push(job);
        }
    }

    /// Whether [`Lane::work`] may have something to do.
    pub fn has_work(&self) -> bool {
        let waits = !self.backlog.is_empty() && self.stranded.is_empty();
        waits && self.ready.len() < READY_BATCHES_MAX && !self.stands_still()
    }

    /// What it is made after.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// Runs one batch on those versions.
    fn work_on(&mut self, versions: u64, call: &mut dyn Call, fitting: usize, now_us: u64) -> bool {
        let fitting = if self.probes_plugin() { 1 } else { fitting };
        let began = Instant::now();
        let limits = BatchLimits { messages: self.batch_limit().min(fitting), ..self.shape.batch };
        self.unpark();
        self.ring(now_us);
        let stages = 0..self.shape.stages.len();
        self.stateful |= stages.into_iter().any(|stage| call.version(stage).stateful);
        let mut casting = self.casting(versions);
        let running = &mut self.running;
        let mut gate = self.parking.gate();
        let mut turns = self.timing.turns();
        let forgetting = &self.forgetting;
        let mut taken = self.backlog.take(limits, |job| {
            casting.opens_to(job)
                && !forgetting.iter().any(|it| it.is_of(job.key.as_ref()))
                && gate.opens_to(job)
                && turns.opens_to(job)
                && job.identity.is_none_or(|identity| running.insert(identity.whole))
        });
        if taken.is_empty() {
            return false;
        }
        self.settle_known(&mut taken);
        self.drop_stale(&mut taken);
        if !taken.is_empty() {
            if let Err(why) = self.fetch(call, &mut taken) {
                self.shape.breaker.trip(&why);
                self.put_back(taken);
                return false;
            }
            self.bound_keys(&mut taken);
            taken.iter_mut().for_each(|job| job.versions = versions);
            let run = match self.run_guarded(call, &mut taken, now_us) {
                Ok(run) => run,
                Err(why) => {
                    self.shape.breaker.trip(&why);
                    self.put_back(taken);
                    return false;
                }
            };
            let ran = taken.len();
            fault::point(Point::PostRun, || taken.iter().map(|job| &**job.body()));
            let Some((taken, run)) = self.spare(taken, run) else { return true };
            let group = self.group(taken, run, now_us / 1_000_000);
            self.ready.push_back(group);
            self.cache.trim();
            self.divert_overflow();
            self.dispatch();
            let took = began.elapsed();
            self.tune(ran, took);
            self.shape.in_flight.worked(took);
        }
        true
    }

    fn run(&self, call: &mut dyn Call, jobs: &[Job], now_us: u64) -> Run {
        let shape = &*self.shape;
        let view = |key: &str, stage: usize| self.known(key, stage).cloned();
        let resolve = |output: &str| shape.addresses.resolve(output);
        let setting = Setting {
            stages: &shape.stages,
            view: &view,
            resolve: &resolve,
            now_us,
            timers_full: self.timers_full(),
        };
        let run = stages::run(&setting, call, jobs);
        if run.rewound > 0 {
            shape.metrics.rewound(run.rewound);
        }
        run
    }

    fn group(&mut self, jobs: Vec<Job>, mut run: Run, now_s: u64) -> Group {
        self.cache.handed(&run.changes);
        self.touch(&jobs, &mut run.changes, now_s);
        let ran = jobs.into_iter().zip(run.outcomes).collect();
        let ran = self.keep_order(ran, &mut run.changes, now_s);
        let shape = Arc::clone(&self.shape);
        let addresses = &shape.addresses;
        let entries = Vec::with_capacity(ran.len());
        let mut group = Group { entries, changes: run.changes, ..Group::default() };
        for (job, outcome) in ran {
            let (end, items) = match outcome {
                Outcome::Done(emitted) => (End::Done, addresses.outputs(&job, emitted)),
                Outcome::Dropped { reason, emitted } => {
                    (End::Dropped(reason), addresses.outputs(&job, emitted))
                }
                Outcome::Failed(failure) => {
                    self.sentence_either(&job, failure, &mut group.changes, now_s)
                }
            };
            group.add(job, end, items);
        }
        group
    }

    /// Hands what is ready to the publisher, if that is idle.
    fn dispatch(&mut self) {
        while self.publishing.is_none() && !self.ready.is_empty() {
            let mut merged = self.ready.pop_front().unwrap_or_default();
            self.ready.drain(..).for_each(|group| merged.merge(group));
            let mut items = std::mem::take(&mut merged.items);
            merged.skip_confirmed(&mut items);
            self.publishing = Some(merged);
            if items.is_empty() {
                self.published(Done { items, fates: Vec::new() });
            } else if let Err(refused) = self.publisher.try_send(items) {
                // Its task is gone: the host is stopping, and nothing was published.
                let items = refused.into_inner();
                let fates = vec![Fate::Abandoned; items.len()];
                self.published(Done { items, fates });
            }
        }
    }

    /// The group in publication is through.
    pub fn published(&mut self, mut done: Done) {
        let Some(group) = self.publishing.take() else { return };
        let room = self.keep_untold(&mut done);
        if done.fates.contains(&Fate::Abandoned) {
            self.give_up(group, done, !room);
            return;
        }
        let now_s = self.shape.clock.now_s();
        let impossible = done.fates.iter().any(|fate| matches!(fate, Fate::Impossible(_)));
        let mut changes = group.changes;
        let (mut failed, mut open) = (Vec::new(), Vec::with_capacity(group.entries.len()));
        let mut results = done.items.into_iter().zip(done.fates);
        for mut entry in group.entries {
            let own: Vec<(Planned, Fate)> = results.by_ref().take(entry.items).collect();
            if impossible {
                entry.job.note_confirmed(&own);
            }
            let impossible = own.into_iter().find_map(|(_, fate)| match fate {
                Fate::Impossible(failure) => Some(failure),
                _ => None,
            });
            match impossible {
                Some(failure) => failed.push((entry, failure)),
                None => open.push(entry),
            }
        }
        let rewound = self.rewind_failed(&failed, &mut changes, &mut open);
        self.commit(open, changes);
        self.backlog.push_front(rewound);
        self.sentence_failed(failed, now_s);
        self.forget_quiet();
        self.follow_timers();
        self.dispatch();
    }

    /// Rewinds the keys of messages that can't be published: takes what is unsettled of them out of
    /// this group and of all later ones. The messages to run again, in order.
    fn rewind_failed(
        &mut self,
        failed: &[(Entry, Failure)],
        changes: &mut Changes,
        open: &mut Vec<Entry>,
    ) -> Vec<Job> {
        let keys: HashSet<Arc<str>> =
            failed.iter().filter_map(|(entry, _)| entry.job.key.clone()).collect();
        if !self.stateful || keys.is_empty() {
            return Vec::new();
        }
        let of_key = |entry: &mut Entry| entry.job.key.as_ref().is_some_and(|k| keys.contains(k));
        // A failure left no trace in state, and is told already: it stays what it is.
        let undone = |entry: &mut Entry| !matches!(entry.end, End::Failed(..)) && of_key(entry);
        let mut rewound: Vec<Entry> = open.extract_if(.., undone).collect();
        for group in &mut self.ready {
            rewound.extend(group.extract(of_key));
        }
        for key in &keys {
            changes.forget(key);
            self.ready.iter_mut().for_each(|group| group.changes.forget(key));
            self.rewind(key);
        }
        self.shape.metrics.rewound(rewound.len());
        rewound.into_iter().map(|entry| self.reopen(entry.job)).collect()
    }

    fn reopen(&mut self, job: Job) -> Job {
        self.timing.doubt(job.key.as_ref());
        if let Some(identity) = &job.identity {
            self.running.remove(&identity.whole);
        }
        job
    }

    /// A consumer of this pipeline is gone, and the broker will deliver again what it had handed out:
    /// everything of it is forgotten, but what is being published or kept, whose outputs may be safe already.
    pub fn lost(&mut self, consumer: u64) {
        for job in self.backlog.extract(|job| job.consumer <= consumer) {
            // Its identity may be that of a twin in publication, which goes on.
            self.hand_back(job, Settlement::Release, Settled::Released);
        }
        for group in std::mem::take(&mut self.ready) {
            for entry in group.entries {
                if let Some(key) = entry.job.key.clone() {
                    self.rewind(&key);
                }
                self.settle(entry.job, Settlement::Release, Settled::Released);
            }
        }
        let stranded = std::mem::take(&mut self.stranded);
        self.release(stranded);
        self.release_tried();
        self.forget_parked();
        self.forget_quiet();
    }

    /// What a key was handed on top of what is here of it is undone.
    fn rewind(&mut self, key: &str) {
        let published = self.publishing.iter_mut().chain(&mut self.confirmed);
        for group in self.ready.iter_mut().chain(published).chain(&mut self.committing) {
            let highest = group.changes.rewind(key);
            self.cache.reached(highest);
        }
        self.cache.rewind(key);
    }
}

#[cfg(test)]
mod tests;
