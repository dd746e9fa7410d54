//! How rarely such values came: a histogram over the range seen so far.

use crate::Tuning;
use crate::bytes::{Reader, Writer};

/// Cells of the histogram, at the most.
pub const CELLS_MAX: usize = 64;
/// Values that the statistic is the mean of, at the most.
pub const SMOOTHED_MAX: usize = 8;

/// A histogram of all values, and how rare the last few were.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rarity {
    low: f32,
    high: f32,
    counts: [f32; CELLS_MAX],
    recent: [f32; SMOOTHED_MAX],
}

impl Default for Rarity {
    fn default() -> Self {
        Self { low: 0.0, high: 0.0, counts: [0.0; CELLS_MAX], recent: [0.0; SMOOTHED_MAX] }
    }
}

impl Rarity {
    /// Mean rarity, in bits, of the last few values, of which this is the `n`th; then learns it.
    pub(crate) fn judge(&mut self, x: f32, n: u32, tuning: &Tuning) -> f32 {
        let Tuning { cells, smoothed, .. } = *tuning;
        if n == 0 {
            (self.low, self.high) = (x, x);
        }
        let counts = &mut self.counts[..cells];
        let width = self.high - self.low;
        let inside = (self.low..=self.high).contains(&x);
        let bits = if inside {
            let cell = cell_of(x - self.low, width, cells);
            let (below, above) = (cell.saturating_sub(1), (cell + 1).min(cells - 1));
            let near =
                counts[cell] + tuning.beside * (counts[below] + counts[above]) + tuning.prior;
            counts[cell] += 1.0;
            ((n as f32 + 1.0) / near).log2()
        } else {
            let place = (x - self.low) / width - 0.5;
            let outside = if place.is_finite() { tuning.outside * place.abs() } else { f32::MAX };
            let (low, high) = (self.low.min(x), self.high.max(x));
            widen(counts, (self.low, width), (low, high - low));
            (self.low, self.high) = (low, high);
            counts[cell_of(x - low, high - low, cells)] += 1.0;
            (n as f32 + 1.0).log2() + outside.min(tuning.outside_max)
        };
        let recent = &mut self.recent[..smoothed];
        recent[n as usize % smoothed] = bits;
        recent.iter().sum::<f32>() / smoothed as f32
    }

    pub(crate) fn write(&self, to: &mut Writer, cells: usize, smoothed: usize) {
        to.floats(&[self.low, self.high]);
        to.floats(&self.counts[..cells]);
        to.floats(&self.recent[..smoothed]);
    }

    pub(crate) fn read(from: &mut Reader<'_>, cells: usize, smoothed: usize) -> Option<Self> {
        let [low, high] = from.some_floats()?;
        let mut rarity = Self { low, high, ..Self::default() };
        from.floats(rarity.counts.get_mut(..cells)?)?;
        from.floats(rarity.recent.get_mut(..smoothed)?)?;
        Some(rarity)
    }
}

/// The cell of what lies that far from the low end of a range of that width.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the cells")]
fn cell_of(from_low: f32, width: f32, cells: usize) -> usize {
    let share = if width > 0.0 { from_low / width } else { 0.0 };
    ((share * cells as f32).max(0.0) as usize).min(cells - 1)
}

/// Moves the counts to a wider range, each by its cell's centre.
fn widen(counts: &mut [f32], (low, width): (f32, f32), (to_low, to_width): (f32, f32)) {
    let cells = counts.len();
    let mut moved = [0.0; CELLS_MAX];
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let centre = low + (at as f32 + 0.5) * width / cells as f32;
        moved[cell_of(centre - to_low, to_width, cells)] += count;
    }
    counts.copy_from_slice(&moved[..cells]);
}
