//! Runs a case in the sandbox that runs plugins on a host, each call twice.
//!
//! A call that fails is repeated one message at a time on a fresh instance, as a host does it, so that
//! each message has an end of its own. A call's second run is on a fresh instance: where it answers
//! something else, the plugin isn't the pure function that replay and trials count on.

mod prepared;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::prepared::{Prepared, due, messages, timers};
use super::case::{Call, Case, CaseError, DueTimer};
use crate::limits;
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
    /// The timers that came.
    pub fired: Vec<Fired>,
    /// How each of them ended.
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

/// A timer that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fired {
    /// The name that it was set under.
    pub name: String,
    /// Whose it is.
    pub key: String,
    /// How long after the call's beginning.
    pub after: Duration,
}

/// How a message ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The plugin decided.
    Decided(Decision),
    /// The call failed.
    Failed(CallError),
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
    /// When timers that were set are due, by key and name.
    due: BTreeMap<(String, String), u64>,
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
    let mut runner = Runner { plugin, instance: None, states, due: BTreeMap::new() };
    let mut ran = Ran::default();
    let (mut now_us, mut number) = (limits::CASE_NOW_US, 0);
    for (at, call) in case.calls.iter().enumerate() {
        let place = |error| within(&format!("call {}", at + 1), &error);
        now_us = call.now_us(now_us).map_err(place)?;
        if let Some((time, down)) = call.passing().map_err(place)? {
            let until_us =
                now_us.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            let passed = runner.pass(call, [now_us, until_us], down, &mut number);
            ran.calls.push(passed.map_err(place)?);
            now_us = until_us;
            continue;
        }
        let mut inputs = timers(call, now_us, &mut number).map_err(place)?;
        inputs.extend(messages(call, &mut number).map_err(place)?);
        let mut answered = runner.call(now_us, &inputs).map_err(place)?;
        answered.fired = call.timers.iter().map(Fired::of).collect();
        let messages = answered.timers.split_off(call.timers.len());
        answered.messages = messages;
        ran.calls.push(answered);
    }
    Ok(ran)
}

fn within(place: &str, error: &CaseError) -> CaseError {
    CaseError(format!("{place}: {error}"))
}

impl Runner {
    /// Lets time pass: timers that fall due come one by one, each at its time, or late where the host is down. A timer
    /// that fails is gone, as one is whose attempts are used up.
    fn pass(
        &mut self,
        call: &Call,
        [from_us, until_us]: [u64; 2],
        down: bool,
        number: &mut u64,
    ) -> Result<RanCall, CaseError> {
        let mut passed = RanCall::default();
        let mut now_us = if down { until_us } else { from_us };
        while let Some((name, key, due_us)) = self.next_due(until_us) {
            let at = passed.fired.len();
            if at >= limits::CASE_TIMERS {
                let most = limits::CASE_TIMERS;
                return Err(CaseError(format!("more than {most} timers come; let less time pass")));
            }
            now_us = now_us.max(due_us);
            self.due.remove(&(key.clone(), name.clone()));
            // What else is said of the timer that is expected here: its row, its headers.
            let said = call.timers.get(at).filter(|timer| timer.name == name && timer.key == key);
            let timer =
                said.cloned().unwrap_or(DueTimer { name, key, attempt: 1, ..DueTimer::default() });
            let place = |error| within(&format!("timer {}", at + 1), &error);
            let answered = self.call(now_us, &[due(&timer, due_us, number).map_err(place)?])?;
            let after = Duration::from_micros(now_us - from_us);
            passed.fired.push(Fired { name: timer.name, key: timer.key, after });
            passed.timers.extend(answered.timers);
            passed.impure |= answered.impure;
            passed.wall = passed.wall.max(answered.wall);
            passed.memory_bytes = passed.memory_bytes.max(answered.memory_bytes);
        }
        passed.states = self.held();
        passed.set = self
            .due
            .iter()
            .map(|(timer, due_us)| {
                (timer.clone(), Some(Duration::from_micros(due_us.saturating_sub(until_us))))
            })
            .collect();
        Ok(passed)
    }

    /// The timer that is due first, by then.
    fn next_due(&self, until_us: u64) -> Option<(String, String, u64)> {
        let ((key, name), due_us) = self.due.iter().min_by_key(|(_, due_us)| **due_us)?;
        (*due_us <= until_us).then(|| (name.clone(), key.clone(), *due_us))
    }

    fn held(&self) -> BTreeMap<String, Option<Bytes>> {
        let states = self.states.iter();
        states.map(|(key, held)| (key.clone(), held.bytes.clone())).collect()
    }

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
        ran.states = self.held();
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
        for timer in messages.iter().filter(|input| input.due_us.is_some()) {
            let key = timer.key.unwrap_or_default();
            self.due.remove(&(key.to_owned(), timer.routing_key.to_owned()));
        }
        for change in decisions.timers {
            let Some(key) = messages.get(change.input).and_then(|input| input.key) else {
                continue;
            };
            let timer = (key.to_owned(), change.name.clone());
            match change.due_us {
                Some(due_us) => drop(self.due.insert(timer, due_us)),
                None => drop(self.due.remove(&timer)),
            }
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

impl Fired {
    fn of(timer: &DueTimer) -> Self {
        Self { name: timer.name.clone(), key: timer.key.clone(), after: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests;
