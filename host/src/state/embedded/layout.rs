//! Keys and values of the database, byte by byte.

use std::collections::{BTreeMap, HashMap};

use crate::state::store::{Place, Remembered, Usage};

/// Before the name of a place.
const PLACE: u8 = b'p';
/// Before what a place keeps.
const USAGE: u8 = b'u';

/// Where a key's record is.
pub(super) fn key(place: u32, key: &str) -> Vec<u8> {
    [&place.to_be_bytes(), key.as_bytes()].concat()
}

/// Behind all keys of a place.
pub(super) fn after(place: u32) -> Vec<u8> {
    place.saturating_add(1).to_be_bytes().to_vec()
}

/// The key that a record is of.
pub(super) fn key_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.get(4..)?).ok()
}

/// Where it is noted that a key's first timer is due then.
pub(super) fn timer(place: u32, due_us: u64, key: &str) -> Vec<u8> {
    [&place.to_be_bytes()[..], &due_us.to_be_bytes(), key.as_bytes()].concat()
}

/// Behind all that is due by then.
pub(super) fn timers_after(place: u32, until_us: u64) -> Vec<u8> {
    match until_us.checked_add(1) {
        Some(next) => timer(place, next, ""),
        None => after(place),
    }
}

/// When which key's first timer is due.
pub(super) fn timer_of(bytes: &[u8]) -> Option<(u64, &str)> {
    let (due_us, key) = bytes.get(4..)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*due_us), std::str::from_utf8(key).ok()?))
}

/// A settled message.
pub(super) fn remembered(pipeline: u32, one: &Remembered) -> (Vec<u8>, Vec<u8>) {
    let key = [&pipeline.to_be_bytes()[..], &one.at_us.to_be_bytes(), &one.whole].concat();
    let value = [&one.id.to_be_bytes()[..], &[one.partition, u8::from(one.dead)]].concat();
    (key, value)
}

/// The settled message that those bytes mean.
pub(super) fn remembered_of(key: &[u8], value: &[u8]) -> Option<Remembered> {
    let (at_us, whole) = key.get(4..)?.split_first_chunk()?;
    let (id, rest) = value.split_first_chunk()?;
    let [partition, dead @ (0 | 1)] = *rest else { return None };
    Some(Remembered {
        at_us: u64::from_be_bytes(*at_us),
        whole: whole.try_into().ok()?,
        id: u64::from_be_bytes(*id),
        dead: dead == 1,
        partition,
    })
}

/// The names of a place.
pub(super) fn place(number: u32, place: &Place) -> (Vec<u8>, Vec<u8>) {
    let length = u32::try_from(place.pipeline.len()).unwrap_or(u32::MAX).to_be_bytes();
    let names = [&[place.nth][..], &length, place.pipeline.as_bytes(), place.plugin.as_bytes()];
    ([&[PLACE][..], &number.to_be_bytes()].concat(), names.concat())
}

/// What a place keeps.
pub(super) fn usage(number: u32, usage: Usage) -> (Vec<u8>, Vec<u8>) {
    let value = [usage.keys.to_be_bytes(), usage.bytes.to_be_bytes()].concat();
    ([&[USAGE][..], &number.to_be_bytes()].concat(), value)
}

/// Takes up a note about places; one that makes no sense is none.
pub(super) fn read_meta(
    key: &[u8],
    value: &[u8],
    numbers: &mut HashMap<Place, u32>,
    usages: &mut BTreeMap<u32, Usage>,
) {
    let Some((kind, number)) = key.split_first() else { return };
    let Ok(number) = number.try_into().map(u32::from_be_bytes) else { return };
    match *kind {
        PLACE => {
            if let Some(place) = read_place(value) {
                numbers.insert(place, number);
            }
        }
        USAGE => {
            if let Some((keys, bytes)) = value.split_first_chunk()
                && let Ok(bytes) = bytes.try_into()
            {
                let usage =
                    Usage { keys: u64::from_be_bytes(*keys), bytes: u64::from_be_bytes(bytes) };
                usages.insert(number, usage);
            }
        }
        _ => {}
    }
}

fn read_place(value: &[u8]) -> Option<Place> {
    let (nth, rest) = value.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (pipeline, plugin) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some(Place { pipeline: text(pipeline)?.into(), plugin: text(plugin)?.into(), nth: *nth })
}
