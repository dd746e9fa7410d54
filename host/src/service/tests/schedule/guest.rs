//! A plugin double: two stages that remember the ids that they saw of each key, tell them on an output
//! each, and then do what the message says. What an instance may not see, it takes for a violation.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::book::Book;
use crate::limits::SHORT_STRING_BYTES;
use crate::pipeline::fixture::Double;
use crate::pipeline::lane::Lane;
use crate::pipeline::shard::Guests;
use crate::plugin::{Batch, CallError, Decisions, Input, StateChange};
use crate::verdict::{Decision, Emission, FailureClass, Replacement, Verdict};

/// A shard's guests.
pub(super) struct Guest {
    book: Arc<Book>,
    life: usize,
    /// What an instance may keep: every state that it was handed, by key, stage and generation.
    kept: HashMap<(String, usize, u64), Option<Bytes>>,
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
        Self { book, life, kept: HashMap::new() }
    }

    /// The instance that ended took what it had kept with it.
    fn spent(&mut self, class: FailureClass) -> CallError {
        self.kept.clear();
        CallError { class, text: "as told".to_owned(), backtrace: Vec::new() }
    }

    /// A plugin may keep what it decoded under its generation: it must be the same bytes.
    fn check_generation(&mut self, key: &str, stage: usize, generation: u64, bytes: Option<&[u8]>) {
        let place = (key.to_owned(), stage, generation);
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
        let now_us = self.book.now_us();
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
        let mut states: Vec<Option<String>> =
            batch.states.iter().map(|slot| slot.bytes.as_deref().map(text)).collect();
        let mut messages = Vec::new();
        for message in batch.messages {
            let body = text(message.body);
            let order = Order::parse(&body);
            let fails = order.at == stage && message.attempt < order.until;
            match order.word {
                "trap" if fails => return Err(self.spent(FailureClass::Trap)),
                "deadline" if fails => return Err(self.spent(FailureClass::Deadline)),
                _ => {}
            }
            messages.push(self.decide(stage, message, &order, &mut states));
        }
        let mut changes = Vec::new();
        for (slot, state) in batch.states.iter().zip(states) {
            let before = slot.bytes.as_deref().map(text);
            if before == state {
                changes.push(StateChange::Unchanged);
                continue;
            }
            let bytes = Bytes::from(state.unwrap_or_default());
            changes.push(StateChange::Set(bytes));
        }
        Ok(Decisions { messages, states: changes, timers: Vec::new() })
    }
}

impl Guest {
    fn decide(
        &self,
        stage: usize,
        message: &Input<'_>,
        order: &Order<'_>,
        states: &mut [Option<String>],
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
                let state = &mut states[slot as usize];
                let list = match state.take() {
                    Some(list) => format!("{list},{}", order.id),
                    None => order.id.to_string(),
                };
                *state = Some(list.clone());
                list
            }
        };
        let emissions = if here && order.word == "emit" { 3 } else { 1 };
        let output = ["out", "aside"][stage];
        let emission = |output: &str, index: usize| Emission {
            output: output.to_owned(),
            body: Some(Bytes::from(format!("{}/{stage}/{index}/{}/{list}", order.id, self.life))),
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
                Verdict::Next(Replacement::default())
            }
        };
        Decision { verdict, emissions }
    }
}

impl<'o> Order<'o> {
    fn parse(body: &'o str) -> Self {
        let mut words = body.split(' ');
        let mut word = || words.next().unwrap();
        let id = word().parse().unwrap();
        let what = word();
        let at = word().parse().unwrap();
        Self { id, word: what, at, until: word().parse().unwrap() }
    }
}
