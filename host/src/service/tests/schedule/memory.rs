//! What the double keeps of a key at a stage, as text, so that a schedule's trace can be read.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::timer_of;

/// `1,2,5|2|5`: messages that it saw, those of them whose timers came, and those whose timers wait, by names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) seen: Vec<u32>,
    pub(super) rung: Vec<u32>,
    pub(super) waits: BTreeMap<String, u32>,
}

impl Memory {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut parts = text.split('|');
        let mut ids = || -> Vec<u32> {
            let ids = parts.next().unwrap_or_default().split(',').filter(|id| !id.is_empty());
            ids.map(|id| id.parse().unwrap()).collect()
        };
        let (seen, rung) = (ids(), ids());
        let waits = ids().into_iter().map(|id| (timer_of(id), id)).collect();
        Self { seen, rung, waits }
    }

    pub(super) fn listed(ids: &[u32]) -> String {
        ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits: Vec<u32> = self.waits.values().copied().collect();
        write!(
            f,
            "{}|{}|{}",
            Self::listed(&self.seen),
            Self::listed(&self.rung),
            Self::listed(&waits)
        )
    }
}
