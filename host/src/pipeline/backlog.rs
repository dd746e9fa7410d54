//! What waits on a shard for one pipeline: higher priorities first, each key in order of arrival.
//!
//! Order per key is the stronger promise: a message that outranks earlier ones of its own key
//! lifts them to its priority instead of overtaking them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::job::Job;
use crate::config::BatchLimits;
use crate::maps::{HashMap, HashSet};

/// Messages waiting, bounded by the pipeline's prefetch.
#[derive(Debug, Default)]
pub struct Backlog {
    /// By priority. One that is empty keeps its room: it fills again.
    ranks: BTreeMap<u8, VecDeque<Job>>,
    /// Per waiting key: how many wait, and at which rank.
    keys: HashMap<Arc<str>, (usize, u8)>,
    len: usize,
}

impl Backlog {
    /// Adds a message behind what waits of its key.
    pub fn push(&mut self, job: Job) {
        let mut rank = job.priority();
        if let Some(key) = &job.key {
            match self.keys.get_mut(key) {
                Some((count, waiting)) => {
                    let before = *waiting;
                    rank = rank.max(before);
                    (*count, *waiting) = (*count + 1, rank);
                    if before < rank {
                        self.lift(&Arc::clone(key), before, rank);
                    }
                }
                None => drop(self.keys.insert(Arc::clone(key), (1, rank))),
            }
        }
        self.ranks.entry(rank).or_default().push_back(job);
        self.len += 1;
    }

    /// Puts messages back before everything else of their keys, in the order given.
    pub fn push_front(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            let mut rank = job.priority();
            if let Some(key) = &job.key {
                let (count, waiting) = self.keys.get(key).copied().unwrap_or((0, rank));
                rank = if count > 0 { waiting } else { rank };
                self.keys.insert(Arc::clone(key), (count + 1, rank));
            }
            self.ranks.entry(rank).or_default().push_front(job);
            self.len += 1;
        }
    }

    /// Takes up to a batch from the top. A message that isn't `ready` stays, and with it all later
    /// ones of its key.
    pub fn take(&mut self, limits: BatchLimits, mut ready: impl FnMut(&Job) -> bool) -> Vec<Job> {
        let mut batch = Vec::with_capacity(limits.messages.min(self.len));
        let mut bytes = 0;
        let mut held: HashSet<Arc<str>> = HashSet::default();
        let mut full = false;
        for queue in self.ranks.values_mut().rev() {
            if full {
                break;
            }
            let mut kept = VecDeque::new();
            while let Some(job) = queue.pop_front() {
                full = batch.len() >= limits.messages
                    || (!batch.is_empty() && bytes + job.body().len() > limits.bytes);
                if full {
                    queue.push_front(job);
                    break;
                }
                let waits = job.key.as_ref().is_some_and(|key| held.contains(key)) || !ready(&job);
                if waits {
                    held.extend(job.key.clone());
                    kept.push_back(job);
                } else {
                    bytes += job.body().len();
                    batch.push(job);
                }
            }
            while let Some(job) = kept.pop_back() {
                queue.push_front(job);
            }
        }
        for job in &batch {
            self.uncount(job);
        }
        batch
    }

    /// Takes out every message that `leaves` says, those of one key in order.
    pub fn extract(&mut self, mut leaves: impl FnMut(&Job) -> bool) -> Vec<Job> {
        let mut gone = Vec::new();
        for queue in self.ranks.values_mut() {
            let (out, stay): (VecDeque<Job>, VecDeque<Job>) =
                std::mem::take(queue).into_iter().partition(&mut leaves);
            gone.extend(out);
            *queue = stay;
        }
        for job in &gone {
            self.uncount(job);
        }
        gone
    }

    /// Keys of which a message waits to run again that has outputs out already, of a run on those versions:
    /// how many wait up to the last such one.
    #[must_use]
    pub fn half_told(&self, versions: u64) -> HashMap<Arc<str>, usize> {
        let told = |job: &&Job| !job.confirmed.is_empty() && job.versions == versions;
        let jobs = || self.ranks.values().flatten();
        let mut until: HashMap<Arc<str>, usize> =
            jobs().filter(told).filter_map(|job| Some((job.key.clone()?, 0))).collect();
        if until.is_empty() {
            return until;
        }
        let mut passed: HashMap<&Arc<str>, usize> = HashMap::default();
        for job in jobs() {
            let Some(key) = &job.key else { continue };
            let passed = passed.entry(key).or_default();
            *passed += 1;
            if told(&job)
                && let Some(until) = until.get_mut(key)
            {
                *until = *passed;
            }
        }
        until
    }

    /// How many wait of that key.
    #[must_use]
    pub fn of_key(&self, key: &str) -> usize {
        self.keys.get(key).map_or(0, |(count, _)| *count)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    fn uncount(&mut self, job: &Job) {
        self.len -= 1;
        if let Some(key) = &job.key
            && let Some((count, _)) = self.keys.get_mut(key)
        {
            *count -= 1;
            if *count == 0 {
                self.keys.remove(key);
            }
        }
    }

    fn lift(&mut self, key: &Arc<str>, from: u8, to: u8) {
        let Some(queue) = self.ranks.get_mut(&from) else { return };
        let (lifted, stay): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(queue).into_iter().partition(|job| job.same_key(key));
        *queue = stay;
        self.ranks.entry(to).or_default().extend(lifted);
    }
}

#[cfg(test)]
mod tests;
