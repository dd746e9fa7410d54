//! The crossing: reads a batch and writes decisions, as `wit/v0.1/LAYOUT.md` lays them out.
//!
//! A batch is read in place. [`Batch::read`] and [`Batch::record`] check every offset that they
//! follow. Text and properties are looked at when an author asks for them, for most never are.

use crate::properties::Properties;
use crate::value::length;

/// Version of the layout.
pub(crate) const VERSION: u32 = 1;
/// An offset that means *absent*.
pub(crate) const NONE: u32 = u32::MAX;
/// Words in the header of a batch and of decisions.
pub(crate) const HEADER: usize = 16;
/// Words of a message, or a timer that is due, that this version knows.
pub(crate) const MESSAGE: usize = 20;
/// Words of a state slot of a batch that this version knows.
pub(crate) const SLOT: usize = 4;

/// What the host sent breaks the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host's batch breaks the layout: {0}")]
pub(crate) struct Malformed(&'static str);

/// A batch as it came, its tables located.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a> {
    arena: &'a [u8],
    messages: Records<'a>,
    slots: Records<'a>,
}

/// A message's words, resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) exchange: Text<'a>,
    pub(crate) routing_key: Text<'a>,
    pub(crate) key: Option<Text<'a>>,
    pub(crate) properties: Properties<'a>,
    pub(crate) slot: Option<usize>,
    pub(crate) attempt: u32,
    pub(crate) seed: [u32; 4],
    pub(crate) row: Option<&'a [u8]>,
    /// When it was due, for a timer; its name is the routing key.
    pub(crate) due_us: Option<u64>,
}

/// Text that nobody has looked at yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

#[derive(Clone, Copy, Debug)]
struct Records<'a> {
    words: &'a [u32],
    size: usize,
}

// === impl Batch ===

impl<'a> Batch<'a> {
    pub(crate) fn read(arena: &'a [u8], index: &'a [u32]) -> Result<Self, Malformed> {
        let header: &[u32; HEADER] = index.first_chunk().ok_or(Malformed("no header"))?;
        if header[0] != VERSION {
            return Err(Malformed("a layout version that this plugin doesn't know"));
        }
        let messages = Records::find(index, [header[1], header[2], header[3]], MESSAGE)?;
        let slots = Records::find(index, [header[4], header[5], header[6]], SLOT)?;
        Ok(Self { arena, messages, slots })
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages.count()
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.count()
    }

    /// The message at a position.
    pub(crate) fn record(&self, position: usize) -> Result<Record<'a>, Malformed> {
        let words: &[u32; MESSAGE] = self.messages.get(position)?;
        let properties = self.span(words[8], words[9])?.map(Properties::new).unwrap_or_default();
        let slot = (words[10] != NONE).then_some(words[10] as usize);
        if slot.is_some_and(|slot| slot >= self.slots()) {
            return Err(Malformed("a state slot that isn't there"));
        }
        Ok(Record {
            body: self.span(words[0], words[1])?.unwrap_or_default(),
            exchange: self.text(words[2], words[3])?.unwrap_or_default(),
            routing_key: self.text(words[4], words[5])?.unwrap_or_default(),
            key: self.text(words[6], words[7])?,
            properties,
            slot,
            attempt: words[11],
            seed: [words[12], words[13], words[14], words[15]],
            row: self.span(words[16], words[17])?,
            due_us: (words[18..] != [0, 0])
                .then_some(u64::from(words[18]) | u64::from(words[19]) << 32),
        })
    }

    /// The state in a slot, `None` where its key has none, and its generation.
    pub(crate) fn state(&self, slot: usize) -> Result<(Option<&'a [u8]>, u64), Malformed> {
        let words: &[u32; SLOT] = self.slots.get(slot)?;
        let generation = u64::from(words[2]) | u64::from(words[3]) << 32;
        Ok((self.span(words[0], words[1])?, generation))
    }

    fn span(&self, offset: u32, length: u32) -> Result<Option<&'a [u8]>, Malformed> {
        if offset == NONE {
            return Ok(None);
        }
        let tail = self.arena.get(offset as usize..);
        let span = tail.and_then(|tail| tail.get(..length as usize));
        span.map(Some).ok_or(Malformed("a span outside the arena"))
    }

    fn text(&self, offset: u32, length: u32) -> Result<Option<Text<'a>>, Malformed> {
        Ok(self.span(offset, length)?.map(Text))
    }
}

impl<'a> Text<'a> {
    /// The text.
    ///
    /// # Panics
    /// The host sent what isn't UTF-8.
    #[expect(clippy::panic, reason = "a host that breaks the layout; a call can only trap then")]
    pub(crate) fn get(self) -> &'a str {
        match std::str::from_utf8(self.0) {
            Ok(text) => text,
            Err(error) => panic!("the host's batch breaks the layout: text isn't UTF-8: {error}"),
        }
    }
}

impl<'a> Records<'a> {
    fn find(index: &'a [u32], table: [u32; 3], size_min: usize) -> Result<Self, Malformed> {
        let [position, count, size] = table.map(|word| word as usize);
        if count == 0 {
            return Ok(Self { words: &[], size: size_min });
        }
        if size < size_min {
            return Err(Malformed("records smaller than this plugin's"));
        }
        let words = count.checked_mul(size).and_then(|words| index.get(position..)?.get(..words));
        Ok(Self { words: words.ok_or(Malformed("a table outside the index"))?, size })
    }

    fn count(&self) -> usize {
        self.words.len() / self.size
    }

    fn get<const N: usize>(&self, position: usize) -> Result<&'a [u32; N], Malformed> {
        let start = position.checked_mul(self.size);
        let words = start.and_then(|start| self.words.get(start..)?.first_chunk());
        words.ok_or(Malformed("a record that isn't there"))
    }
}

// === Decisions ===

/// Decisions under construction.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decisions {
    pub(crate) arena: Vec<u8>,
    pub(crate) verdicts: Vec<[u32; 2]>,
    pub(crate) replacements: Vec<[u32; 6]>,
    pub(crate) emissions: Vec<[u32; 9]>,
    pub(crate) slots: Vec<[u32; 3]>,
    pub(crate) timers: Vec<[u32; 5]>,
    pub(crate) reasons: Vec<Reason>,
}

/// Why something was retried, rejected or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) text: String,
    pub(crate) after_ms: Option<u64>,
}

impl Decisions {
    /// Appends bytes to the arena and says where they lie.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> [u32; 2] {
        let start = self.arena.len();
        self.arena.extend(bytes);
        self.since(start)
    }

    /// The span from a former end of the arena to its end.
    pub(crate) fn since(&self, start: usize) -> [u32; 2] {
        let end = length(&self.arena);
        let start = u32::try_from(start).unwrap_or(end);
        [start, end - start]
    }

    pub(crate) fn put_optional(&mut self, bytes: Option<&[u8]>) -> [u32; 2] {
        bytes.map_or([NONE, 0], |bytes| self.put(bytes))
    }

    /// The finished index.
    pub(crate) fn index(&self) -> Vec<u32> {
        let words = 2 * self.verdicts.len()
            + 6 * self.replacements.len()
            + 9 * self.emissions.len()
            + 3 * self.slots.len()
            + 5 * self.timers.len();
        let mut index = Vec::with_capacity(HEADER + words);
        index.resize(HEADER, 0);
        index[0] = VERSION;
        append(&mut index, 1, &self.verdicts);
        append(&mut index, 4, &self.replacements);
        append(&mut index, 7, &self.emissions);
        append(&mut index, 10, &self.slots);
        append(&mut index, 13, &self.timers);
        index
    }
}

fn append<const N: usize>(index: &mut Vec<u32>, header: usize, records: &[[u32; N]]) {
    let table = [index.len(), records.len(), N];
    for (at, word) in table.into_iter().enumerate() {
        index[header + at] = u32::try_from(word).unwrap_or(NONE);
    }
    index.extend(records.as_flattened());
}

#[cfg(test)]
mod tests;
