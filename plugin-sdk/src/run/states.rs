//! A batch's states while it runs: decoded when the first message of a key needs one, written when all ran.

use super::RunError;
use crate::kept::Kept;
use crate::layout::{Batch, Decisions, NONE};
use crate::plugin::Plugin;

/// The states of a batch's keys.
pub(super) struct States<'b, P: Plugin> {
    batch: &'b Batch<'b>,
    kept: &'b mut Kept<P::State>,
    slots: Vec<Slot<'b, P::State>>,
}

/// One key's.
struct Slot<'b, S> {
    /// Of the first message that needed it.
    key: &'b [u8],
    /// `None` is what the host handed over.
    state: Option<S>,
}

impl<'b, P: Plugin> States<'b, P> {
    pub(super) fn new(batch: &'b Batch<'b>, kept: &'b mut Kept<P::State>) -> Self {
        let slots = (0..batch.slots()).map(|_| Slot { key: &[], state: None }).collect();
        Self { batch, kept, slots }
    }

    /// Runs something on a state, and leaves it as it was if that fails.
    pub(super) fn with<T, E>(
        &mut self,
        slot: usize,
        key: Option<&'b [u8]>,
        run: impl FnOnce(&mut P::State) -> Result<T, E>,
    ) -> Result<Result<T, E>, RunError> {
        // The layout has been looked at: a message's slot is there.
        let Some(Slot { key: name, state: held }) = self.slots.get_mut(slot) else {
            return Ok(run(&mut P::State::default()));
        };
        if let Some(state) = held {
            let before = state.clone();
            let result = run(state);
            if result.is_err() {
                *state = before;
            }
            return Ok(result);
        }
        *name = key.unwrap_or_default();
        let (bytes, generation) = self.batch.state(slot)?;
        let mut state = match (bytes, self.kept.take(name, generation)) {
            (_, Some(state)) => state,
            (Some(bytes), None) => decode::<P>(bytes, name)?,
            (None, None) => P::State::default(),
        };
        let result = run(&mut state);
        if result.is_ok() {
            *held = Some(state);
        }
        Ok(result)
    }

    /// Says what became of each.
    pub(super) fn write(self, decisions: &mut Decisions) -> Result<(), RunError> {
        if self.slots.is_empty() {
            return Ok(());
        }
        let (mut default, mut bytes) = (Vec::new(), Vec::new());
        encode::<P>(&P::State::default(), &mut default)?;
        decisions.slots.reserve_exact(self.slots.len());
        for (at, Slot { key, state }) in self.slots.into_iter().enumerate() {
            let Some(state) = state else {
                decisions.slots.push([0, NONE, 0]);
                continue;
            };
            let (before, generation) = self.batch.state(at)?;
            encode::<P>(&state, &mut bytes)?;
            let word = if before.unwrap_or(&default) == bytes {
                self.kept.keep(key, generation, state, bytes.len());
                [0, NONE, 0]
            } else if bytes == default {
                [2, NONE, 0]
            } else {
                self.kept.keep(key, generation + 1, state, bytes.len());
                let [offset, length] = decisions.put(&bytes);
                [1, offset, length]
            };
            decisions.slots.push(word);
        }
        Ok(())
    }
}

fn decode<P: Plugin>(bytes: &[u8], key: &[u8]) -> Result<P::State, RunError> {
    rmp_serde::from_slice(bytes).map_err(|error| RunError::State {
        key: String::from_utf8_lossy(key).into_owned(),
        text: error.to_string(),
    })
}

fn encode<P: Plugin>(state: &P::State, to: &mut Vec<u8>) -> Result<(), RunError> {
    to.clear();
    rmp_serde::encode::write(to, state).map_err(|error| RunError::Encode(error.to_string()))
}
