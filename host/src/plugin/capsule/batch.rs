//! A batch that owns what it holds. The one place where a [`Batch`] is copied field by field.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{Properties, blob};
use crate::plugin::{Batch, CallError, Decisions, Input, Instance, StateSlot};

/// A [`Batch`] that owns what it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnedBatch {
    /// As [`Batch::now_us`].
    pub now_us: u64,
    /// As [`Batch::messages`].
    pub messages: Vec<OwnedInput>,
    /// As [`Batch::states`].
    pub states: Vec<OwnedState>,
}

/// An [`Input`] that owns what it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnedInput {
    /// As [`Input::exchange`].
    pub exchange: String,
    /// As [`Input::routing_key`].
    pub routing_key: String,
    /// As [`Input::key`].
    pub key: Option<String>,
    /// As [`Input::properties`].
    pub properties: Properties,
    /// As [`Input::body`].
    #[serde(with = "blob")]
    pub body: Bytes,
    /// As [`Input::attempt`].
    pub attempt: u32,
    /// As [`Input::seed`].
    pub seed: [u8; 16],
    /// As [`Input::slot`].
    pub slot: Option<u32>,
    /// As [`Input::row`].
    #[serde(with = "blob::maybe", skip_serializing_if = "Option::is_none")]
    pub row: Option<Bytes>,
    /// As [`Input::due_us`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_us: Option<u64>,
}

/// A [`StateSlot`] that owns what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnedState {
    /// As [`StateSlot::bytes`].
    #[serde(with = "blob::maybe")]
    pub bytes: Option<Bytes>,
    /// As [`StateSlot::generation`].
    pub generation: u64,
}

// === impl OwnedBatch ===

impl OwnedBatch {
    /// A copy.
    #[must_use]
    pub fn of(batch: &Batch<'_>) -> Self {
        Self {
            now_us: batch.now_us,
            messages: batch.messages.iter().map(OwnedInput::of).collect(),
            states: batch.states.iter().map(OwnedState::of).collect(),
        }
    }

    /// Hands it to an instance.
    ///
    /// # Errors
    /// As with [`Instance::process`], whose cost is nobody's matter here.
    pub fn run(&self, instance: &mut Instance) -> Result<Decisions, CallError> {
        self.with_batch(|batch| instance.process(batch)).map(|(decisions, _)| decisions)
    }

    /// Lends it as what a plugin is handed.
    pub fn with_batch<T>(&self, then: impl FnOnce(&Batch<'_>) -> T) -> T {
        let messages: Vec<Input<'_>> = self.messages.iter().map(OwnedInput::lend).collect();
        let states: Vec<StateSlot<'_>> = self.states.iter().map(OwnedState::lend).collect();
        then(&Batch { now_us: self.now_us, messages: &messages, states: &states })
    }

    /// About how many bytes a copy takes, told without making one.
    #[must_use]
    pub fn bytes_of(batch: &Batch<'_>) -> usize {
        let message = |input: &Input<'_>| {
            size_of::<OwnedInput>()
                + input.body.len()
                + input.row.map_or(0, <[u8]>::len)
                + input.exchange.len()
                + input.routing_key.len()
                + input.properties.headers.wire_bytes()
        };
        let state = |state: &StateSlot<'_>| {
            size_of::<OwnedState>() + state.bytes.as_ref().map_or(0, |bytes| bytes.len())
        };
        batch.messages.iter().map(message).sum::<usize>()
            + batch.states.iter().map(state).sum::<usize>()
    }

    /// What a decoded batch must hold before it is lent to anything.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.messages.is_empty() {
            return Err("the capsule's batch is empty".to_owned());
        }
        let lost = self.messages.iter().filter_map(|message| message.slot);
        match lost.into_iter().find(|slot| *slot as usize >= self.states.len()) {
            Some(slot) => Err(format!(
                "a message of the capsule's batch refers to state {slot} of {}",
                self.states.len()
            )),
            None => Ok(()),
        }
    }
}

// === impl OwnedInput ===

impl OwnedInput {
    fn of(input: &Input<'_>) -> Self {
        Self {
            exchange: input.exchange.to_owned(),
            routing_key: input.routing_key.to_owned(),
            key: input.key.map(str::to_owned),
            properties: input.properties.clone(),
            body: Bytes::copy_from_slice(input.body),
            attempt: input.attempt,
            seed: input.seed,
            slot: input.slot,
            row: input.row.map(Bytes::copy_from_slice),
            due_us: input.due_us,
        }
    }

    fn lend(&self) -> Input<'_> {
        Input {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            key: self.key.as_deref(),
            properties: &self.properties,
            body: &self.body,
            attempt: self.attempt,
            seed: self.seed,
            slot: self.slot,
            row: self.row.as_deref(),
            due_us: self.due_us,
        }
    }
}

// === impl OwnedState ===

impl OwnedState {
    fn of(state: &StateSlot<'_>) -> Self {
        Self {
            bytes: state.bytes.as_deref().map(Bytes::copy_from_slice),
            generation: state.generation,
        }
    }

    fn lend(&self) -> StateSlot<'_> {
        StateSlot { bytes: self.bytes.as_deref().map(Cow::Borrowed), generation: self.generation }
    }
}
