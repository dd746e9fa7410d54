//! `[state]`: how state is kept.

use super::State;
use super::section::Section;
use crate::limits;
use crate::state::Durability;

/// Reads `[state]`, which may be absent.
pub(super) fn read(section: Option<Section<'_>>) -> State {
    let mut state = State {
        durability: Durability::Process,
        cache_bytes: limits::STATE_CACHE_BYTES,
        keys: limits::STATE_KEYS,
        timers: limits::TIMER_KEYS,
    };
    let Some(section) = section else { return state };
    let words = [("process", Durability::Process), ("power", Durability::Power)];
    state.durability = section.choice("durability", &words).unwrap_or(state.durability);
    let cache = section.size("cache", 0..=limits::STATE_CACHE_BYTES_MAX);
    state.cache_bytes =
        cache.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(state.cache_bytes);
    state.keys = section.number("keys", 1..=limits::STATE_KEYS_MAX).unwrap_or(state.keys);
    let timers = section.number("timers", 1..=limits::TIMER_KEYS_MAX);
    state.timers = timers.and_then(|keys| usize::try_from(keys).ok()).unwrap_or(state.timers);
    section.finish();
    state
}
