//! The three channels together.

use crate::bytes::{Reader, Writer};
use crate::rarity::Rarity;
use crate::tail::Tail;
use crate::tuning::Tuning;
use crate::usual::Usual;
use crate::volatility::Volatility;

/// Values before which nothing surprises.
const FIRST: u32 = 100;
/// Seconds of a day.
const DAY: usize = 86_400;
/// No statistic is larger: what is would stay in its tail for good.
const STATISTIC_MAX: f32 = 1e6;

/// What looks at a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Its distance from what is usual at that time of the day.
    TimeOfDay,
    /// How rarely such values came.
    Rarity,
    /// How much values change of late.
    Volatility,
}

/// What a value is in the light of those before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surprise {
    /// Bits by channel, in the order of [`Channel`].
    pub bits: [f32; 3],
    /// What was expected at that time of the day.
    pub expected: f32,
}

/// What is known of a series by its three channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Of the tuning that it is of: parts, cells, smoothed and changes. Of another it begins anew.
    shape: [u8; 4],
    values: u32,
    usual: Usual,
    rarity: Rarity,
    volatility: Volatility,
    tails: [Tail; 3],
}

// === impl Channel ===

impl Channel {
    /// All of them, in the order of their bits.
    pub const ALL: [Self; 3] = [Self::TimeOfDay, Self::Rarity, Self::Volatility];

    /// What configs and alerts call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TimeOfDay => "time_of_day",
            Self::Rarity => "rarity",
            Self::Volatility => "volatility",
        }
    }
}

// === impl Surprise ===

impl Surprise {
    /// All channels' bits.
    #[must_use]
    pub fn total(&self) -> f32 {
        self.bits.iter().sum()
    }

    /// The channel that is surprised most.
    #[must_use]
    pub fn channel(&self) -> Channel {
        let [time, rarity, volatility] = self.bits;
        if time >= rarity && time >= volatility {
            Channel::TimeOfDay
        } else if rarity >= volatility {
            Channel::Rarity
        } else {
            Channel::Volatility
        }
    }
}

// === impl Known ===

impl Known {
    /// Judges a value at that second of the day, then learns from it. It must be finite, and its square too.
    pub fn judge(&mut self, x: f32, second: u32, tuning: &Tuning) -> Surprise {
        let shape = tuning.shape();
        if self.shape != shape {
            *self = Self { shape, ..Self::default() };
        }
        let n = self.values;
        let part = second as usize % DAY * tuning.parts / DAY;
        let expected = self.usual.expected(part);
        let statistics = [
            self.usual.judge(x, part, n, tuning),
            self.rarity.judge(x, n, tuning),
            self.volatility.judge(x, n, tuning),
        ];
        let mut bits = [0.0; 3];
        for ((bits, tail), y) in bits.iter_mut().zip(&mut self.tails).zip(statistics) {
            let y = y.min(STATISTIC_MAX);
            if n >= FIRST {
                *bits = tail.bits(y, tuning);
            }
            tail.learn(y, n, tuning);
        }
        self.values = n.saturating_add(1);
        Surprise { bits, expected }
    }

    /// Values judged so far.
    #[must_use]
    pub fn values(&self) -> u32 {
        self.values
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.bytes(&self.shape);
        to.count(self.values);
        let [parts, cells, smoothed, changes] = self.shape.map(usize::from);
        self.usual.write(to, parts);
        self.rarity.write(to, cells, smoothed);
        self.volatility.write(to, changes);
        for tail in &self.tails {
            tail.write(to);
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let [parts, cells, smoothed, changes] = *from.bytes(4)? else { return None };
        let shape = [parts, cells, smoothed, changes];
        let [parts, cells, smoothed, changes] = shape.map(usize::from);
        Some(Self {
            shape,
            values: from.count()?,
            usual: Usual::read(from, parts)?,
            rarity: Rarity::read(from, cells, smoothed)?,
            volatility: Volatility::read(from, changes)?,
            tails: [Tail::read(from)?, Tail::read(from)?, Tail::read(from)?],
        })
    }
}
