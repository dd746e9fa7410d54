//! How much values change from one to the next, beside how much they usually do.

use crate::Tuning;
use crate::bytes::{Reader, Writer};

/// Changes that are looked at together, at the most.
pub const CHANGES_MAX: usize = 64;
/// The last changes, and the usual one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Volatility {
    previous: f32,
    usual: f32,
    recent: [f32; CHANGES_MAX],
}

impl Default for Volatility {
    fn default() -> Self {
        Self { previous: 0.0, usual: 0.0, recent: [0.0; CHANGES_MAX] }
    }
}

impl Volatility {
    /// `|ln|` of the ratio between the mean of the last changes and the usual one; then learns.
    pub(crate) fn judge(&mut self, x: f32, n: u32, tuning: &Tuning) -> f32 {
        let window = tuning.changes;
        let change = (x - self.previous).abs();
        self.previous = x;
        if n == 0 {
            return 0.0;
        }
        let recent = &mut self.recent[..window];
        recent[n as usize % window] = change;
        let mean = recent.iter().sum::<f32>() / window as f32;
        let floor = tuning.calm * self.usual + tuning.resolution;
        let ratio = if n as usize > window && self.usual + floor > 0.0 {
            ((mean + floor) / (self.usual + floor)).ln().abs()
        } else {
            0.0
        };
        self.usual += tuning.learn_change.max(1.0 / n as f32) * (change - self.usual);
        ratio
    }

    pub(crate) fn write(&self, to: &mut Writer, window: usize) {
        to.floats(&[self.previous, self.usual]);
        to.floats(&self.recent[..window]);
    }

    pub(crate) fn read(from: &mut Reader<'_>, window: usize) -> Option<Self> {
        let [previous, usual] = from.some_floats()?;
        let mut volatility = Self { previous, usual, ..Self::default() };
        from.floats(volatility.recent.get_mut(..window)?)?;
        Some(volatility)
    }
}
