//! A version that isn't in service yet on what the serving one is handed: each call is made again from the
//! same state, and what comes of it is thrown away.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::eyes::Copied;
use super::plugins::RecordedCall;
use crate::config::Trial;
use crate::limits::TRIAL_PURITY_CALLS;
use crate::plugin::capsule::{Outcome, OwnedBatch, diff};
use crate::plugin::purity::{self, Purity};
use crate::plugin::{CallError, Decisions, Instance, Plugin};

/// What a trial saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Calls that were made again.
    pub(super) calls: u64,
    /// Messages in them.
    pub(super) messages: u64,
    /// Of these: decided otherwise than by the version that serves.
    pub(super) differ: u64,
    /// What the first of them was, for people.
    pub(super) example: Option<String>,
}

/// A trial that is under way.
pub(super) struct Trying<'t> {
    settings: &'t Trial,
    plugin: Arc<Plugin>,
    /// Version of the schema that states in the copies are of.
    schema: Option<u32>,
    instance: Option<Instance>,
    /// The last one that a state was handed over under.
    generation: u64,
    report: Report,
}

impl<'t> Trying<'t> {
    pub(super) fn new(settings: &'t Trial, old: &Plugin, new: Arc<Plugin>) -> Self {
        let schema = old.description().state_version;
        let report = Report::default();
        Self { settings, plugin: new, schema, instance: None, generation: 0, report }
    }

    /// Tries what comes until there was enough.
    ///
    /// # Errors
    /// Why the version isn't fit to serve.
    pub(super) fn run(mut self, copies: &Receiver<Copied>) -> Result<Report, String> {
        let end = Instant::now() + self.settings.time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left == Duration::ZERO || self.report.messages >= self.settings.messages {
                return self.end();
            }
            match copies.recv_timeout(left) {
                Ok(copied) => self.try_call(&copied)?,
                Err(_) => return self.end(),
            }
        }
    }

    /// Tries calls that were recorded before. Which version answered them then doesn't matter: the one that
    /// serves answers them again.
    ///
    /// # Errors
    /// As with [`Trying::run`].
    pub(super) fn run_recorded(
        mut self,
        old: &Arc<Plugin>,
        calls: impl IntoIterator<Item = RecordedCall>,
    ) -> Result<Report, String> {
        let end = Instant::now() + self.settings.time;
        let mut serving = None;
        for RecordedCall { schema, batch } in calls {
            if Instant::now() >= end || self.report.messages >= self.settings.messages {
                break;
            }
            if schema != self.schema {
                continue;
            }
            let instance = match &mut serving {
                Some(instance) => Ok(instance),
                none => old.instantiate_unheard().map(|new| none.insert(new)),
            };
            let result = instance.and_then(|instance| batch.run(instance));
            if result.is_err() {
                serving = None;
            }
            self.try_call(&Copied { batch, result, outputs: None })?;
        }
        self.end()
    }

    fn try_call(&mut self, copied: &Copied) -> Result<(), String> {
        // What the serving version fails tells nothing of the other one.
        let Ok(expected) = &copied.result else { return Ok(()) };
        let batch = self.migrated(&copied.batch)?;
        let decisions = self.process(&batch).map_err(|error| {
            format!(
                "it fails where the version that serves doesn't ({}): {}",
                error.class, error.text
            )
        })?;
        if self.report.calls.is_multiple_of(TRIAL_PURITY_CALLS) {
            self.check_purity(&batch, &decisions)?;
        }
        if let Some(outputs) = &copied.outputs {
            check_outputs(outputs, expected, &decisions)?;
        }
        self.compare(expected, &decisions);
        Ok(())
    }

    /// The batch with its states in the schema of the version that is tried.
    fn migrated(&mut self, batch: &OwnedBatch) -> Result<OwnedBatch, String> {
        let mut batch = batch.clone();
        for state in &mut batch.states {
            // The serving version's, whatever this one made of the key before: it may have kept that.
            self.generation += 2;
            state.generation = self.generation;
        }
        let Some(from) = self.schema.filter(|_| !self.same_schema()) else { return Ok(batch) };
        for state in &mut batch.states {
            let Some(bytes) = &state.bytes else { continue };
            let migrated = self.instance().and_then(|instance| instance.migrate(from, bytes));
            state.bytes = Some(migrated.map_err(|error| error.text)?);
        }
        Ok(batch)
    }

    fn same_schema(&self) -> bool {
        self.schema == self.plugin.description().state_version
    }

    fn instance(&mut self) -> Result<&mut Instance, CallError> {
        match &mut self.instance {
            Some(instance) => Ok(instance),
            none => Ok(none.insert(self.plugin.instantiate()?)),
        }
    }

    fn process(&mut self, batch: &OwnedBatch) -> Result<Decisions, CallError> {
        batch.run(self.instance()?)
    }

    fn check_purity(&self, batch: &OwnedBatch, decisions: &Decisions) -> Result<(), String> {
        match purity::check(&self.plugin, batch, &Outcome::Decided(decisions.clone())) {
            // A deadline or a lack of memory tells nothing of purity; one that a fresh instance always has
            // ended the trial at its first call, for that was made on a fresh instance.
            Purity::Same | Purity::Unknown => Ok(()),
            Purity::Impure(differences) => {
                let first = differences.first().map(ToString::to_string).unwrap_or_default();
                Err(format!(
                    "it is impure: the same call on a fresh instance came out otherwise: {first}"
                ))
            }
        }
    }

    fn compare(&mut self, expected: &Decisions, decisions: &Decisions) {
        self.report.calls += 1;
        self.report.messages += expected.messages.len() as u64;
        let pairs = expected.messages.iter().zip(&decisions.messages);
        let mut differ = pairs.filter(|(was, is)| was != is).count();
        if differ == 0 && self.same_schema() && expected.states != decisions.states {
            let pairs = expected.states.iter().zip(&decisions.states);
            differ = pairs.filter(|(was, is)| was != is).count();
        }
        self.report.differ += differ as u64;
        if differ > 0 && self.report.example.is_none() {
            self.report.example = diff(expected, decisions).first().map(ToString::to_string);
        }
    }

    fn end(self) -> Result<Report, String> {
        let Report { messages, differ, ref example, .. } = self.report;
        let share = if messages == 0 { 0.0 } else { differ as f64 / messages as f64 };
        if share > self.settings.max_difference {
            let example = example.as_deref().unwrap_or_default();
            return Err(format!(
                "{differ} of {messages} messages are decided otherwise, more than \
                 reload.trial.max_difference allows; the first: {example}"
            ));
        }
        Ok(self.report)
    }
}

/// Messages fail of which something goes to an output that there isn't: no answer says so.
fn check_outputs(
    known: &[String],
    expected: &Decisions,
    decisions: &Decisions,
) -> Result<(), String> {
    let unknown = |decisions: &Decisions| {
        let mut emissions = decisions.messages.iter().flat_map(|decision| &decision.emissions);
        emissions.find(|it| !known.contains(&it.output)).map(|it| it.output.clone())
    };
    match unknown(decisions) {
        Some(output) if unknown(expected).is_none() => Err(format!(
            "it emits to output '{output}', which the pipeline doesn't have; it has: {}",
            known.join(", ")
        )),
        _ => Ok(()),
    }
}
