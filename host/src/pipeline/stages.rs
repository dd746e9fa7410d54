//! A batch through the stages: every message to a decision, state changes kept apart until the caller
//! commits them.
//!
//! A batch is a transaction per key. A message that fails behind a stage that changed its key's state
//! is taken out, and what else the batch holds of that key runs again without it. A call that fails as
//! a whole is repeated one message at a time, so that only the culprit fails. What keeps failing is
//! run one message at a time, each on top of those before it.

mod failing;
mod progress;
mod rows;
mod states;
mod timers;

pub use self::progress::stage_seed;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use self::progress::Progress;
use self::rows::Rows;
use super::job::Job;
use crate::config::{self, When};
use crate::limits::BATCH_RERUNS_MAX;
use crate::plugin::{Batch, CallError, Decisions, Input, StateSlot};
use crate::reference::{Table, TableSlot};
use crate::state::{Changes, Entry, first_generation};
use crate::verdict::{Decision, Emission, Failure, FailureClass, Verdict};

/// A stage, as far as running it goes.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The plugin's name in the config.
    pub plugin: String,
    /// Which messages it sees.
    pub when: Option<When>,
    /// The generation of a key's first state here.
    pub first_generation: u64,
    /// Whose rows of a message's key it is handed.
    pub tables: Vec<Arc<TableSlot>>,
}

impl Stage {
    /// The stage at that place of the config's pipeline of that index.
    #[must_use]
    pub fn new(
        stage: &config::Stage,
        (pipeline, at): (u16, usize),
        tables: Vec<Arc<TableSlot>>,
    ) -> Self {
        Self {
            plugin: stage.plugin.clone(),
            when: stage.when.clone(),
            first_generation: first_generation(pipeline, at),
            tables,
        }
    }
}

/// What serves a stage, the same for all of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version<'v> {
    /// SHA-256 of its file.
    pub digest: &'v str,
    /// Whether it is handed state.
    pub stateful: bool,
    /// Version of its state's schema.
    pub schema: u32,
    /// Version of the schema of the one that is run beside it, should that be put back.
    pub shadow: Option<u32>,
}

/// Calls the plugin of a stage; the next call after an error starts afresh.
pub trait Call {
    /// What serves the stage.
    fn version(&self, stage: usize) -> Version<'_>;

    /// One `process` call; the rows in the batch are from those tables.
    ///
    /// # Errors
    /// When the call failed as a whole.
    fn call(
        &mut self,
        stage: usize,
        batch: &Batch<'_>,
        tables: &[Arc<Table>],
    ) -> Result<Decisions, CallError>;

    /// State of that version of the schema, as the version that serves keeps it.
    ///
    /// # Errors
    /// When the plugin can't read it.
    fn migrate(&mut self, stage: usize, from: u32, state: &[u8]) -> Result<Bytes, CallError>;

    /// One `process` call of the version that is run beside the one that serves.
    ///
    /// # Errors
    /// When the call failed as a whole.
    fn shadow(&mut self, stage: usize, batch: &Batch<'_>) -> Result<Decisions, CallError>;
}

/// What a batch runs in.
pub struct Setting<'s> {
    /// The stages.
    pub stages: &'s [Stage],
    /// The state that the batch starts from, by key and stage.
    pub view: &'s dyn Fn(&str, usize) -> Option<Entry>,
    /// Which output a name means, or why none.
    pub resolve: &'s dyn Fn(&str) -> Result<usize, String>,
    /// The batch's time, microseconds since 1970.
    pub now_us: u64,
    /// Whether keys that have no timer may have none.
    pub timers_full: bool,
}

/// What a batch led to.
#[derive(Debug)]
pub struct Run {
    /// One per job, in order.
    pub outcomes: Vec<Outcome>,
    /// What the successful messages changed.
    pub changes: Changes,
    /// Messages that ran again because one of their key failed.
    pub rewound: usize,
}

/// How a message came out of the stages.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Finished, with this to publish.
    Done(Vec<Emitted>),
    /// Finished on purpose without a result.
    Dropped {
        /// The plugin's reason.
        reason: String,
        /// What is to be published all the same.
        emitted: Vec<Emitted>,
    },
    /// It failed; its traces are gone.
    Failed(Failure),
}

/// An emission with all that its stage knew.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    /// The stage it comes from.
    pub stage: usize,
    /// Its place among that message's emissions at that stage.
    pub index: usize,
    /// Which output it goes to.
    pub target: usize,
    /// What the plugin asked for.
    pub emission: Emission,
    /// The message's body as that stage saw it, where the emission takes it over.
    pub body: Option<Bytes>,
    /// And its content type, where the emission takes the body over.
    pub content_type: Option<String>,
}

/// Runs the jobs through the stages.
pub fn run(setting: &Setting<'_>, call: &mut dyn Call, jobs: &[Job]) -> Run {
    let mut runner = Runner { setting, call, jobs, tables: Vec::new() };
    let mut outcomes: Vec<Option<Outcome>> =
        jobs.iter().map(|job| job.unfit.clone().map(Outcome::Failed)).collect();
    let mut changes = Changes::default();
    let mut rewound = 0;
    let mut pending = unfinished(&outcomes);
    for _ in 0..=BATCH_RERUNS_MAX {
        let undone = runner.pass(&pending, &mut changes, &mut outcomes);
        if undone.is_empty() {
            pending.clear();
            break;
        }
        for (job, outcome) in jobs.iter().zip(&mut outcomes) {
            let undo = job.key.as_ref().is_some_and(|key| undone.contains(key));
            if undo && !matches!(outcome, Some(Outcome::Failed(_))) {
                *outcome = None;
            }
        }
        runner.retire(&undone, &pending, &mut changes);
        pending = unfinished(&outcomes);
        rewound += pending.len();
    }
    for single in pending {
        runner.pass(&[single], &mut changes, &mut outcomes);
    }
    let outcomes = outcomes.into_iter().map(|outcome| outcome.unwrap_or(Outcome::Done(Vec::new())));
    Run { outcomes: outcomes.collect(), changes, rewound }
}

fn unfinished(outcomes: &[Option<Outcome>]) -> Vec<usize> {
    (0..outcomes.len()).filter(|&at| outcomes[at].is_none()).collect()
}

/// Code of the failure of a message whose key's state can't be brought to the schema of the version that
/// serves.
pub const MIGRATE: &str = "migrate";

/// Why a stage could decide nothing.
enum Broken {
    /// The call failed as a whole.
    Call(CallError),
    /// This key's state isn't one that it can read.
    Unfit(Arc<str>, CallError),
}

struct Runner<'r> {
    setting: &'r Setting<'r>,
    call: &'r mut dyn Call,
    jobs: &'r [Job],
    /// The stage's tables, as the last call was handed them.
    tables: Vec<Arc<Table>>,
}

impl<'r> Runner<'r> {
    /// Runs these jobs through all stages. Changes of keys that a failing message touched are left
    /// out, and those keys returned.
    fn pass(
        &mut self,
        which: &[usize],
        changes: &mut Changes,
        outcomes: &mut [Option<Outcome>],
    ) -> HashSet<Arc<str>> {
        let jobs = self.jobs;
        let mut running: Vec<Progress<'r>> =
            which.iter().map(|&at| Progress::new(at, &jobs[at])).collect();
        let mut delta = Changes::default();
        for stage in 0..self.setting.stages.len() {
            let seen: Vec<usize> = (0..running.len())
                .filter(|&at| {
                    running[at].outcome.is_none()
                        && running[at].is_for(stage, &self.setting.stages[stage])
                })
                .collect();
            if !seen.is_empty() {
                self.stage(stage, &mut running, &seen, changes, &mut delta);
            }
        }
        let mut undone = HashSet::new();
        for progress in running {
            if let (Some(Outcome::Failed(_)), Some(key)) = (&progress.outcome, &progress.job.key)
                && delta.touched_before(key, progress.traces())
            {
                undone.insert(Arc::clone(key));
            }
            let at = progress.at;
            outcomes[at] = Some(progress.finish());
        }
        for key in &undone {
            delta.forget(key);
        }
        changes.merge(delta);
        undone
    }

    /// What undone keys were handed in this pass had generations of its own: the state that they go
    /// back to, and run on from, gets others. A message alone was handed nothing but what is kept.
    fn retire(&self, undone: &HashSet<Arc<str>>, ran: &[usize], changes: &mut Changes) {
        let several = |key: &&Arc<str>| {
            ran.iter().filter(|at| self.jobs[**at].key.as_ref() == Some(*key)).count() > 1
        };
        for key in undone.iter().filter(several) {
            let stages = self.setting.stages.iter().enumerate();
            for (stage, _) in stages.filter(|(at, _)| self.call.version(*at).stateful) {
                let entry = changes.get(key, stage).cloned();
                changes.set(key, stage, entry.unwrap_or_else(|| self.first(key, stage)).rerun());
            }
        }
    }

    /// Calls one stage with those messages; all together, and where that fails, each alone.
    fn stage(
        &mut self,
        stage: usize,
        running: &mut [Progress<'_>],
        seen: &[usize],
        changes: &Changes,
        delta: &mut Changes,
    ) {
        let mut seen = seen.to_vec();
        let error = loop {
            match self.call_with(stage, running, &seen, changes, delta) {
                Ok(()) => return,
                Err(Broken::Call(error)) => break error,
                Err(Broken::Unfit(key, error)) => {
                    let failure =
                        Failure { code: MIGRATE.to_owned(), ..self.call_failure(stage, error) };
                    let unfit: Vec<usize> = seen
                        .extract_if(.., |at| running[*at].job.key.as_ref() == Some(&key))
                        .collect();
                    unfit.into_iter().for_each(|at| running[at].fail(stage, failure.clone()));
                    if seen.is_empty() {
                        return;
                    }
                }
            }
        };
        if let [only] = seen[..] {
            running[only].fail(stage, self.call_failure(stage, error));
            return;
        }
        for at in seen {
            // States fit since the call that failed.
            if let Err(Broken::Call(error) | Broken::Unfit(_, error)) =
                self.call_with(stage, running, &[at], changes, delta)
            {
                running[at].fail(stage, self.call_failure(stage, error));
            }
        }
    }

    fn call_with(
        &mut self,
        stage: usize,
        running: &mut [Progress<'_>],
        seen: &[usize],
        changes: &Changes,
        delta: &mut Changes,
    ) -> Result<(), Broken> {
        let tables = &self.setting.stages[stage].tables;
        self.tables = tables.iter().map(|table| table.current()).collect();
        let (slots, mut handed) = self.slots(stage, running, seen, changes, delta);
        self.fit(stage, &mut handed, delta)?;
        let rows = Rows::of(&self.tables, seen.iter().map(|&at| running[at].job));
        let inputs: Vec<Input<'_>> = seen
            .iter()
            .zip(&slots)
            .map(|(&at, slot)| Input {
                row: rows.get(running[at].job.key.as_deref()),
                ..running[at].input(stage, *slot)
            })
            .collect();
        let states: Vec<StateSlot<'_>> =
            handed.iter().map(|(_, entry)| states::slot(entry)).collect();
        let batch = Batch { now_us: self.setting.now_us, messages: &inputs, states: &states };
        let decisions = self.call.call(stage, &batch, &self.tables).map_err(Broken::Call)?;
        self.note_states(stage, &batch, &handed, &decisions, delta);
        for (&at, decision) in seen.iter().zip(decisions.messages) {
            self.apply(stage, &mut running[at], decision);
        }
        self.retime(stage, (running, seen), (&slots, &handed), &decisions.timers, delta);
        Ok(())
    }

    fn apply(&self, stage: usize, progress: &mut Progress<'_>, decision: Decision) {
        let failed = |class, code: String, text, retry_after| {
            Outcome::Failed(Failure {
                class,
                code,
                text,
                stage: Some(self.failed_stage(stage)),
                backtrace: Vec::new(),
                retry_after,
            })
        };
        progress.tainted = stage;
        if let Err(text) = progress.emit(stage, decision.emissions, self.setting.resolve) {
            // The plugin meant it to succeed: its own stage's state is tainted too.
            progress.tainted = stage + 1;
            let class = FailureClass::Malformed;
            progress.outcome = Some(failed(class, class.as_str().to_owned(), text, None));
            return;
        }
        match decision.verdict {
            Verdict::Next(None) => {}
            Verdict::Next(Some(replacement)) => {
                if let Some(body) = replacement.body {
                    progress.body = Cow::Owned(body);
                }
                if let Some(content_type) = replacement.content_type {
                    progress.properties.to_mut().content_type = Some(content_type);
                }
                if let Some(headers) = replacement.headers {
                    progress.properties.to_mut().headers = headers;
                }
            }
            Verdict::Done => progress.outcome = Some(Outcome::Done(Vec::new())),
            Verdict::Drop { reason } => {
                progress.outcome = Some(Outcome::Dropped { reason, emitted: Vec::new() });
            }
            Verdict::Retry { code, text, after } => {
                progress.outcome = Some(failed(FailureClass::Retry, code, text, after));
            }
            Verdict::Reject { code, text } => {
                progress.outcome = Some(failed(FailureClass::Reject, code, text, None));
            }
        }
    }
}

#[cfg(test)]
mod tests;
