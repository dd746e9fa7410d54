//! A value that stays the same for longer than this series' values do.

use crate::bytes::{Reader, Writer};

/// How often a series must have had a run as long before that is usual: as long again, and more.
const TIMES: u32 = 2;
/// Share of the longest run that is forgotten with each value that is another.
const FORGET: f32 = 0.0005;

/// The same value, and how often in a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stuck {
    value: f32,
    run: u32,
    /// The longest run of late, forgotten slowly.
    longest: f32,
}

impl Stuck {
    /// How often in a row the value has come, at the moment that it is `runs` or twice the longest run of late,
    /// whichever is more. Told once a run.
    pub(crate) fn judge(&mut self, x: f32, runs: u32) -> Option<u32> {
        if x.to_bits() != self.value.to_bits() || self.run == 0 {
            self.longest = (self.longest * (1.0 - FORGET)).max(self.run as f32);
            (self.value, self.run) = (x, 1);
            return None;
        }
        self.run = self.run.saturating_add(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a run's length"
        )]
        let usual = (self.longest.round() as u32).saturating_mul(TIMES);
        (self.run == runs.max(usual.saturating_add(1))).then_some(self.run)
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.floats(&[self.value, self.longest]);
        to.count(self.run);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let [value, longest] = from.some_floats()?;
        Some(Self { value, longest, run: from.count()? })
    }
}
