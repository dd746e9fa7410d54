//! How fast a plugin is: the same messages again and again, each call's time taken, in the sandbox and with
//! the state that a host would hand over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::case::{self, Case, CaseError};
use crate::limits;
use crate::message::Properties;
use crate::plugin::{Batch, Input, Instance, Plugin, StateChange, StateSlot};
use crate::verdict::Verdict;

/// A message to measure with.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The routing key.
    pub routing_key: String,
    /// The key.
    pub key: Option<String>,
    /// The properties.
    pub properties: Properties,
    /// The body.
    pub body: Bytes,
    /// Its key's rows of reference data, as a plugin gets them.
    pub row: Option<Vec<u8>>,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Messages that were processed.
    pub messages: u64,
    /// Time in calls.
    pub spent: Duration,
    /// Each call's time.
    pub calls: Vec<Duration>,
    /// The most memory that the instance held.
    pub memory_bytes: usize,
    /// Messages by verdict: `next`, `reject malformed`.
    pub verdicts: BTreeMap<String, u64>,
    /// Emissions.
    pub emissions: u64,
}

/// A plugin that is measured, with the state of its keys.
pub struct Bench<'s> {
    instance: Instance,
    samples: &'s [Sample],
    /// Which key each sample has.
    keys: Vec<Option<usize>>,
    states: Vec<(Option<Bytes>, u64)>,
    next: usize,
    now_us: u64,
}

impl Sample {
    /// The messages of a case.
    ///
    /// # Errors
    /// A message that makes no sense.
    pub fn of(case: &Case) -> Result<Vec<Self>, CaseError> {
        let messages = case.calls.iter().flat_map(|call| &call.messages);
        let sample = |message: &case::Message| {
            let body = message.body.as_ref().map(|body| body.bytes()).transpose()?;
            Ok(Self {
                routing_key: message.routing_key.clone(),
                key: message.key.clone(),
                properties: message.properties()?,
                body: Bytes::from(body.unwrap_or_default()),
                row: case::row(&message.row)?,
            })
        };
        messages.map(sample).collect()
    }
}

impl<'s> Bench<'s> {
    /// Starts an instance for messages, of which there must be some.
    ///
    /// # Errors
    /// A plugin that doesn't start.
    pub fn new(plugin: &Arc<Plugin>, samples: &'s [Sample]) -> Result<Self, CaseError> {
        if samples.is_empty() {
            return Err(CaseError("there is no message to measure with".to_owned()));
        }
        let instance = plugin.instantiate().map_err(|error| CaseError(error.to_string()))?;
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let keys = samples.iter().map(|sample| {
            let key = sample.key.as_deref().filter(|_| plugin.stateful())?;
            let count = known.len();
            Some(*known.entry(key).or_insert(count))
        });
        let keys: Vec<Option<usize>> = keys.collect();
        let states = vec![(None, 0); known.len()];
        Ok(Self { instance, samples, keys, states, next: 0, now_us: limits::CASE_NOW_US })
    }

    /// Calls with batches of that many messages until that much time has passed, adding to what was
    /// measured before.
    ///
    /// # Errors
    /// A call that fails.
    pub fn run(
        &mut self,
        batch: usize,
        time: Duration,
        into: &mut Measured,
    ) -> Result<(), CaseError> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.call(batch, into)?;
        }
        Ok(())
    }

    fn call(&mut self, batch: usize, into: &mut Measured) -> Result<(), CaseError> {
        let chosen: Vec<usize> =
            (0..batch).map(|at| (self.next + at) % self.samples.len()).collect();
        self.next = (self.next + batch) % self.samples.len();
        let mut keys: Vec<usize> = chosen.iter().filter_map(|at| self.keys[*at]).collect();
        keys.sort_unstable();
        keys.dedup();
        let states: Vec<StateSlot<'_>> = keys
            .iter()
            .map(|key| {
                let (bytes, generation) = &self.states[*key];
                StateSlot { bytes: bytes.as_deref().map(Cow::Borrowed), generation: *generation }
            })
            .collect();
        let inputs: Vec<Input<'_>> = chosen
            .iter()
            .map(|at| {
                let sample = &self.samples[*at];
                let slot = self.keys[*at].and_then(|key| keys.binary_search(&key).ok());
                Input {
                    exchange: "bench",
                    routing_key: &sample.routing_key,
                    key: sample.key.as_deref(),
                    properties: &sample.properties,
                    body: &sample.body,
                    attempt: 1,
                    seed: [0; 16],
                    slot: slot.and_then(|slot| u32::try_from(slot).ok()),
                    row: sample.row.as_deref(),
                    due_us: None,
                }
            })
            .collect();
        self.now_us += 1000;
        let call = Batch { now_us: self.now_us, messages: &inputs, states: &states };
        let began = Instant::now();
        let answer = self.instance.process(&call);
        let spent = began.elapsed();
        let (decisions, cost) =
            answer.map_err(|error| CaseError(format!("a call failed: {error}")))?;
        for (key, change) in keys.iter().zip(decisions.states) {
            let (bytes, generation) = &mut self.states[*key];
            match change {
                StateChange::Unchanged => continue,
                StateChange::Set(set) => *bytes = Some(set),
                StateChange::Cleared => *bytes = None,
            }
            *generation += 1;
        }
        for decision in &decisions.messages {
            *into.verdicts.entry(name(&decision.verdict)).or_default() += 1;
            into.emissions += decision.emissions.len() as u64;
        }
        into.messages += batch as u64;
        into.spent += spent;
        into.calls.push(spent);
        into.memory_bytes = into.memory_bytes.max(cost.memory_bytes);
        Ok(())
    }
}

fn name(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Next(_) => "next".to_owned(),
        Verdict::Done => "done".to_owned(),
        Verdict::Drop { .. } => "drop".to_owned(),
        Verdict::Retry { code, .. } => format!("retry {code}"),
        Verdict::Reject { code, .. } => format!("reject {code}"),
    }
}

impl Measured {
    /// Nanoseconds that a message took.
    #[must_use]
    pub fn ns_per_message(&self) -> f64 {
        self.spent.as_secs_f64() * 1e9 / self.messages.max(1) as f64
    }

    /// A call's time that so many of a hundred stay below.
    #[must_use]
    pub fn percentile(&mut self, percent: usize) -> Duration {
        self.calls.sort_unstable();
        let at = self.calls.len() * percent / 100;
        self.calls.get(at.min(self.calls.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
