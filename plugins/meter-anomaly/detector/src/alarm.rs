//! When surprise is an alarm: at a threshold, once per event, and less readily after each.

use crate::bytes::{Reader, Writer};

/// What makes an alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarms {
    /// Bits of surprise from which there is one.
    pub threshold: f32,
    /// Bits that each alarm of late adds to the threshold.
    pub habit: f32,
    /// Values after which an alarm weighs `1/e` of what it did.
    pub forgotten: f32,
    /// Values after an alarm in which there is no other.
    pub rest: u32,
    /// Bits that one must have more than the last one, to be another all the same.
    pub louder: f32,
}

impl Default for Alarms {
    fn default() -> Self {
        Self { threshold: 20.0, habit: 1.5, forgotten: 200.0, rest: 30, louder: 10.0 }
    }
}

/// The alarms of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alarm {
    /// How many, each weighing less with time.
    recent: f32,
    /// Values since the last one, or since the first value, and 1.
    since: u32,
    /// Whether there was one.
    any: bool,
    /// Its bits.
    last: f32,
}

impl Alarm {
    /// Bits less what alarms of late have made usual, where that is an alarm. To be asked of every value.
    pub fn fires(&mut self, bits: f32, settings: &Alarms) -> Option<f32> {
        // (1 - 1/n)^n is close to 1/e.
        self.recent *= 1.0 - 1.0 / settings.forgotten;
        self.since = self.since.saturating_add(1);
        let net = bits - settings.habit * self.recent;
        let rested = self.since > settings.rest || bits >= self.last + settings.louder;
        if net < settings.threshold || (self.any && !rested) {
            return None;
        }
        *self = Self { recent: self.recent + 1.0, since: 0, any: true, last: bits };
        Some(net)
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.floats(&[self.recent, self.last]);
        to.count(self.since);
        to.bytes(&[u8::from(self.any)]);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let [recent, last] = from.some_floats()?;
        Some(Self { recent, since: from.count()?, any: from.bytes(1)? != [0], last })
    }
}
