//! The time that a test holds, and the timers that wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::layout::NONE;

/// The time, and what is due when.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) now: Duration,
    /// By key and name.
    timers: BTreeMap<(String, String), Duration>,
}

/// A timer and its time.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) at: Duration,
}

/// As the host has it: nothing is set less far ahead.
const AHEAD_MIN: Duration = Duration::from_millis(10);

impl Clock {
    pub(super) fn at(now: Duration) -> Self {
        Self { now, timers: BTreeMap::new() }
    }

    /// The first timer that is due by then.
    pub(super) fn next_due(&self, until: Duration) -> Option<Due> {
        let ((key, name), at) = self.timers.iter().min_by_key(|(_, at)| **at)?;
        let due = Due { key: key.clone(), name: name.clone(), at: *at };
        (*at <= until).then_some(due)
    }

    pub(super) fn due(&self, key: &str, name: &str) -> Option<Duration> {
        self.timers.get(&(key.to_owned(), name.to_owned())).copied()
    }

    pub(super) fn remove(&mut self, due: &Due) {
        self.timers.remove(&(due.key.clone(), due.name.clone()));
    }

    /// Takes over what a plugin set or cancelled.
    pub(super) fn change(&mut self, key: &str, change: &[u32; 5], arena: &[u8]) {
        let [_, offset, length, low, high] = *change;
        let name = &arena[offset as usize..][..length as usize];
        let name = String::from_utf8(name.to_vec()).expect("a name is UTF-8");
        let timer = (key.to_owned(), name);
        if [low, high] == [NONE, NONE] {
            self.timers.remove(&timer);
        } else {
            let due = Duration::from_micros(u64::from(low) | u64::from(high) << 32);
            self.timers.insert(timer, due.max(self.now + AHEAD_MIN));
        }
    }
}

/// A time as two words, low one first.
pub(super) fn words(us: u64) -> [u32; 2] {
    [us & u64::from(NONE), us >> 32].map(|word| u32::try_from(word).unwrap_or(NONE))
}
