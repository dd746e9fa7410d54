//! What is told to whoever tells people: a channel that is bounded and loses what doesn't fit, and
//! the conditions that hold now, which are never lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;

use super::families::{Families, Labels};
use crate::clock::Clock;
use crate::limits;
use crate::notice::{Condition, ConditionKind, Notice, Severity};
use crate::report::Report;

/// The notices of one process.
#[derive(Debug)]
pub(super) struct Notices {
    clock: Clock,
    listener: Mutex<Option<mpsc::Sender<Notice>>>,
    lost: Counter,
    now: Mutex<BTreeMap<(ConditionKind, String), Condition>>,
    gauges: Family<Labels, Gauge>,
}

// === impl Notices ===

impl Notices {
    pub(super) fn new(families: &Families, clock: Clock) -> Self {
        Self {
            clock,
            listener: Mutex::default(),
            lost: families.told.notices_lost.clone(),
            now: Mutex::default(),
            gauges: families.told.conditions.clone(),
        }
    }

    pub(super) fn listen(&self) -> mpsc::Receiver<Notice> {
        let (sender, receiver) = mpsc::channel(limits::NOTICES_MAX);
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// A message ended as a failure. Costs nothing where nobody listens.
    pub(super) fn failure(&self, report: &Report) {
        self.send(|| Notice::Failure(Box::new(report.clone())));
    }

    /// The condition holds because of that, or doesn't. Told and logged where it changes.
    pub(super) fn condition(&self, kind: ConditionKind, subject: &str, why: Option<&str>) {
        let key = (kind, subject.to_owned());
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match (why, now.get_mut(&key)) {
            (None, None) => return,
            (Some(why), Some(known)) => {
                if known.text != why {
                    why.clone_into(&mut known.text);
                }
                return;
            }
            (Some(why), None) => {
                let condition = Condition {
                    kind,
                    subject: subject.to_owned(),
                    text: why.to_owned(),
                    since: self.clock.now_s(),
                };
                now.insert(key, condition.clone());
                Notice::Began(condition)
            }
            (None, Some(_)) => match now.remove(&key) {
                Some(condition) => Notice::Ended(condition),
                None => return,
            },
        };
        drop(now);
        let labels = vec![("condition", kind.as_str().to_owned()), ("subject", subject.to_owned())];
        self.gauges.get_or_create_owned(&labels).set(why.is_some().into());
        log(kind, subject, why);
        self.send(|| told);
    }

    /// The conditions that hold now.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn send(&self, make: impl FnOnce() -> Notice) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(listener) = &*listener else { return };
        match listener.try_reserve() {
            Ok(place) => place.send(make()),
            Err(mpsc::error::TrySendError::Full(())) => drop(self.lost.inc()),
            // The host is stopping.
            Err(mpsc::error::TrySendError::Closed(())) => {}
        }
    }
}

fn log(kind: ConditionKind, subject: &str, why: Option<&str>) {
    let condition = kind.as_str();
    match (why, kind.severity()) {
        (Some(why), Severity::Warning) => tracing::warn!(condition, subject, why, "began"),
        (Some(why), _) => tracing::error!(condition, subject, why, "began"),
        (None, _) => tracing::info!(condition, subject, "ended"),
    }
}
