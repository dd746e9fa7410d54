//! A key's state in the schema of the version that serves, and of the one that may be put back.
//!
//! State of another schema is brought to the serving version's when it is needed, key by key, by that
//! version's own `migrate`. While another version may be put back, it is run beside the serving one on
//! the same messages, for its state alone: both lie in one entry, so that they are committed and undone
//! together, and putting that version back loses no update.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::progress::Progress;
use super::{Broken, Runner};
use crate::plugin::{Batch, CallError, Decisions, Input, StateChange, StateSlot};
use crate::state::{Changes, Entry, Shadow};
use crate::verdict::{Decision, Verdict};

/// Generations of a shadow's states in calls of a batch that is run message by message lie so far apart.
const SHADOW_ROUND_BITS: u32 = 40;

/// What a call is handed: each message's slot, and the state of each slot's key.
pub(super) type Handed = (Vec<Option<u32>>, Vec<(Arc<str>, Entry)>);

impl Runner<'_> {
    /// The state that this run found.
    pub(super) fn first(&self, key: &str, stage: usize) -> Entry {
        (self.setting.view)(key, stage).unwrap_or_else(|| Entry {
            generation: self.setting.stages[stage].first_generation,
            ..Entry::default()
        })
    }

    /// Each message's slot, and the state of each key that occurs.
    pub(super) fn slots(
        &self,
        stage: usize,
        running: &[Progress<'_>],
        seen: &[usize],
        changes: &Changes,
        delta: &Changes,
    ) -> Handed {
        let mut slots = vec![None; seen.len()];
        let mut handed = Vec::new();
        if !self.call.version(stage).stateful {
            return (slots, handed);
        }
        let mut places: HashMap<&str, u32> = HashMap::new();
        for (slot, &at) in slots.iter_mut().zip(seen) {
            let Some(key) = &running[at].job.key else { continue };
            let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
            let place = *places.entry(key).or_insert(next);
            if place as usize == handed.len() {
                let entry = delta
                    .get(key, stage)
                    .or_else(|| changes.get(key, stage))
                    .cloned()
                    .unwrap_or_else(|| self.first(key, stage));
                handed.push((Arc::clone(key), entry));
            }
            *slot = Some(place);
        }
        (slots, handed)
    }

    /// Brings what is handed to a stage to the schema of its version; a change of the key's state like
    /// any other.
    pub(super) fn fit(
        &mut self,
        stage: usize,
        handed: &mut [(Arc<str>, Entry)],
        delta: &mut Changes,
    ) -> Result<(), Broken> {
        let version = self.call.version(stage);
        let (schema, shadow) = (version.schema, version.shadow);
        for (key, entry) in handed.iter_mut().filter(|(_, entry)| misfits(entry, schema)) {
            *entry = self
                .fitted(stage, entry, schema, shadow)
                .map_err(|error| Broken::Unfit(Arc::clone(key), error))?;
            delta.set(key, stage, entry.clone());
        }
        Ok(())
    }

    fn fitted(
        &mut self,
        stage: usize,
        entry: &Entry,
        schema: u32,
        shadow: Option<u32>,
    ) -> Result<Entry, CallError> {
        let generation = entry.generation + 1;
        if let Some(kept) = entry.shadow.as_ref().filter(|kept| kept.schema == schema) {
            let bytes = kept.bytes.clone();
            return Ok(Entry { bytes, generation, schema, shadow: None, ..entry.clone() });
        }
        let before = entry.bytes.as_deref().unwrap_or_default();
        let bytes = Some(self.call.migrate(stage, entry.schema, before)?);
        let shadow = (shadow == Some(entry.schema))
            .then(|| Shadow { schema: entry.schema, bytes: entry.bytes.clone() });
        Ok(Entry { bytes, generation, schema, shadow, ..entry.clone() })
    }

    /// Notes what a call did to the state of its keys.
    pub(super) fn note_states(
        &mut self,
        stage: usize,
        batch: &Batch<'_>,
        handed: &[(Arc<str>, Entry)],
        decisions: &Decisions,
        delta: &mut Changes,
    ) {
        let version = self.call.version(stage);
        let schema = version.schema;
        let shadows = version.shadow.map(|shadow| {
            Beside { stage, schema: shadow, batch, handed }.run(self, &decisions.messages)
        });
        for (at, ((key, entry), change)) in handed.iter().zip(&decisions.states).enumerate() {
            let shadow = shadows.as_ref().and_then(|shadows| shadows.get(at)).cloned().flatten();
            let bytes = match change {
                StateChange::Unchanged => {
                    let kept =
                        |shadow: &Option<Shadow>| shadow.as_ref().and_then(|s| s.bytes.clone());
                    if shadows.is_none() || kept(&shadow) == kept(&entry.shadow) {
                        continue;
                    }
                    entry.bytes.clone()
                }
                StateChange::Set(bytes) => Some(bytes.clone()),
                StateChange::Cleared => None,
            };
            let generation = entry.generation + 1;
            delta.set(key, stage, Entry { bytes, generation, schema, shadow, ..entry.clone() });
        }
    }
}

/// An entry as a plugin is handed it.
pub(super) fn slot(entry: &Entry) -> StateSlot<'_> {
    StateSlot { bytes: entry.bytes.as_deref().map(Cow::Borrowed), generation: entry.generation }
}

/// Whether a version of that schema can't be handed the entry as it is.
fn misfits(entry: &Entry, schema: u32) -> bool {
    let kept = || entry.shadow.as_ref().is_some_and(|kept| kept.schema == schema);
    entry.schema != schema && (entry.bytes.is_some() || kept())
}

/// A call of the version that is run beside the one that serves.
struct Beside<'b> {
    stage: usize,
    schema: u32,
    batch: &'b Batch<'b>,
    handed: &'b [(Arc<str>, Entry)],
}

impl Beside<'_> {
    /// What that version makes of the messages that the serving one let pass; none where it can't know
    /// a key's state. A message that it fails leaves no trace, as it would have left none then.
    fn run(&self, runner: &mut Runner<'_>, decided: &[Decision]) -> Vec<Option<Shadow>> {
        let mut shadows: Vec<Option<Shadow>> =
            self.handed.iter().map(|(_, entry)| self.start(entry)).collect();
        let passed = |decision: &Decision| {
            !matches!(decision.verdict, Verdict::Retry { .. } | Verdict::Reject { .. })
        };
        let messages = self.batch.messages.iter().zip(decided);
        let kept: Vec<Input<'_>> = messages
            .filter(|(input, decision)| {
                let slot = input.slot.and_then(|slot| shadows.get(slot as usize));
                passed(decision) && slot.is_some_and(Option::is_some)
            })
            .map(|(input, _)| input.clone())
            .collect();
        if !kept.is_empty() && self.call(runner, &kept, &mut shadows, 0).is_err() && kept.len() > 1
        {
            for (round, message) in (1..).zip(&kept) {
                let single = std::slice::from_ref(message);
                if let Err(error) = self.call(runner, single, &mut shadows, round) {
                    tracing::debug!(%error, "the version that may be put back would fail a message");
                }
            }
        }
        shadows
    }

    fn start(&self, entry: &Entry) -> Option<Shadow> {
        match &entry.shadow {
            Some(kept) if kept.schema == self.schema => Some(kept.clone()),
            _ if entry.bytes.is_none() => Some(Shadow { schema: self.schema, bytes: None }),
            _ => None,
        }
    }

    fn call(
        &self,
        runner: &mut Runner<'_>,
        messages: &[Input<'_>],
        shadows: &mut [Option<Shadow>],
        round: u64,
    ) -> Result<(), CallError> {
        let before = shadows.to_vec();
        let states = before.iter().zip(self.handed).map(|(shadow, (_, entry))| StateSlot {
            bytes: shadow.as_ref().and_then(|kept| kept.bytes.as_deref()).map(Into::into),
            generation: entry.generation.wrapping_add(round << SHADOW_ROUND_BITS),
        });
        let states: Vec<StateSlot<'_>> = states.collect();
        let batch = Batch { messages, states: &states, ..self.batch.clone() };
        let decisions = runner.call.shadow(self.stage, &batch)?;
        for (shadow, change) in shadows.iter_mut().zip(decisions.states) {
            let Some(shadow) = shadow else { continue };
            match change {
                StateChange::Unchanged => {}
                StateChange::Set(bytes) => shadow.bytes = Some(bytes),
                StateChange::Cleared => shadow.bytes = None,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
