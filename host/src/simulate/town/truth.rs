//! What was planted, and what became of messages on their way: what a pipeline's findings are compared with.

use serde::Serialize;

/// A line of the ground truth. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "truth", rename_all = "snake_case")]
pub enum Truth {
    /// Something that ought to be found.
    Planted {
        /// What it is.
        what: Planted,
        /// The meter, or the transformer of an outage.
        of: String,
        /// When it begins.
        from: i64,
        /// When it is over.
        to: i64,
    },
    /// A reading that never came.
    Lost {
        /// Whose it was.
        meter: String,
        /// The beginning of its interval.
        start: i64,
    },
    /// A reading that came so many seconds late.
    Late {
        /// Whose it was.
        meter: String,
        /// The beginning of its interval.
        start: i64,
        /// How late.
        seconds: i64,
    },
    /// A reading that came twice.
    Twice {
        /// Whose it was.
        meter: String,
        /// The beginning of its interval.
        start: i64,
    },
    /// What came of a meter on a day of UTC.
    Day {
        /// Whose it is.
        meter: String,
        /// The beginning of the day.
        start: i64,
        /// Watt hours of each hour.
        wh: [u64; 24],
        /// Intervals that came.
        intervals: u64,
    },
}

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Planted {
    /// An interval of ten times the energy.
    Spike,
    /// Energy that falls by 60 % within three days, and stays there.
    Drop,
    /// Three hours and more of the same energy.
    Stuck,
    /// A day and more without a message.
    Silent,
    /// Energy that flows backwards through a meter that only draws.
    Reverse,
    /// A battery that falls by 20 mV a day.
    Battery,
    /// A transformer without power.
    Outage,
}

impl Planted {
    /// What single meters come upon.
    pub(super) const LONE: [Self; 6] =
        [Self::Spike, Self::Drop, Self::Stuck, Self::Silent, Self::Reverse, Self::Battery];
}
