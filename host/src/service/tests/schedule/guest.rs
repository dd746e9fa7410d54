//! A plugin double: two stages that remember the ids that they saw of each key, tell them on an output
//! each, and then do what the message says. What an instance may not see, it takes for a violation.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::book::{Book, RUNG};
use super::memory::Memory;
use super::plan::timer_of;
use crate::limits::SHORT_STRING_BYTES;
use crate::pipeline::fixture::Double;
use crate::pipeline::lane::Lane;
use crate::pipeline::shard::Guests;
use crate::plugin::{Batch, CallError, Decisions, Input, StateChange, TimerChange};
use crate::verdict::{Decision, Emission, FailureClass, Verdict};

/// A shard's guests.
pub(super) struct Guest {
    book: Arc<Book>,
    life: usize,
    /// The version that is called.
    version: usize,
    /// The one that serves on this shard, and the one before, where it may have to run again.
    versions: (usize, usize),
    /// What an instance may keep: every state that it was handed, by version, key, stage and generation.
    kept: HashMap<(usize, String, usize, u64), Option<Bytes>>,
}

/// An order, as a message's body says it.
struct Order<'o> {
    id: u32,
    word: &'o str,
    at: usize,
    until: u32,
}

impl Guest {
    pub(super) fn new(book: Arc<Book>, life: usize) -> Self {
        let version = book.facts().version;
        Self { book, life, version, versions: (version, version), kept: HashMap::new() }
    }

    /// The instance that ended took what it had kept with it.
    fn spent(&mut self, class: FailureClass) -> CallError {
        let version = self.version;
        self.kept.retain(|(of, ..), _| *of != version);
        CallError { class, text: "as told".to_owned(), backtrace: Vec::new() }
    }

    /// A plugin may keep what it decoded under its generation: it must be the same bytes.
    fn check_generation(&mut self, key: &str, stage: usize, generation: u64, bytes: Option<&[u8]>) {
        let place = (self.version, key.to_owned(), stage, generation);
        let bytes = bytes.map(Bytes::copy_from_slice);
        if let Some(known) = self.kept.get(&place)
            && *known != bytes
        {
            self.book.violation(format!(
                "generation: {generation} of key {key} at stage {stage} means {known:?} and {bytes:?}"
            ));
        }
        self.kept.insert(place, bytes);
    }
}

impl Guests for Guest {
    fn work(&mut self, lane: &mut Lane) -> bool {
        let wanted = self.book.facts().version;
        if wanted != self.versions.0 && lane.change_versions() {
            self.versions = (wanted, self.versions.0);
            lane.versions_changed();
        }
        let now_us = lane.shape().clock.now_us();
        if lane.needs_former() {
            self.version = self.versions.1;
            if lane.work_again(self, usize::MAX, now_us) {
                return true;
            }
        }
        self.version = self.versions.0;
        lane.work(self, usize::MAX, now_us)
    }

    fn retire(&mut self, _gone: &[u64], _left: &BTreeSet<u64>) {
        self.kept.clear();
    }
}

impl Double for Guest {
    fn process(&mut self, stage: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        let mut keys: Vec<&str> = vec![""; batch.states.len()];
        for message in batch.messages {
            if let (Some(slot), Some(key)) = (message.slot, message.key) {
                keys[slot as usize] = key;
            }
        }
        for (key, slot) in keys.iter().zip(batch.states) {
            self.check_generation(key, stage, slot.generation, slot.bytes.as_deref());
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let before: Vec<Option<Memory>> =
            batch.states.iter().map(|slot| slot.bytes.as_deref().map(Memory::parse)).collect();
        let mut states = before.clone();
        let (mut messages, mut timers) = (Vec::new(), Vec::new());
        for (input, message) in batch.messages.iter().enumerate() {
            if let Some(due_us) = message.due_us {
                messages.push(self.ring(
                    stage,
                    message,
                    batch.now_us.checked_sub(due_us),
                    &mut states,
                ));
                continue;
            }
            let body = text(message.body);
            let order = Order::parse(&body);
            let fails = order.at == stage && message.attempt < order.until;
            match order.word {
                "trap" if fails => return Err(self.spent(FailureClass::Trap)),
                "deadline" if fails => return Err(self.spent(FailureClass::Deadline)),
                _ => {}
            }
            messages.push(self.decide(stage, message, &order, &mut states));
            let state = message.slot.and_then(|slot| states[slot as usize].as_mut());
            if let Some(state) = state.filter(|_| order.at == stage) {
                timers.extend(order.time(state, batch.now_us, input));
            }
        }
        let changes = before.into_iter().zip(states).map(|(before, state)| {
            let changed = state.filter(|state| before.as_ref() != Some(state));
            changed.map_or(StateChange::Unchanged, |state| {
                StateChange::Set(Bytes::from(state.to_string()))
            })
        });
        Ok(Decisions { messages, states: changes.collect(), timers })
    }
}

impl Guest {
    /// An output's body.
    fn line(&self, id: u32, stage: usize, index: usize, list: &str) -> String {
        format!("{id}/{stage}/{index}/{}/{}/{list}", self.life, self.version)
    }

    /// A timer is due: it must be one that this very state waits for, and not before its time.
    fn ring(
        &self,
        stage: usize,
        timer: &Input<'_>,
        late_us: Option<u64>,
        states: &mut [Option<Memory>],
    ) -> Decision {
        let (name, key) = (timer.routing_key, timer.key.unwrap_or_default());
        if late_us.is_none() {
            self.book.violation(format!("timer: {name} of key {key} at stage {stage} is early"));
        }
        let memory = timer.slot.and_then(|slot| states[slot as usize].as_mut());
        let Some((memory, id)) = memory.and_then(|it| it.waits.remove(name).map(|id| (it, id)))
        else {
            self.book.violation(format!("timer: {name} of key {key} at stage {stage} isn't set"));
            return Verdict::Done.into();
        };
        memory.rung.push(id);
        let emission = Emission {
            output: ["out", "aside"][stage].to_owned(),
            body: Some(Bytes::from(self.line(RUNG + id, stage, 0, &Memory::listed(&memory.rung)))),
            ..Emission::default()
        };
        Decision { verdict: Verdict::Done, emissions: vec![emission] }
    }

    fn decide(
        &self,
        stage: usize,
        message: &Input<'_>,
        order: &Order<'_>,
        states: &mut [Option<Memory>],
    ) -> Decision {
        let here = order.at == stage;
        if here && message.attempt < order.until {
            match order.word {
                "retry" => {
                    let (code, text) = ("again".to_owned(), "as told".to_owned());
                    let after = order.id.is_multiple_of(3).then_some(Duration::from_millis(30));
                    return Verdict::Retry { code, text, after }.into();
                }
                "reject" => {
                    let (code, text) = ("told".to_owned(), "as told".to_owned());
                    return Verdict::Reject { code, text }.into();
                }
                _ => {}
            }
        }
        let list = match message.slot {
            None => String::new(),
            Some(slot) => {
                let memory = states[slot as usize].get_or_insert_default();
                memory.seen.push(order.id);
                Memory::listed(&memory.seen)
            }
        };
        let emissions = if here && order.word == "emit" { 3 } else { 1 };
        let output = ["out", "aside"][stage];
        let emission = |output: &str, index: usize| Emission {
            output: output.to_owned(),
            body: Some(Bytes::from(self.line(order.id, stage, index, &list))),
            ..Emission::default()
        };
        let mut emissions: Vec<Emission> =
            (0..emissions).map(|index| emission(output, index)).collect();
        let verdict = match order.word {
            "done" if here => Verdict::Done,
            "drop" if here => Verdict::Drop { reason: "as told".to_owned() },
            word => {
                if here && word == "unknown" {
                    emissions.push(emission("nowhere", 1));
                }
                if here && word == "unroutable" {
                    emissions.push(emission("void", 1));
                }
                if here && word == "toolong" {
                    let routing_key = Some("k".repeat(SHORT_STRING_BYTES + 1));
                    emissions.push(Emission { routing_key, ..emission("void", 1) });
                }
                Verdict::Next(None)
            }
        };
        Decision { verdict, emissions }
    }
}

impl<'o> Order<'o> {
    /// What it does to its key's timers.
    fn time(&self, memory: &mut Memory, now_us: u64, input: usize) -> Option<TimerChange> {
        let name = timer_of(self.id);
        let due_us = match self.word {
            "set" => {
                memory.waits.insert(name.clone(), self.id);
                Some(now_us + u64::from(self.until) * 1000)
            }
            "cancel" => {
                memory.waits.remove(&name);
                None
            }
            _ => return None,
        };
        Some(TimerChange { input, name, due_us })
    }

    fn parse(body: &'o str) -> Self {
        let mut words = body.split(' ');
        let mut word = || words.next().unwrap();
        let id = word().parse().unwrap();
        let what = word();
        let at = word().parse().unwrap();
        Self { id, word: what, at, until: word().parse().unwrap() }
    }
}
