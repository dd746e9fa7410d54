//! A batch becomes an arena and an index, as `LAYOUT.md` has them.

use std::collections::HashMap;

use super::wire::Broken;
use super::{HEADER_WORDS, LAYOUT_VERSION, NONE, properties};
use crate::plugin::{Batch, Input, StateSlot};

/// Words of an input's record.
const MESSAGE_WORDS: u32 = 20;
/// Words of a state slot's record.
const SLOT_WORDS: u32 = 4;

/// The two lists that cross, kept between calls so that their memory is.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    pub(super) arena: Vec<u8>,
    pub(super) index: Vec<u32>,
    /// Rows of reference data that are written, by their address: inputs of one key share theirs.
    pub(super) rows: HashMap<(*const u8, usize), [u32; 2]>,
}

impl Encoder {
    /// Replaces what the lists held by `batch`.
    pub(super) fn encode(&mut self, batch: &Batch<'_>) -> Result<(), Broken> {
        self.arena.clear();
        self.index.clear();
        self.rows.clear();
        let messages = word(batch.messages.len())?;
        let slots = word(batch.states.len())?;
        let first = word(HEADER_WORDS)?;
        let after = word(HEADER_WORDS + batch.messages.len() * MESSAGE_WORDS as usize)?;
        self.index.extend_from_slice(&[
            LAYOUT_VERSION,
            first,
            messages,
            MESSAGE_WORDS,
            after,
            slots,
            SLOT_WORDS,
        ]);
        self.index.resize(HEADER_WORDS, 0);

        let mut last = LastNames::default();
        for (position, input) in batch.messages.iter().enumerate() {
            self.message(input, &mut last)
                .map_err(|broken| broken.at(format_args!("message {position} of the batch")))?;
        }
        for slot in batch.states {
            self.slot(slot);
        }
        // Spans are cut to words as they come; they are right if the last one fits.
        word(self.arena.len()).map(|_| ())
    }

    fn message<'b>(&mut self, input: &Input<'b>, last: &mut LastNames<'b>) -> Result<(), Broken> {
        let [body, body_len] = self.span(input.body);
        let [exchange, exchange_len] = self.name(input.exchange, &mut last.exchange);
        let [routing_key, routing_key_len] = self.name(input.routing_key, &mut last.routing_key);
        let [key, key_len] = input.key.map_or([NONE, 0], |key| self.span(key.as_bytes()));
        let start = self.arena.len();
        properties::encode(input.properties, &mut self.arena)?;
        let [properties, properties_len] = self.since(start);
        let (seed, _) = input.seed.as_chunks::<4>();
        let [seed_0, seed_1, seed_2, seed_3] = [0, 1, 2, 3].map(|at| u32::from_le_bytes(seed[at]));
        let [row, row_len] = input.row.map_or([NONE, 0], |row| self.row(row));
        let [due, due_high] = split(input.due_us.unwrap_or(0));
        let record: [u32; MESSAGE_WORDS as usize] = [
            body,
            body_len,
            exchange,
            exchange_len,
            routing_key,
            routing_key_len,
            key,
            key_len,
            properties,
            properties_len,
            input.slot.unwrap_or(NONE),
            input.attempt,
            seed_0,
            seed_1,
            seed_2,
            seed_3,
            row,
            row_len,
            due,
            due_high,
        ];
        self.index.extend_from_slice(&record);
        Ok(())
    }

    fn row(&mut self, row: &[u8]) -> [u32; 2] {
        let place = (row.as_ptr(), row.len());
        if let Some(span) = self.rows.get(&place) {
            return *span;
        }
        let span = self.span(row);
        self.rows.insert(place, span);
        span
    }

    fn slot(&mut self, slot: &StateSlot<'_>) {
        let [state, length] = match &slot.bytes {
            Some(bytes) => self.span(bytes),
            None => [NONE, 0],
        };
        let [low, high] = split(slot.generation);
        self.index.extend_from_slice(&[state, length, low, high]);
    }

    fn span(&mut self, bytes: &[u8]) -> [u32; 2] {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.since(start)
    }

    fn since(&self, start: usize) -> [u32; 2] {
        [low(start as u64), low((self.arena.len() - start) as u64)]
    }

    /// Neighbours usually share their exchange and often their routing key: written once.
    fn name<'b>(&mut self, name: &'b str, last: &mut Option<(&'b str, [u32; 2])>) -> [u32; 2] {
        if let Some((text, span)) = last
            && *text == name
        {
            return *span;
        }
        let span = self.span(name.as_bytes());
        *last = Some((name, span));
        span
    }
}

/// The previous message's names and where they are.
#[derive(Default)]
struct LastNames<'b> {
    exchange: Option<(&'b str, [u32; 2])>,
    routing_key: Option<(&'b str, [u32; 2])>,
}

/// A length or position as a word. `NONE` is no position.
fn word(n: usize) -> Result<u32, Broken> {
    match u32::try_from(n) {
        Ok(word) if word != NONE => Ok(word),
        _ => Err(Broken::new("the batch is larger than the 4 GiB that a plugin can address")),
    }
}

fn split(n: u64) -> [u32; 2] {
    [low(n), low(n >> 32)]
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(n: u64) -> u32 {
    n as u32
}

#[cfg(test)]
mod tests;
