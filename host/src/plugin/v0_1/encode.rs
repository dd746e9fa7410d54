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
            self.slot(slot)?;
        }
        Ok(())
    }

    fn message<'b>(&mut self, input: &Input<'b>, last: &mut LastNames<'b>) -> Result<(), Broken> {
        let body = self.span(input.body)?;
        let exchange = self.name(input.exchange, &mut last.exchange)?;
        let routing_key = self.name(input.routing_key, &mut last.routing_key)?;
        let key = match input.key {
            Some(key) => self.span(key.as_bytes())?,
            None => [NONE, 0],
        };
        let start = self.arena.len();
        properties::encode(input.properties, &mut self.arena)?;
        let properties = [word(start)?, word(self.arena.len() - start)?];
        for span in [body, exchange, routing_key, key, properties] {
            self.index.extend_from_slice(&span);
        }
        self.index.push(input.slot.unwrap_or(NONE));
        self.index.push(input.attempt);
        let (words, _) = input.seed.as_chunks::<4>();
        self.index.extend(words.iter().map(|bytes| u32::from_le_bytes(*bytes)));
        let row = match input.row {
            Some(row) => self.row(row)?,
            None => [NONE, 0],
        };
        self.index.extend_from_slice(&row);
        self.index.extend_from_slice(&split(input.due_us.unwrap_or(0)));
        Ok(())
    }

    fn row(&mut self, row: &[u8]) -> Result<[u32; 2], Broken> {
        let place = (row.as_ptr(), row.len());
        if let Some(span) = self.rows.get(&place) {
            return Ok(*span);
        }
        let span = self.span(row)?;
        self.rows.insert(place, span);
        Ok(span)
    }

    fn slot(&mut self, slot: &StateSlot<'_>) -> Result<(), Broken> {
        let span = match &slot.bytes {
            Some(bytes) => self.span(bytes)?,
            None => [NONE, 0],
        };
        self.index.extend_from_slice(&span);
        let [low, high] = split(slot.generation);
        self.index.extend_from_slice(&[low, high]);
        Ok(())
    }

    fn span(&mut self, bytes: &[u8]) -> Result<[u32; 2], Broken> {
        let start = word(self.arena.len())?;
        self.arena.extend_from_slice(bytes);
        Ok([start, word(bytes.len())?])
    }

    /// Neighbours usually share their exchange and often their routing key: written once.
    fn name<'b>(
        &mut self,
        name: &'b str,
        last: &mut Option<(&'b str, [u32; 2])>,
    ) -> Result<[u32; 2], Broken> {
        if let Some((text, span)) = last
            && *text == name
        {
            return Ok(*span);
        }
        let span = self.span(name.as_bytes())?;
        *last = Some((name, span));
        Ok(span)
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

#[expect(clippy::cast_possible_truncation, reason = "the low and high halves are what is wanted")]
fn split(n: u64) -> [u32; 2] {
    [n as u32, (n >> 32) as u32]
}

#[cfg(test)]
mod tests;
