//! How a lane comes from one version of its plugins to another without standing still.
//!
//! What is new runs on the versions that serve. What ran on the former ones stays as it came out; where it must
//! run again and has outputs out already, it does so on those, and its key waits for it. A lane keeps two
//! sets of versions at the most: where a third is to serve while the first may still be needed, nothing new
//! begins until it isn't.

use std::sync::Arc;

use tokio::time::Instant;

use super::Lane;
use crate::maps::HashMap;
use crate::pipeline::job::Job;
use crate::pipeline::stages::Call;

/// The versions of plugins that a lane runs on, each set under a number.
#[derive(Default)]
pub(super) struct Versions {
    serving: u64,
    /// Those before, while something may have to run on them again.
    former: Option<u64>,
    /// Since when another set is to serve.
    awaited: Option<Instant>,
}

/// Says who may run in the batch that is taken.
pub(super) struct Casting {
    /// Keys that wait for what must run on the former versions: how many of each run on those.
    again: HashMap<Arc<str>, usize>,
    former: bool,
    /// Nothing new begins.
    held: bool,
}

// === impl Casting ===

impl Casting {
    pub(super) fn opens_to(&mut self, job: &Job) -> bool {
        let again = job.key.as_ref().and_then(|key| self.again.get_mut(key));
        if !self.former {
            return !self.held && again.is_none();
        }
        again.is_some_and(|left| {
            let runs = *left > 0;
            *left = left.saturating_sub(1);
            runs
        })
    }
}

// === impl Lane ===

impl Lane {
    /// Runs one batch of at most `fitting` messages on the versions that serve. Whether there was one.
    pub fn work(&mut self, call: &mut dyn Call, fitting: usize, now_us: u64) -> bool {
        self.work_on(self.versions.serving, call, fitting, now_us)
    }

    /// The same of what must run on the former versions again.
    pub fn work_again(&mut self, call: &mut dyn Call, fitting: usize, now_us: u64) -> bool {
        let former = self.versions.former;
        former.is_some_and(|former| self.work_on(former, call, fitting, now_us))
    }

    /// Whether anything may have to run on the former versions again.
    pub fn needs_former(&mut self) -> bool {
        let Some(former) = self.versions.former else { return false };
        let ran = self.ready.iter().chain(&self.publishing).any(|group| group.oldest <= former);
        let needed = ran || !self.backlog.half_told(former).is_empty();
        if !needed {
            self.versions.former = None;
        }
        needed
    }

    /// Other versions are to serve. Whether they may from now on; those so far are then the former ones.
    pub fn change_versions(&mut self) -> bool {
        self.versions.awaited.get_or_insert_with(Instant::now);
        if self.needs_former() {
            return false;
        }
        self.versions.former = Some(self.versions.serving);
        self.versions.serving += 1;
        true
    }

    /// The versions that [`Lane::change_versions`] agreed to can be called.
    pub fn versions_changed(&mut self) {
        if let Some(since) = self.versions.awaited.take() {
            self.shape.metrics.swap_paused(since.elapsed());
        }
    }

    /// Who may run on those versions.
    pub(super) fn casting(&self, versions: u64) -> Casting {
        let Versions { serving, former, awaited } = self.versions;
        let again = former.map_or_else(HashMap::default, |former| self.backlog.half_told(former));
        Casting { again, former: versions != serving, held: awaited.is_some() }
    }
}
