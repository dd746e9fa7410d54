//! A batch's states while it runs: decoded when the first message of a key needs one, written when all ran.

use super::RunError;
use crate::kept::{Held, Kept};
use crate::layout::{Batch, Decisions, NONE};
use crate::plugin::Plugin;

/// The states of a batch's keys.
pub(super) struct States<'b, P: Plugin> {
    batch: &'b Batch<'b>,
    kept: &'b mut Kept<P::State>,
    /// `None` is what the host handed over.
    slots: Vec<Option<Box<Held<P::State>>>>,
}

impl<'b, P: Plugin> States<'b, P> {
    pub(super) fn new(batch: &'b Batch<'b>, kept: &'b mut Kept<P::State>) -> Self {
        let slots = (0..batch.slots()).map(|_| None).collect();
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
        let Some(used) = self.slots.get_mut(slot) else {
            return Ok(run(&mut P::State::default()));
        };
        if let Some(Held { state, .. }) = used.as_deref_mut() {
            let before = state.clone();
            let result = run(state);
            if result.is_err() {
                *state = before;
            }
            return Ok(result);
        }
        let key = key.unwrap_or_default();
        let (bytes, generation) = self.batch.state(slot)?;
        let mut held = match (bytes, self.kept.take(key, generation)) {
            (_, Some(held)) => held,
            (Some(bytes), None) => Held::new(key, decode::<P>(bytes, key)?),
            (None, None) => Held::new(key, P::State::default()),
        };
        let result = run(&mut held.state);
        if result.is_ok() {
            *used = Some(held);
        }
        Ok(result)
    }

    /// Says what became of each.
    pub(super) fn write(self, decisions: &mut Decisions) -> Result<(), RunError> {
        decisions.slots.reserve_exact(self.slots.len());
        for (at, held) in self.slots.into_iter().enumerate() {
            let Some(held) = held else {
                decisions.slots.push([0, NONE, 0]);
                continue;
            };
            let default = self.kept.default(|to| encode::<P>(&P::State::default(), to))?;
            let (before, generation) = self.batch.state(at)?;
            let start = decisions.arena.len();
            encode::<P>(&held.state, &mut decisions.arena)?;
            let bytes = &decisions.arena[start..];
            let length = bytes.len();
            let word = if before.unwrap_or(default) == bytes {
                self.kept.keep(held, generation, length);
                0
            } else if bytes == default {
                2
            } else {
                self.kept.keep(held, generation + 1, length);
                1
            };
            let [offset, length] = decisions.since(start);
            if word == 1 {
                decisions.slots.push([1, offset, length]);
            } else {
                decisions.arena.truncate(start);
                decisions.slots.push([word, NONE, 0]);
            }
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
    rmp_serde::encode::write(to, state).map_err(|error| RunError::Encode(error.to_string()))
}
