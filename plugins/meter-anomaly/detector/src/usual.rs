//! What is usual at that time of the day, and how far a value lies from it.

use crate::Tuning;
use crate::bytes::{Reader, Writer};

/// Parts of the day, at the most.
pub const PARTS_MAX: usize = 48;
/// Values before which no distance is told.
const FIRST: u32 = 20;

/// What is usual at each time of the day.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Usual {
    /// Mean at any time.
    mean: f32,
    /// Usual distance from it.
    distance: f32,
    means: [f32; PARTS_MAX],
    distances: [f32; PARTS_MAX],
    /// Values of each part, up to 255: beyond, the least shares rule.
    counts: [u8; PARTS_MAX],
}

impl Default for Usual {
    fn default() -> Self {
        Self {
            mean: 0.0,
            distance: 0.0,
            means: [0.0; PARTS_MAX],
            distances: [0.0; PARTS_MAX],
            counts: [0; PARTS_MAX],
        }
    }
}

impl Usual {
    /// What is expected in that part of the day.
    pub(crate) fn expected(&self, part: usize) -> f32 {
        if self.counts[part] > 0 { self.means[part] } else { self.mean }
    }

    /// Distance of the `n`th value from what is expected, in usual distances; then learns from it.
    pub(crate) fn judge(&mut self, x: f32, part: usize, n: u32, tuning: &Tuning) -> f32 {
        if n == 0 {
            self.mean = x;
        }
        let off = x - self.expected(part);
        let count = f32::from(self.counts[part]);
        let own = (count * self.distances[part] + self.distance) / (count + 1.0);
        let usual = tuning.widened * self.distance + own + tuning.resolution + f32::MIN_POSITIVE;
        let z = if n > FIRST { off.abs() / usual } else { 0.0 };
        let far = if n > FIRST { tuning.outlier * usual } else { f32::MAX };
        self.learn(off.clamp(-far, far), part, n, tuning);
        z
    }

    /// Learns what lies that far from what was expected.
    fn learn(&mut self, off: f32, part: usize, n: u32, tuning: &Tuning) {
        let x = self.expected(part) + off;
        self.counts[part] = self.counts[part].saturating_add(1);
        let share = 1.0 / f32::from(self.counts[part]);
        self.means[part] += tuning.learn_mean.max(share) * (x - self.means[part]);
        self.distances[part] +=
            tuning.learn_distance.max(share) * (off.abs() - self.distances[part]);
        let share = tuning.learn_all.max(1.0 / (n as f32 + 1.0));
        self.distance += share * ((x - self.mean).abs() - self.distance);
        self.mean += share * (x - self.mean);
    }

    pub(crate) fn write(&self, to: &mut Writer, parts: usize) {
        to.floats(&[self.mean, self.distance]);
        to.floats(&self.means[..parts]);
        to.floats(&self.distances[..parts]);
        to.bytes(&self.counts[..parts]);
    }

    pub(crate) fn read(from: &mut Reader<'_>, parts: usize) -> Option<Self> {
        let [mean, distance] = from.some_floats()?;
        let mut usual = Self { mean, distance, ..Self::default() };
        from.floats(usual.means.get_mut(..parts)?)?;
        from.floats(usual.distances.get_mut(..parts)?)?;
        usual.counts.get_mut(..parts)?.copy_from_slice(from.bytes(parts)?);
        Some(usual)
    }
}
