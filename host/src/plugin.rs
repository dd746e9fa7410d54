//! Plugins: components compiled, checked, instantiated and called. The only room that knows wasmtime.
//!
//! [`Engine`] is one per process. [`Engine::load`] turns bytes into a [`Plugin`]: compiled, its imports
//! and exports checked, `describe`d and `configure`d once on a throwaway instance, so that what is
//! wrong shows at the start. [`Plugin::instantiate`] makes an [`Instance`], one store, which a shard
//! owns and calls. An instance that answered with a [`CallError`] is spent: drop it, make another.

mod cache;
pub mod capsule;
pub mod compile;
mod engine;
mod examine;
mod failure;
pub mod file;
mod instance;
mod load;
mod output;
pub mod purity;
mod sandbox;
mod v0_1;
mod wasi;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{Properties, blob};
use crate::verdict::{Decision, FailureClass, Verdict};

pub use engine::{Engine, EngineError, EngineOptions};
pub use examine::{Examined, Sections, sections};
pub use instance::Instance;
pub use load::Plugin;

/// What one `process` call is handed.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// The batch's time, microseconds since 1970-01-01 UTC. All the clock a plugin has.
    pub now_us: u64,
    /// The messages and due timers, in order; never empty.
    pub messages: &'a [Input<'a>],
    /// State of the keys that occur, referred to by [`Input::slot`].
    pub states: &'a [StateSlot<'a>],
}

/// One message of a batch, or one timer that is due.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The exchange it was first published to; empty for a timer.
    pub exchange: &'a str,
    /// The routing key it was first published with; a timer's name.
    pub routing_key: &'a str,
    /// Its key, where it has one. A timer has.
    pub key: Option<&'a str>,
    /// Its properties, as the stages before have left them.
    pub properties: &'a Properties,
    /// Its body, as the stages before have left it.
    pub body: &'a [u8],
    /// 1 at the first attempt.
    pub attempt: u32,
    /// What ids derived from it start from: of identity, pipeline and stage.
    pub seed: [u8; 16],
    /// Its key's place in [`Batch::states`]; `None` for a keyless message or a stateless plugin.
    pub slot: Option<u32>,
    /// Reference data of its key: a MessagePack map from table to row; `None` where the stage has no
    /// tables. Inputs of one key share one slice.
    pub row: Option<&'a [u8]>,
    /// When it was due, microseconds since 1970-01-01 UTC, if it is a timer; `None` for a message.
    pub due_us: Option<u64>,
}

/// The state of one key.
#[derive(Clone, Debug)]
pub struct StateSlot<'a> {
    /// The state; `None` where the key has none.
    pub bytes: Option<Cow<'a, [u8]>>,
    /// Never the same for two different states of one key; one higher than the state it came from.
    pub generation: u64,
}

/// What one `process` call answers, checked against the batch and the limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// One per message and due timer, in order.
    pub messages: Vec<Decision>,
    /// One per state slot, in order.
    pub states: Vec<StateChange>,
    /// Timers that were set or cancelled, in the order in which that takes effect.
    #[serde(default)]
    pub timers: Vec<TimerChange>,
}

/// That a timer is set or cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerChange {
    /// Which of the batch's inputs did it; the timer is of its key.
    pub input: usize,
    /// The timer's name.
    pub name: String,
    /// When it is due, microseconds since 1970-01-01 UTC; `None` cancels it.
    pub due_us: Option<u64>,
}

impl Decisions {
    /// What a plugin that does nothing answers to a batch.
    #[must_use]
    pub fn unchanged(batch: &Batch<'_>) -> Self {
        Self {
            messages: batch.messages.iter().map(|_| Verdict::Next(None).into()).collect(),
            states: batch.states.iter().map(|_| StateChange::Unchanged).collect(),
            timers: Vec::new(),
        }
    }
}

/// What a call did to a key's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateChange {
    /// Nothing.
    Unchanged,
    /// This is it now.
    Set(#[serde(with = "blob")] Bytes),
    /// The key has none any more.
    Cleared,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The plugin's own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SDK it was built with, `rust 0.1.0`.
    pub sdk: String,
    /// The version of its state's schema; `None` is a plugin without state.
    pub state_version: Option<u32>,
}

/// Why a call failed. The instance is spent.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[error("{class}: {text}")]
pub struct CallError {
    /// `Trap`, `Deadline`, `Memory` or `Malformed`.
    pub class: FailureClass,
    /// What happened: a panic's message, file and line; the limit that was passed.
    pub text: String,
    /// The guest's stack, innermost first.
    pub backtrace: Vec<String>,
}

/// Why a plugin can't be loaded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("plugin '{plugin}': {text}")]
pub struct LoadError {
    /// Its name in the config.
    pub plugin: String,
    /// What is wrong and what to do about it.
    pub text: String,
}

/// What a call cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCost {
    /// Wall time.
    pub wall: Duration,
    /// Linear memory of the instance after the call, in bytes.
    pub memory_bytes: usize,
}
