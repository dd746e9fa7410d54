//! What one rule knows of each cause and condition, and what is to be told of it now.
//!
//! ```text
//!          at_least within          cool_down             quiet for resolve_after
//! quiet ────────────────────► raised ────────► told firing ───────────────────────► told resolved
//!                                                 ▲   │ more came, cool_down over
//!                                                 └───┘
//! ```
//!
//! A condition is raised once it has stood for `after`, and is over when it ends. Nothing here knows
//! a clock: what time it is comes with each call.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::telling::{Subject, Telling};
use crate::config::Notify;
use crate::limits;
use crate::notice::{Condition, Notice};

/// The key of what is told as one, once more causes are known than are told apart.
const OTHERS: &str = "other";

/// The causes and conditions of one rule.
#[derive(Debug)]
pub(super) struct Groups {
    rule: Notify,
    groups: BTreeMap<String, Group>,
    /// When what was told within the last minute was told.
    told: VecDeque<Instant>,
}

#[derive(Debug)]
struct Group {
    subject: Subject,
    count: u64,
    first_s: u64,
    last_s: u64,
    /// The last failure, or when the condition began or ended.
    last: Instant,
    /// The last failures, at most `at_least`.
    recent: VecDeque<Instant>,
    /// A condition that holds now.
    holds: bool,
    /// It should be told; stays until it has been, and is over.
    raised: bool,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: Instant,
    count: u64,
    /// Told as firing, and not as resolved since.
    firing: bool,
}

/// Now, for people and for measuring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// Seconds since 1970.
    pub(super) s: u64,
}

// === impl Groups ===

impl Groups {
    pub(super) fn new(rule: Notify) -> Self {
        Self { rule, groups: BTreeMap::new(), told: VecDeque::new() }
    }

    pub(super) fn rule(&self) -> &Notify {
        &self.rule
    }

    /// Notes what the rule is about.
    pub(super) fn note(&mut self, notice: &Notice, now: Now) {
        match notice {
            Notice::Failure(report) => {
                let key = self.place(&report.fingerprint);
                let at_least = self.rule.at_least as usize;
                let within = self.rule.within;
                let group = self.groups.entry(key).or_insert_with(|| {
                    Group::new(Subject::Failure(report.clone()), report.failed_at, now)
                });
                group.failed(report.failed_at, now, at_least, within);
            }
            Notice::Began(condition) => {
                let key = self.place(&format!("{}:{}", condition.kind.as_str(), condition.subject));
                let subject = Subject::Condition(condition.clone());
                let group = self
                    .groups
                    .entry(key)
                    .or_insert_with(|| Group::new(subject.clone(), condition.since, now));
                group.subject = subject;
                group.began(condition.since, now);
            }
            Notice::Ended(condition) => {
                let key = format!("{}:{}", condition.kind.as_str(), condition.subject);
                if let Some(group) = self.groups.get_mut(&key) {
                    group.holds = false;
                    (group.last, group.last_s) = (now.at, now.s);
                }
            }
        }
    }

    /// The conditions that stand, as far as is known here.
    pub(super) fn standing(&self) -> Vec<Condition> {
        let standing = self.groups.values().filter(|group| group.holds);
        let standing = standing.filter_map(|group| match &group.subject {
            Subject::Condition(condition) => Some(condition.clone()),
            Subject::Failure(_) => None,
        });
        standing.collect()
    }

    /// What is to be told now, in order of their keys.
    pub(super) fn due(&mut self, now: Now) -> Vec<Telling> {
        while self.told.front().is_some_and(|at| now.at - *at >= Duration::from_secs(60)) {
            self.told.pop_front();
        }
        let mut tellings = Vec::new();
        for (key, group) in &mut self.groups {
            if self.told.len() >= self.rule.per_minute as usize {
                break;
            }
            if let Some(telling) = group.due(key, &self.rule, now) {
                self.told.push_back(now.at);
                tellings.push(telling);
            }
        }
        let rule = &self.rule;
        self.groups.retain(|_, group| !group.is_over(rule, now));
        tellings
    }

    /// The key itself, or the common one where there are too many.
    fn place(&self, key: &str) -> String {
        let room = self.groups.len() < limits::NOTIFY_GROUPS || self.groups.contains_key(key);
        if room { key.to_owned() } else { OTHERS.to_owned() }
    }
}

// === impl Group ===

impl Group {
    fn new(subject: Subject, first_s: u64, now: Now) -> Self {
        Self {
            subject,
            count: 0,
            first_s,
            last_s: first_s,
            last: now.at,
            recent: VecDeque::new(),
            holds: false,
            raised: false,
            told: None,
        }
    }

    fn failed(&mut self, failed_at: u64, now: Now, at_least: usize, within: Duration) {
        let over = !self.raised && !self.is_firing();
        self.recent.retain(|at| now.at - *at < within);
        if over && self.recent.is_empty() {
            (self.count, self.first_s) = (0, failed_at);
        }
        if self.recent.len() == at_least {
            self.recent.pop_front();
        }
        self.recent.push_back(now.at);
        self.count += 1;
        (self.last, self.last_s) = (now.at, failed_at);
        self.raised |= self.recent.len() >= at_least;
    }

    fn began(&mut self, since: u64, now: Now) {
        if self.holds {
            return;
        }
        self.holds = true;
        self.count += 1;
        (self.last, self.last_s) = (now.at, now.s);
        if !self.is_firing() {
            self.first_s = since;
        }
    }

    fn is_firing(&self) -> bool {
        self.told.is_some_and(|told| told.firing)
    }

    fn is_condition(&self) -> bool {
        matches!(self.subject, Subject::Condition(_))
    }

    /// Whether it goes on.
    fn is_on(&self, rule: &Notify, now: Now) -> bool {
        if self.is_condition() { self.holds } else { now.at - self.last < rule.resolve_after }
    }

    fn due(&mut self, key: &str, rule: &Notify, now: Now) -> Option<Telling> {
        let on = self.is_on(rule, now);
        if self.is_condition() {
            self.raised = on && (self.is_firing() || now.at - self.last >= rule.after);
        }
        let cooled = self.told.is_none_or(|told| now.at - told.at >= rule.cool_down);
        let firing = match self.told {
            Some(told) if told.firing => {
                if !on {
                    self.raised = false;
                    self.told = Some(Told { firing: false, ..told });
                    return Some(self.telling(key, rule, false, now));
                }
                cooled && (self.is_condition() || self.count > told.count)
            }
            _ => self.raised && cooled,
        };
        if !firing {
            return None;
        }
        self.told = Some(Told { at: now.at, count: self.count, firing: true });
        Some(self.telling(key, rule, true, now))
    }

    /// Whether nothing would be different if it weren't known.
    fn is_over(&self, rule: &Notify, now: Now) -> bool {
        let cooled = self.told.is_none_or(|told| now.at - told.at >= rule.cool_down);
        let quiet = now.at - self.last >= rule.within;
        cooled && quiet && !self.raised && !self.holds && !self.is_firing()
    }

    fn telling(&self, key: &str, rule: &Notify, firing: bool, now: Now) -> Telling {
        // Should the host die, its alerts end by themselves.
        let lease = rule.cool_down + rule.resolve_after;
        Telling {
            rule: rule.name.clone(),
            key: key.to_owned(),
            labels: rule.labels.clone(),
            firing,
            count: self.count,
            first_s: self.first_s,
            last_s: self.last_s,
            ends_s: if firing { now.s + lease.as_secs() } else { now.s },
            subject: self.subject.clone(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
