//! States that stay decoded between calls.
//!
//! The host hands a key's state over with each batch, under a generation: the same key with the same
//! generation has the same state. So what a call made of a state is kept here, and taken up when the host
//! hands over just that. Each key has one place, which others share: whoever comes later has it. What isn't
//! here is decoded, so that nothing but time depends on it.

/// How many keys have a place of their own at the most. A power of two.
const PLACES: usize = 8192;
/// Bytes of states, as they are encoded, that are kept at the most.
const BYTES: usize = 2 << 20;
/// A state of more bytes isn't kept.
const STATE_BYTES: usize = 16 << 10;

/// Decoded states of some keys.
#[derive(Debug)]
pub(crate) struct Kept<S> {
    places: Vec<Option<Box<Held<S>>>>,
    bytes: usize,
    /// How the state of a key that has none is encoded, once somebody asked.
    default: Option<Vec<u8>>,
}

/// A key's decoded state. In a box, so that a call takes it and puts it back without moving the state.
#[derive(Debug)]
pub(crate) struct Held<S> {
    place: usize,
    key: Vec<u8>,
    generation: u64,
    /// As encoded.
    bytes: usize,
    pub(crate) state: S,
}

impl<S> Held<S> {
    /// A key's state, which isn't kept yet.
    pub(crate) fn new(key: &[u8], state: S) -> Box<Self> {
        Box::new(Self { place: place(key), key: key.to_vec(), generation: 0, bytes: 0, state })
    }
}

impl<S> Kept<S> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), bytes: 0, default: None }
    }

    /// The default state's bytes, as `encode` makes them the first time.
    pub(crate) fn default<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<&[u8], E> {
        if self.default.is_none() {
            let mut bytes = Vec::new();
            encode(&mut bytes)?;
            self.default = Some(bytes);
        }
        Ok(self.default.as_deref().unwrap_or_default())
    }

    /// The state of that key under that generation, if it is here. It isn't here any more then.
    pub(crate) fn take(&mut self, key: &[u8], generation: u64) -> Option<Box<Held<S>>> {
        let place = self.places.get_mut(place(key))?;
        let held = place.take_if(|held| held.generation == generation && held.key == key)?;
        self.bytes -= held.bytes;
        Some(held)
    }

    /// Keeps it under that generation, as something of that many bytes.
    pub(crate) fn keep(&mut self, mut held: Box<Held<S>>, generation: u64, bytes: usize) {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        if self.bytes + bytes > BYTES {
            self.places.iter_mut().for_each(|place| *place = None);
            self.bytes = 0;
        }
        let Some(place) = self.places.get_mut(held.place) else { return };
        if let Some(former) = place.take() {
            self.bytes -= former.bytes;
        }
        if bytes <= STATE_BYTES {
            held.generation = generation;
            held.bytes = bytes;
            self.bytes += bytes;
            *place = Some(held);
        }
    }
}

/// A key's place. Spread by multiplication, eight bytes at a time: whoever makes keys meet on purpose has
/// them decoded each time, no more.
fn place(key: &[u8]) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = key.len() as u64;
    let (chunks, rest) = key.as_chunks::<8>();
    for chunk in chunks {
        hash = (hash ^ u64::from_le_bytes(*chunk)).wrapping_mul(SPREAD).rotate_left(29);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(SPREAD);
    usize::try_from(hash >> 40).unwrap_or(0) % PLACES
}

#[cfg(test)]
mod tests;
