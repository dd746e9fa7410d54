//! What the channels are set to.

use crate::{CELLS_MAX, CHANGES_MAX, PARTS_MAX, SMOOTHED_MAX};

/// What the three channels are set to. The default is what was best on the Numenta Anomaly Benchmark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Parts of the day with a usual value each, 1 to [`PARTS_MAX`].
    pub parts: usize,
    /// Cells of the histogram, 2 to [`CELLS_MAX`].
    pub cells: usize,
    /// Values whose rarity is averaged, 1 to [`SMOOTHED_MAX`].
    pub smoothed: usize,
    /// Changes that are averaged, 1 to [`CHANGES_MAX`].
    pub changes: usize,
    /// The smallest difference that means something, in the series' unit.
    pub resolution: f32,
    /// Share of a statistic's values that are its tail.
    pub tail: f32,
    /// Shape of a tail beyond which a single outlier would make every later one look usual.
    pub shape_max: f32,
    /// No value teaches more than one that is so many times as far off as usual, lest a spike hide the next one.
    pub outlier: f32,
    /// Share of a new value in what is known of a tail, at the least.
    pub learn_tail: f32,
    /// Share of a new value in the mean of its part of the day, at the least.
    pub learn_mean: f32,
    /// The same in the usual distance from it.
    pub learn_distance: f32,
    /// The same in what is usual at any time.
    pub learn_all: f32,
    /// Share of the distance at any time by which every part's own is widened.
    pub widened: f32,
    /// What a cell's neighbours count for it.
    pub beside: f32,
    /// What a cell counts before anything came.
    pub prior: f32,
    /// Bits for each width of the range that a value lies away from its middle, once outside.
    pub outside: f32,
    /// The most of these.
    pub outside_max: f32,
    /// Share of a new change in the usual one, at the least.
    pub learn_change: f32,
    /// Share of the usual change that is added to both, so that no rest is infinitely calm.
    pub calm: f32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            parts: 36,
            cells: 30,
            smoothed: 6,
            changes: 42,
            resolution: 0.0,
            tail: 0.02,
            shape_max: 0.65,
            outlier: 8.5,
            learn_tail: 0.001,
            learn_mean: 0.08,
            learn_distance: 0.04,
            learn_all: 0.0026,
            widened: 0.025,
            beside: 0.7,
            prior: 1.7,
            outside: 7.0,
            outside_max: 2.5,
            learn_change: 0.00006,
            calm: 0.33,
        }
    }
}

impl Tuning {
    /// Within the bounds of what a series has room for.
    #[must_use]
    pub fn bounded(self) -> Self {
        Self {
            parts: self.parts.clamp(1, PARTS_MAX),
            cells: self.cells.clamp(2, CELLS_MAX),
            smoothed: self.smoothed.clamp(1, SMOOTHED_MAX),
            changes: self.changes.clamp(1, CHANGES_MAX),
            ..self
        }
    }

    /// What says how much a series keeps.
    pub(crate) fn shape(&self) -> [u8; 4] {
        [self.parts, self.cells, self.smoothed, self.changes]
            .map(|size| u8::try_from(size).unwrap_or(u8::MAX))
    }
}
