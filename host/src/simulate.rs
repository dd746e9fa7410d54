//! A simulated fleet of meters, for the demo and for load: pure, endless, the same for the same seed.
//!
//! [`Fleet`] yields messages in the fleet's own time, which runs as fast as they are taken.
//! Each meter reads itself every half hour and says how it is now and then. Among
//! that are planted, in known shares: consumption that leaps ([`Plant::Spike`]), faults that meters
//! report ([`Plant::Fault`]; a transformer that fails takes its meters along), and messages that no
//! plugin should accept ([`Plant::Bad`]). Each message says what was planted in it, so that what is
//! found can be compared with what was there.
//!
//! [`town`] is a larger one, of any size and over years, for load and for figures.

mod body;
mod fleet;
mod meter;
pub mod town;

pub use fleet::Fleet;
pub use meter::{Encoding, REGIONS};

use crate::broker::Outgoing;

/// The exchange that a fleet publishes to.
pub const EXCHANGE: &str = "meters";

/// A message of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// The message. Its correlation id is its message id, which what follows from it inherits.
    pub message: Outgoing,
    /// What was planted in it.
    pub planted: Option<Plant>,
}

/// Something that ought to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Plant {
    /// A reading of many times the usual consumption.
    Spike,
    /// An event that reports a fault.
    Fault(Fault),
    /// A message that must not get through.
    Bad(Bad),
}

/// What meters report of themselves and of their line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The last gasp of a meter without power.
    PowerLoss,
    /// Power is back.
    PowerRestore,
    /// Voltage below what the standard allows.
    VoltageSag,
    /// Voltage above it.
    VoltageSwell,
    /// The cover was opened.
    Tamper,
    /// A magnet is near.
    MagneticField,
    /// Energy flows the wrong way.
    ReverseEnergy,
    /// The battery wants replacing.
    BatteryLow,
    /// The clock isn't to be trusted.
    ClockInvalid,
}

/// How a message can be bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bad {
    /// JSON that ends in the middle.
    Cut,
    /// Consumption below zero.
    NegativeKwh,
    /// Nobody's reading.
    NoMeter,
    /// Text where a number belongs.
    WrongType,
    /// A content type that nobody can decode.
    WrongContentType,
    /// Nothing at all.
    Empty,
}

/// What was sent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Readings, bad ones included.
    pub readings: u64,
    /// Events.
    pub events: u64,
    /// Reports of a meter's own state.
    pub statuses: u64,
    /// Planted spikes.
    pub spikes: u64,
    /// Planted faults.
    pub faults: u64,
    /// Planted bad messages.
    pub bad: u64,
}

// === impl Fault ===

impl Fault {
    /// Every fault that a meter comes upon by itself.
    pub const LONE: [Self; 7] = [
        Self::VoltageSag,
        Self::VoltageSwell,
        Self::Tamper,
        Self::MagneticField,
        Self::ReverseEnergy,
        Self::BatteryLow,
        Self::ClockInvalid,
    ];

    /// Its name in an event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PowerLoss => "power_loss",
            Self::PowerRestore => "power_restored",
            Self::VoltageSag => "voltage_sag",
            Self::VoltageSwell => "voltage_swell",
            Self::Tamper => "tamper",
            Self::MagneticField => "magnetic_field",
            Self::ReverseEnergy => "reverse_energy",
            Self::BatteryLow => "battery_low",
            Self::ClockInvalid => "clock_invalid",
        }
    }
}

// === impl Bad ===

impl Bad {
    /// Every way.
    pub const ALL: [Self; 6] = [
        Self::Cut,
        Self::NegativeKwh,
        Self::NoMeter,
        Self::WrongType,
        Self::WrongContentType,
        Self::Empty,
    ];
}
