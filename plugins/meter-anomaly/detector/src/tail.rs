//! How surprising a statistic is, in bits: the tail of its own past.
//!
//! The values above a high quantile follow a generalised Pareto distribution (Pickands 1975), whatever the
//! statistic is; its shape comes from the excesses' mean and variance by the method of moments (Hosking and
//! Wallis 1987): `k = (1 - m²/v) / 2`, `scale = m (1 - k)`. Quantile and moments are followed one value at a
//! time, so that they forget.

use crate::Tuning;
use crate::bytes::{Reader, Writer};

/// Excesses up to which all of them count in full.
const FEW: u32 = 4;

/// A statistic's tail.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tail {
    /// Where the tail begins.
    from: f32,
    /// How large the statistic usually is.
    size: f32,
    /// Mean of the excesses over `from`.
    mean: f32,
    /// Variance of the excesses.
    variance: f32,
    excesses: u32,
}

impl Tail {
    /// Bits of surprise: `-log2` of how often at least that much is to be expected. 0 where it is no tail.
    pub(crate) fn bits(&self, y: f32, tuning: &Tuning) -> f32 {
        if y <= self.from || self.mean <= 0.0 {
            return 0.0;
        }
        let shape = if self.variance > 0.0 {
            (0.5 * (1.0 - self.mean * self.mean / self.variance)).clamp(0.0, tuning.shape_max)
        } else {
            0.0
        };
        let over = (y - self.from) / (self.mean * (1.0 - shape));
        let beyond = if shape < 1e-4 {
            over * std::f32::consts::LOG2_E
        } else {
            (1.0 + shape * over).log2() / shape
        };
        beyond - tuning.tail.log2()
    }

    /// Learns from the `n`th value, from 0.
    pub(crate) fn learn(&mut self, y: f32, n: u32, tuning: &Tuning) {
        let share = tuning.learn_tail.max(1.0 / (n as f32 + 1.0));
        self.size += share * (y - self.size);
        let step = share.max(0.01) * self.size;
        self.from += if y > self.from { step * (1.0 - tuning.tail) } else { -step * tuning.tail };
        self.from = self.from.max(0.0);
        if y > self.from {
            self.excesses = self.excesses.saturating_add(1);
            let share = (tuning.learn_tail / tuning.tail).max(1.0 / (self.excesses as f32 + 1.0));
            let mut excess = y - self.from;
            if self.excesses > FEW {
                excess = excess.min(tuning.outlier * self.mean);
            }
            let off = excess - self.mean;
            self.mean += share * off;
            self.variance = (1.0 - share) * (self.variance + share * off * off);
        }
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.floats(&[self.from, self.size, self.mean, self.variance]);
        to.count(self.excesses);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let [start, size, mean, variance] = from.some_floats()?;
        Some(Self { from: start, size, mean, variance, excesses: from.count()? })
    }
}
