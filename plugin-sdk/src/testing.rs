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
//!
//! Time stands still until [`Tester::pass`] lets some pass; that is when timers come.
#![allow(clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod clock;
mod input;
mod outcome;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

pub use input::Input;
pub use outcome::{Emitted, Outcome};

use self::clock::{Clock, Due};
use crate::kept::Kept;
use crate::layout::{Decisions, HEADER, MESSAGE, NONE, SLOT, VERSION};
use crate::plugin::{self, ConfigError, Plugin};
use crate::run;

/// A configured plugin with the state of its keys, as the host would keep it.
pub struct Tester<P: Plugin> {
    plugin: P,
    clock: Clock,
    kept: Kept<P::State>,
    states: BTreeMap<String, Stored>,
    /// Reference data: by table and key, as MessagePack.
    rows: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

/// A key's state, as the host keeps it.
#[derive(Default)]
struct Stored {
    bytes: Option<Vec<u8>>,
    generation: u64,
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
        let clock = Clock::at(Duration::from_secs(1_767_225_600));
        let (states, rows) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { plugin, clock, kept: Kept::new(), states, rows })
    }

    /// Sets the batches' time, since 1970-01-01 UTC.
    #[must_use]
    pub fn at(mut self, now: Duration) -> Self {
        self.clock.now = now;
        self
    }

    /// Gives a key a row in a table, as the operator's file would.
    ///
    /// # Panics
    /// If the row has no form in MessagePack.
    #[must_use]
    pub fn row(mut self, table: &str, key: &str, row: &impl Serialize) -> Self {
        let row = rmp_serde::to_vec_named(row).expect("a row that has a form in MessagePack");
        self.rows.entry(table.to_owned()).or_default().insert(key.to_owned(), row);
        self
    }

    /// Lets time pass. Timers that fall due meanwhile come in order, each at its time, and those that
    /// they set as well; what each did is answered.
    ///
    /// ```
    /// # use sluicegate_sdk::{Context, Decision, Message, Plugin, Timer, Verdict};
    /// # use sluicegate_sdk::testing::{Input, Tester};
    /// # use std::time::Duration;
    /// # #[derive(serde::Deserialize)]
    /// # struct Silence {}
    /// # impl Plugin for Silence {
    /// #     type State = ();
    /// #     const TIMERS: bool = true;
    /// #     fn process(&self, _: &Message, (): &mut (), ctx: &mut Context) -> Decision {
    /// #         ctx.set_timer("silent", Duration::from_secs(900));
    /// #         Ok(Verdict::next())
    /// #     }
    /// #     fn on_timer(&self, timer: &Timer, (): &mut (), ctx: &mut Context) -> Decision {
    /// #         ctx.emit("alerts").json(&timer.key())?;
    /// #         Ok(Verdict::done())
    /// #     }
    /// # }
    /// let mut silence = Tester::<Silence>::new(&serde_json::json!({})).unwrap();
    /// silence.run(Input::new().key("meter-7"));
    /// assert!(silence.pass(Duration::from_secs(899)).is_empty());
    /// let fired = silence.pass(Duration::from_secs(1));
    /// assert_eq!(fired[0].emissions[0].json(), "meter-7");
    /// ```
    pub fn pass(&mut self, time: Duration) -> Vec<Outcome> {
        let until = self.clock.now + time;
        let mut outcomes = Vec::new();
        while let Some(due) = self.clock.next_due(until) {
            self.clock.now = self.clock.now.max(due.at);
            outcomes.push(self.fire(&due));
        }
        self.clock.now = until;
        outcomes
    }

    /// Lets time pass while the host is down: what fell due meanwhile comes late, in order.
    pub fn pass_down(&mut self, time: Duration) -> Vec<Outcome> {
        self.clock.now += time;
        self.pass(Duration::ZERO)
    }

    /// When a timer of a key is due, since 1970-01-01 UTC; `None` where it isn't set.
    #[must_use]
    pub fn timer(&self, key: &str, name: &str) -> Option<Duration> {
        self.clock.due(key, name)
    }

    /// The batches' time, since 1970-01-01 UTC.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.now
    }

    fn fire(&mut self, due: &Due) -> Outcome {
        self.clock.remove(due);
        let due_us = due.at.as_micros().try_into().expect("a time that fits");
        let input = Input { due_us, ..Input::new().routing_key(&due.name).key(&due.key) };
        self.run(input)
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
        let (arena, index) = self.encode(inputs, &keys);
        let now_us = self.clock.now.as_micros().try_into().expect("a time that fits");
        let mut lines = Vec::new();
        let mut log = |level, position: u32, line: &str| {
            lines.push((position as usize, level, line.to_owned()));
        };
        let run = |kept: &mut Kept<P::State>, log: run::Log<'_>| {
            run::process(&self.plugin, kept, now_us, &arena, &index, log)
                .unwrap_or_else(|error| panic!("{error}"))
        };
        let decisions = run(&mut self.kept, &mut log);
        let anew = run(&mut Kept::new(), &mut |_, _, _| {});
        assert!(
            anew == decisions,
            "the plugin isn't pure: the same batch came out otherwise with states that were encoded and \
             decoded again; is there something in them that serde skips?"
        );
        let decisions = read_back(decisions);
        for (slot, key) in decisions.slots.iter().zip(&keys) {
            let bytes = match *slot {
                [1, offset, length] => {
                    Some(decisions.arena[offset as usize..][..length as usize].to_vec())
                }
                [2, ..] => None,
                _ => continue,
            };
            let stored = self.states.entry((*key).to_owned()).or_default();
            stored.generation += 1;
            stored.bytes = bytes;
        }
        for change in &decisions.timers {
            let key = inputs[change[0] as usize].key.as_deref().expect("a timer has a key");
            self.clock.change(key, change, &decisions.arena);
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
        let state = self.states.get(key)?.bytes.as_ref()?;
        Some(rmp_serde::from_slice(state).expect("state that was encoded decodes"))
    }

    /// How many bytes the state of a key takes.
    #[must_use]
    pub fn state_bytes(&self, key: &str) -> usize {
        self.states.get(key).and_then(|stored| stored.bytes.as_ref()).map_or(0, Vec::len)
    }

    /// The key's rows, a MessagePack map from table to row.
    fn rows_of(&self, key: &str) -> Vec<u8> {
        let rows: Vec<_> =
            self.rows.iter().filter_map(|(table, rows)| Some((table, rows.get(key)?))).collect();
        let mut map = vec![0xde];
        map.extend(u16::try_from(rows.len()).expect("few tables").to_be_bytes());
        for (table, row) in rows {
            map.extend(rmp_serde::to_vec(table).expect("a name has a form in MessagePack"));
            map.extend(row);
        }
        map
    }

    /// Lays inputs out as the host does.
    fn encode(&self, inputs: &[Input], keys: &[&str]) -> (Vec<u8>, Vec<u32>) {
        let rows: Vec<Option<Vec<u8>>> = inputs
            .iter()
            .map(|input| input.key.as_deref().filter(|_| !self.rows.is_empty()))
            .map(|key| key.map(|key| self.rows_of(key)))
            .collect();
        encode(inputs, &rows, keys, &self.states)
    }
}

/// Lays inputs, with the rows of their keys, out as the host does.
fn encode(
    inputs: &[Input],
    rows: &[Option<Vec<u8>>],
    keys: &[&str],
    states: &BTreeMap<String, Stored>,
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
    for (position, (input, row)) in inputs.iter().zip(rows).enumerate() {
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
        index.extend(put(row.as_deref()));
        index.extend(clock::words(input.due_us));
    }
    for key in keys {
        let stored = states.get(*key);
        index.extend(put(stored.and_then(|stored| stored.bytes.as_deref())));
        let generation = stored.map_or(0, |stored| stored.generation);
        index.extend([u32::try_from(generation).expect("a test's few batches"), 0]);
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
        timers: records(&index, 13),
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
