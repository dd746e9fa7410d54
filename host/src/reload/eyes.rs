//! Looks at every call of the plugins that serve: how many messages fail, and copies for a trial.

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use crate::limits::{TALLY_MESSAGES, TRIAL_BATCH_BYTES};
use crate::pipeline::observe::{Called, Observer};
use crate::plugin::capsule::OwnedBatch;
use crate::plugin::{CallError, Decisions, Plugin};
use crate::verdict::Verdict;

/// All plugins of a host as they are called.
#[derive(Debug, Default)]
pub(super) struct Eyes {
    plugins: RwLock<HashMap<String, Arc<Eye>>>,
}

/// One plugin as it is called.
#[derive(Debug, Default)]
pub(super) struct Eye {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Of the version that serves, and of the one before while that may come back. Not by digest: another
    /// version may be the same file under other settings.
    tallies: Vec<(Weak<Plugin>, Tally)>,
    copies: Option<SyncSender<Copied>>,
}

/// How messages came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Decided, or failed alone.
    pub(super) messages: u64,
    /// Of these: failed calls, rejects, wishes to be tried again, outputs that there aren't.
    pub(super) failed: u64,
}

/// A call that was made, copied.
#[derive(Debug)]
pub(super) struct Copied {
    /// What the version that serves was handed.
    pub(super) batch: OwnedBatch,
    /// What it answered.
    pub(super) result: Result<Decisions, CallError>,
    /// The outputs that its pipeline has; none where that isn't known.
    pub(super) outputs: Option<Vec<String>>,
}

// === impl Eyes ===

impl Eyes {
    /// The eye on a plugin.
    pub(super) fn on(&self, plugin: &str) -> Arc<Eye> {
        let mut plugins = self.plugins.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(plugins.entry(plugin.to_owned()).or_default())
    }

    /// There is no such plugin any more.
    pub(super) fn forget(&self, plugin: &str) {
        self.plugins.write().unwrap_or_else(PoisonError::into_inner).remove(plugin);
    }
}

impl Observer for Eyes {
    fn called(&self, call: &Called<'_>) {
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        let Some(eye) = plugins.get(call.plugin.name()).map(Arc::clone) else { return };
        drop(plugins);
        eye.called(call);
    }
}

// === impl Eye ===

impl Eye {
    fn called(&self, call: &Called<'_>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tally(call);
        match seen.tallies.iter_mut().find(|(known, _)| is(known, call.plugin)) {
            Some((_, sum)) => sum.add(tally),
            None => {
                seen.tallies.retain(|(known, _)| known.strong_count() > 0);
                seen.tallies.push((Arc::downgrade(call.plugin), tally));
            }
        }
        let Some(copies) = seen.copies.clone() else { return };
        drop(seen);
        if OwnedBatch::bytes_of(call.batch) > TRIAL_BATCH_BYTES {
            return;
        }
        let copied = Copied {
            batch: OwnedBatch::of(call.batch),
            result: call.result.cloned().map_err(Clone::clone),
            outputs: Some(call.outputs.iter().map(|it| it.name.clone()).collect()),
        };
        // A trial that is slower than the plugin that serves sees fewer calls.
        let _full = copies.try_send(copied);
    }

    /// Has calls copied from now on, or no more.
    pub(super) fn copy_to(&self, copies: Option<SyncSender<Copied>>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).copies = copies;
    }

    /// Begins to count anew for a version.
    pub(super) fn begin(&self, plugin: &Arc<Plugin>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.tallies.retain(|(known, _)| !is(known, plugin));
        seen.tallies.push((Arc::downgrade(plugin), Tally::default()));
    }

    /// Forgets all versions but this one.
    pub(super) fn only(&self, plugin: &Arc<Plugin>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.tallies.retain(|(known, _)| is(known, plugin));
    }

    /// What was counted of a version.
    pub(super) fn tally(&self, plugin: &Arc<Plugin>) -> Tally {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = seen.tallies.iter().find(|(known, _)| is(known, plugin));
        found.map(|(_, tally)| *tally).unwrap_or_default()
    }
}

fn is(known: &Weak<Plugin>, plugin: &Arc<Plugin>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(plugin))
}

fn tally(call: &Called<'_>) -> Tally {
    let messages = call.batch.messages.len() as u64;
    match call.result {
        Ok(decisions) => {
            let known = |output: &str| call.outputs.iter().any(|it| it.name == output);
            let failed = decisions.messages.iter().filter(|decision| {
                matches!(decision.verdict, Verdict::Retry { .. } | Verdict::Reject { .. })
                    || decision.emissions.iter().any(|it| !known(&it.output))
            });
            Tally { messages, failed: failed.count() as u64 }
        }
        // A batch that fails is run again message by message: those calls count.
        Err(_) if messages > 1 => Tally::default(),
        Err(_) => Tally { messages: 1, failed: 1 },
    }
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.failed += other.failed;
        if self.messages > TALLY_MESSAGES {
            // What was long ago counts less than what is now.
            self.messages /= 2;
            self.failed /= 2;
        }
    }

    /// The share that failed.
    pub(super) fn rate(self) -> f64 {
        if self.messages == 0 { 0.0 } else { self.failed as f64 / self.messages as f64 }
    }
}
