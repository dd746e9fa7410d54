//! Drive a plugin natively, in a plain `cargo test`. Every message crosses the same encoding as it
//! does in the host.
//!
//! ```
//! # use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};
//! use sluicegate_sdk::testing::{Input, Tester};
//!
//! #[derive(serde::Deserialize)]
//! struct Limit {
//!     max: u64,
//! }
//!
//! impl Plugin for Limit {
//!     type State = u64; // messages seen of this key
//!
//!     fn process(&self, _: &Message, seen: &mut u64, ctx: &mut Context) -> Decision {
//!         *seen += 1;
//!         if *seen > self.max {
//!             return Err(Failure::reject("too_many", "seen often enough"));
//!         }
//!         ctx.emit("counts").json(seen)?;
//!         Ok(Verdict::next())
//!     }
//! }
//!
//! let mut limit = Tester::<Limit>::new(&serde_json::json!({ "max": 1 })).unwrap();
//! let outcome = limit.run(Input::new().key("a"));
//! assert!(outcome.is_next());
//! assert_eq!(outcome.emissions[0].json(), 1);
//! assert_eq!(limit.run(Input::new().key("a")).rejected(), Some("too_many"));
//! assert_eq!(limit.state("a"), Some(1)); // a rejected message leaves no trace
//! assert_eq!(limit.run(Input::new()).rejected(), Some("no_key"));
//! ```
#![allow(clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod input;
mod outcome;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

pub use input::Input;
pub use outcome::{Emitted, Outcome};

use crate::layout::{Decisions, HEADER, MESSAGE, NONE, SLOT, VERSION};
use crate::plugin::{self, ConfigError, Plugin};
use crate::run;

/// A configured plugin with the state of its keys, as the host would keep it.
pub struct Tester<P: Plugin> {
    plugin: P,
    now: Duration,
    states: BTreeMap<String, Vec<u8>>,
}

impl<P: Plugin> Tester<P> {
    /// Configures a plugin with what an operator would write: a map, such as
    /// `&serde_json::json!({ "max": 3 })`.
    ///
    /// # Errors
    /// What the operator would be told.
    pub fn new(config: &impl Serialize) -> Result<Self, ConfigError> {
        let config =
            rmp_serde::to_vec_named(config).expect("the config has no form in MessagePack");
        let plugin = plugin::configure(&config)?;
        // 2026-01-01: a test that means a certain time says so.
        Ok(Self { plugin, now: Duration::from_secs(1_767_225_600), states: BTreeMap::new() })
    }

    /// Sets the batches' time, since 1970-01-01 UTC.
    #[must_use]
    pub fn at(mut self, now: Duration) -> Self {
        self.now = now;
        self
    }

    /// Processes one message.
    pub fn run(&mut self, input: Input) -> Outcome {
        self.run_batch(&[input]).pop().expect("one message, one outcome")
    }

    /// Processes messages in one call.
    ///
    /// # Panics
    /// Where the plugin would trap: its panics, and state that doesn't decode.
    pub fn run_batch(&mut self, inputs: &[Input]) -> Vec<Outcome> {
        let mut keys: Vec<&str> = Vec::new();
        if run::is_stateful::<P>() {
            keys.extend(inputs.iter().filter_map(|input| input.key.as_deref()));
            keys.sort_unstable();
            keys.dedup();
        }
        let (arena, index) = encode(inputs, &keys, &self.states);
        let now_us = self.now.as_micros().try_into().expect("a time that fits");
        let mut lines = Vec::new();
        let mut log = |level, position: u32, line: &str| {
            lines.push((position as usize, level, line.to_owned()));
        };
        let decisions = run::process(&self.plugin, now_us, &arena, &index, &mut log)
            .unwrap_or_else(|error| panic!("{error}"));
        let decisions = read_back(decisions);
        for (slot, key) in decisions.slots.iter().zip(&keys) {
            match *slot {
                [1, offset, length] => {
                    let state = &decisions.arena[offset as usize..][..length as usize];
                    self.states.insert((*key).to_owned(), state.to_vec());
                }
                [2, ..] => drop(self.states.remove(*key)),
                _ => {}
            }
        }
        let mut outcomes: Vec<Outcome> = inputs
            .iter()
            .enumerate()
            .map(|(position, input)| Outcome::read(&decisions, position, input))
            .collect();
        for (position, level, line) in lines {
            outcomes[position].log.push((level, line));
        }
        outcomes
    }

    /// The state of a key; `None` where it has none, or was cleared.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<P::State> {
        let state = self.states.get(key)?;
        Some(rmp_serde::from_slice(state).expect("state that was encoded decodes"))
    }

    /// How many bytes the state of a key takes.
    #[must_use]
    pub fn state_bytes(&self, key: &str) -> usize {
        self.states.get(key).map_or(0, Vec::len)
    }
}

/// Lays inputs out as the host does.
fn encode(
    inputs: &[Input],
    keys: &[&str],
    states: &BTreeMap<String, Vec<u8>>,
) -> (Vec<u8>, Vec<u32>) {
    let word = |n: usize| u32::try_from(n).expect("a test batch below 4 GiB");
    let mut arena = Vec::new();
    let mut put = |bytes: Option<&[u8]>| match bytes {
        None => [NONE, 0],
        Some(bytes) => {
            let offset = arena.len();
            arena.extend(bytes);
            [word(offset), word(bytes.len())]
        }
    };
    let mut index = vec![0; HEADER];
    let slots_at = HEADER + inputs.len() * MESSAGE;
    index[0] = VERSION;
    index[1..4].copy_from_slice(&[word(HEADER), word(inputs.len()), word(MESSAGE)]);
    index[4..7].copy_from_slice(&[word(slots_at), word(keys.len()), word(SLOT)]);
    for (position, input) in inputs.iter().enumerate() {
        let mut properties = Vec::new();
        input.properties.write(&mut properties);
        index.extend(put(Some(&input.body)));
        index.extend(put(Some(input.exchange.as_bytes())));
        index.extend(put(Some(input.routing_key.as_bytes())));
        index.extend(put(input.key.as_deref().map(str::as_bytes)));
        index.extend(put(Some(&properties)));
        let slot = input.key.as_deref().and_then(|key| keys.binary_search(&key).ok());
        index.extend([slot.map_or(NONE, word), input.attempt]);
        index.extend([input.seed, word(position), 0, 0]);
    }
    for key in keys {
        index.extend(put(states.get(*key).map(Vec::as_slice)));
        index.extend([0, 0]);
    }
    (arena, index)
}

/// Decisions as the host reads them: from the index that they were written to.
fn read_back(written: Decisions) -> Decisions {
    let index = written.index();
    assert_eq!(index[0], VERSION);
    Decisions {
        verdicts: records(&index, 1),
        replacements: records(&index, 4),
        emissions: records(&index, 7),
        slots: records(&index, 10),
        ..written
    }
}

fn records<const N: usize>(index: &[u32], header: usize) -> Vec<[u32; N]> {
    let [position, count, size] = [0, 1, 2].map(|word| index[header + word] as usize);
    assert_eq!(size, N);
    index[position..][..count * N].as_chunks().0.to_vec()
}

/// Fails to compile for what is no plugin, natively too.
#[doc(hidden)]
pub const fn is_plugin<P: Plugin>() {}
