//! Runs a case in the sandbox that runs plugins on a host, each call twice.
//!
//! A call that fails is repeated one message at a time on a fresh instance, as a host does it, so that
//! each message has an end of its own. A call's second run is on a fresh instance: where it answers
//! something else, the plugin isn't the pure function that replay and trials count on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use serde_json::{Map, Value};

use super::case::{self, Call, Case, CaseError};
use crate::limits;
use crate::message::Properties;
use crate::plugin::{
    Batch, CallError, Decisions, Engine, Input, Instance, Plugin, StateChange, StateSlot,
};
use crate::verdict::Decision;

/// What a case's calls answered.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// One per call.
    pub calls: Vec<RanCall>,
}

/// What a call answered.
#[derive(Clone, Debug, Default)]
pub struct RanCall {
    /// One per due timer.
    pub timers: Vec<Ended>,
    /// One per message.
    pub messages: Vec<Ended>,
    /// Timers that this call set, due so long after it, or cancelled, by key and name.
    pub set: BTreeMap<(String, String), Option<Duration>>,
    /// State after it, of every key that has or had some.
    pub states: BTreeMap<String, Option<Bytes>>,
    /// Whether the same call on another instance answered something else.
    pub impure: bool,
    /// The longest run's time.
    pub wall: Duration,
    /// The most memory that an instance held after it.
    pub memory_bytes: usize,
}

/// How a message ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The plugin decided.
    Decided(Decision),
    /// The call failed.
    Failed(CallError),
}

/// A message or timer of a case, ready to be referred to by a batch.
struct Prepared<'c> {
    exchange: &'c str,
    routing_key: &'c str,
    key: Option<&'c str>,
    properties: Properties,
    body: Vec<u8>,
    attempt: u32,
    seed: [u8; 16],
    row: Option<Vec<u8>>,
    due_us: Option<u64>,
}

/// A key's state between calls.
#[derive(Clone, Debug, Default)]
struct Held {
    bytes: Option<Bytes>,
    generation: u64,
}

/// A case that is being run.
struct Runner {
    plugin: Arc<Plugin>,
    /// Lives from call to call, as on a host; gone after a failed one.
    instance: Option<Instance>,
    states: BTreeMap<String, Held>,
}

/// Runs all calls of a case with that component.
///
/// # Errors
/// A component that can't be loaded with the case's config, or a case that makes no sense.
pub fn run(engine: &Engine, name: &str, wasm: &[u8], case: &Case) -> Result<Ran, CaseError> {
    let plugin = engine
        .load(name, wasm, &case.config()?, &case.limits()?)
        .map_err(|error| CaseError(error.to_string()))?;
    run_plugin(plugin, case)
}

/// Runs all calls of a case with a plugin that is loaded, whatever config the case has.
///
/// # Errors
/// A case that makes no sense.
pub fn run_plugin(plugin: Arc<Plugin>, case: &Case) -> Result<Ran, CaseError> {
    let mut states = BTreeMap::new();
    for state in &case.state {
        let bytes = state.value.as_ref().map(|value| value.bytes()).transpose();
        let bytes = bytes.map_err(|error| within(&format!("state of '{}'", state.key), &error))?;
        let generation = u64::from(bytes.is_some());
        states.insert(state.key.clone(), Held { bytes: bytes.map(Bytes::from), generation });
    }
    let mut runner = Runner { plugin, instance: None, states };
    let mut ran = Ran::default();
    let (mut now_us, mut number) = (limits::CASE_NOW_US, 0);
    for (at, call) in case.calls.iter().enumerate() {
        let place = |error| within(&format!("call {}", at + 1), &error);
        now_us = call.now_us(now_us).map_err(place)?;
        let mut inputs = timers(call, now_us, &mut number).map_err(place)?;
        inputs.extend(messages(call, &mut number).map_err(place)?);
        let mut answered = runner.call(now_us, &inputs).map_err(place)?;
        let messages = answered.timers.split_off(call.timers.len());
        answered.messages = messages;
        ran.calls.push(answered);
    }
    Ok(ran)
}

fn within(place: &str, error: &CaseError) -> CaseError {
    CaseError(format!("{place}: {error}"))
}

/// A key's rows, as a plugin gets them.
fn row(tables: &Map<String, Value>) -> Result<Option<Vec<u8>>, CaseError> {
    if tables.is_empty() {
        return Ok(None);
    }
    let packed = rmp_serde::to_vec_named(tables);
    packed.map(Some).map_err(|error| CaseError(format!("row: it can't be handed over: {error}")))
}

fn timers<'c>(
    call: &'c Call,
    now_us: u64,
    number: &mut u64,
) -> Result<Vec<Prepared<'c>>, CaseError> {
    let mut timers: Vec<Prepared<'c>> = Vec::with_capacity(call.timers.len());
    for (at, timer) in call.timers.iter().enumerate() {
        let place = |error| within(&format!("timer {}", at + 1), &error);
        if timers.iter().any(|before| before.key == Some(&timer.key)) {
            let why = "a call has at most one due timer of a key; write another call".to_owned();
            return Err(place(CaseError(why)));
        }
        *number += 1;
        let late = timer.late.as_ref().map(|late| case::time("late", late)).transpose();
        let late = late.map_err(place)?.unwrap_or_default();
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        let headers = case::table(&timer.headers).map_err(place)?;
        timers.push(Prepared {
            exchange: "",
            routing_key: &timer.name,
            key: Some(&timer.key),
            properties: Properties { headers, ..Properties::default() },
            body: Vec::new(),
            attempt: timer.attempt,
            seed: case::seed(timer.seed.as_deref(), *number).map_err(place)?,
            row: row(&timer.row).map_err(place)?,
            due_us: Some(now_us.saturating_sub(late).max(1)),
        });
    }
    Ok(timers)
}

fn messages<'c>(call: &'c Call, number: &mut u64) -> Result<Vec<Prepared<'c>>, CaseError> {
    let mut messages = Vec::with_capacity(call.messages.len());
    for (at, message) in call.messages.iter().enumerate() {
        let place = |error| within(&format!("message {}", at + 1), &error);
        *number += 1;
        let body = message.body.as_ref().map(|body| body.bytes()).transpose().map_err(place)?;
        messages.push(Prepared {
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            key: message.key.as_deref(),
            properties: message.properties().map_err(place)?,
            body: body.unwrap_or_default(),
            attempt: message.attempt,
            seed: case::seed(message.seed.as_deref(), *number).map_err(place)?,
            row: row(&message.row).map_err(place)?,
            due_us: None,
        });
    }
    Ok(messages)
}

impl Runner {
    fn call(&mut self, now_us: u64, messages: &[Prepared<'_>]) -> Result<RanCall, CaseError> {
        let mut ran = RanCall::default();
        if messages.is_empty() {
            return Err(CaseError("it has neither a message nor a timer".to_owned()));
        }
        if let Err(error) = self.group(now_us, messages, &mut ran)? {
            if let [_] = messages {
                ran.timers.push(Ended::Failed(error));
            } else {
                for alone in messages.chunks(1) {
                    if let Err(error) = self.group(now_us, alone, &mut ran)? {
                        ran.timers.push(Ended::Failed(error));
                    }
                }
            }
        }
        let states = self.states.iter();
        ran.states = states.map(|(key, held)| (key.clone(), held.bytes.clone())).collect();
        Ok(ran)
    }

    /// Runs inputs in one call, twice; keeps what it answered, or answers why it failed.
    fn group(
        &mut self,
        now_us: u64,
        messages: &[Prepared<'_>],
        ran: &mut RanCall,
    ) -> Result<Result<(), CallError>, CaseError> {
        let mut keys: Vec<&str> = Vec::new();
        if self.plugin.stateful() {
            keys.extend(messages.iter().filter_map(|message| message.key));
            keys.sort_unstable();
            keys.dedup();
        }
        let held: Vec<Held> =
            keys.iter().map(|key| self.states.get(*key).cloned().unwrap_or_default()).collect();
        let states: Vec<StateSlot<'_>> = held.iter().map(slot).collect();
        let inputs: Vec<Input<'_>> = messages.iter().map(|m| m.input(&keys)).collect();
        let batch = Batch { now_us, messages: &inputs, states: &states };
        let first = self.process(&batch, ran)?;
        let mut other = self.instantiate()?;
        let second = other.process(&batch).map(|(decisions, _)| decisions);
        ran.impure |= differs(&first, &second);
        let decisions = match first {
            Ok(decisions) => decisions,
            Err(error) => return Ok(Err(error)),
        };
        for ((key, held), change) in keys.iter().zip(held).zip(decisions.states) {
            let bytes = match change {
                StateChange::Unchanged => continue,
                StateChange::Set(bytes) => Some(bytes),
                StateChange::Cleared => None,
            };
            let generation = held.generation + 1;
            self.states.insert((*key).to_owned(), Held { bytes, generation });
        }
        for change in decisions.timers {
            let Some(key) = messages.get(change.input).and_then(|input| input.key) else {
                continue;
            };
            let after = change.due_us.map(|due| Duration::from_micros(due.saturating_sub(now_us)));
            ran.set.insert((key.to_owned(), change.name), after);
        }
        ran.timers.extend(decisions.messages.into_iter().map(Ended::Decided));
        Ok(Ok(()))
    }

    fn process(
        &mut self,
        batch: &Batch<'_>,
        ran: &mut RanCall,
    ) -> Result<Result<Decisions, CallError>, CaseError> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.instantiate()?,
        };
        match instance.process(batch) {
            Ok((decisions, cost)) => {
                ran.wall = ran.wall.max(cost.wall);
                ran.memory_bytes = ran.memory_bytes.max(cost.memory_bytes);
                self.instance = Some(instance);
                Ok(Ok(decisions))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn instantiate(&self) -> Result<Instance, CaseError> {
        self.plugin.instantiate().map_err(|error| CaseError(error.to_string()))
    }
}

/// Failures are told apart by their kind: how much time one took is chance.
fn differs(one: &Result<Decisions, CallError>, other: &Result<Decisions, CallError>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one != other,
        (Err(one), Err(other)) => one.class != other.class,
        _ => true,
    }
}

fn slot(held: &Held) -> StateSlot<'_> {
    StateSlot { bytes: held.bytes.as_deref().map(Cow::Borrowed), generation: held.generation }
}

impl Prepared<'_> {
    fn input(&self, keys: &[&str]) -> Input<'_> {
        let slot = self.key.and_then(|key| keys.binary_search(&key).ok());
        Input {
            exchange: self.exchange,
            routing_key: self.routing_key,
            key: self.key,
            properties: &self.properties,
            body: &self.body,
            attempt: self.attempt,
            seed: self.seed,
            row: self.row.as_deref(),
            due_us: self.due_us,
            slot: slot.and_then(|slot| u32::try_from(slot).ok()),
        }
    }
}

#[cfg(test)]
mod tests;
