//! The statistics by which `meter-anomaly` finds what is unusual. Pure functions of a series' past, in
//! memory that doesn't grow and in time that doesn't either; no SDK, so that whatever judges or tunes
//! them runs them as they are.
//!
//! Three channels look at each value: how far it is from what is usual at that time of the day
//! ([`Channel::TimeOfDay`]), how rarely such values came ([`Channel::Rarity`]), and whether values change
//! more or less than they did ([`Channel::Volatility`]). Each one's statistic becomes bits of surprise by the
//! tail of its own past; the bits are added. Two more look at what no single value shows: a lasting
//! change ([`Change`]), and a value that stays the same ([`Judged::stuck`]). `docs/detection.md` has the
//! formulas with their sources, and what they find.

mod alarm;
mod bytes;
mod known;
mod rarity;
mod series;
mod slow;
mod stuck;
mod tail;
mod tuning;
mod usual;
mod volatility;

pub use alarm::{Alarm, Alarms};
pub use bytes::{Reader, Writer};
pub use known::{Channel, Known, Surprise};
pub use rarity::{CELLS_MAX, SMOOTHED_MAX};
pub use series::{Judged, Moment, Series, Settings};
pub use slow::Change;
pub use tuning::Tuning;
pub use usual::PARTS_MAX;
pub use volatility::CHANGES_MAX;

/// Seconds of a day.
const DAY_S: i64 = 86_400;
