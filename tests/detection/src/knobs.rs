//! What can be tuned, and within which bounds it is looked for.

use fastrand::Rng;

use crate::series::Setup;

/// Something to tune.
pub struct Knob {
    /// Its name in [`meter_detector::Tuning`] or [`meter_detector::Alarms`].
    pub name: &'static str,
    /// The least and the most that is tried.
    pub bounds: (f32, f32),
    /// It is a whole number.
    whole: bool,
    get: fn(&Setup) -> f32,
    set: fn(&mut Setup, f32),
}

macro_rules! knob {
    ($group:ident.$name:ident, $low:literal..$high:literal) => {
        Knob {
            name: stringify!($name),
            bounds: ($low, $high),
            whole: false,
            get: |setup| setup.$group.$name,
            set: |setup, value| setup.$group.$name = value,
        }
    };
    ($group:ident.$name:ident: $type:ty, $low:literal..$high:literal) => {
        Knob {
            name: stringify!($name),
            bounds: ($low, $high),
            whole: true,
            get: |setup| setup.$group.$name as f32,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded")]
            set: |setup, value| setup.$group.$name = value.round() as $type,
        }
    };
}

/// All knobs. The bounds were set once, around what such shares, counts and bits can sensibly be.
pub const KNOBS: [Knob; 20] = [
    knob!(tuning.parts: usize, 24.0..48.0),
    knob!(tuning.cells: usize, 24.0..64.0),
    knob!(tuning.smoothed: usize, 3.0..8.0),
    knob!(tuning.changes: usize, 18.0..64.0),
    knob!(tuning.tail, 0.01..0.05),
    knob!(tuning.shape_max, 0.2..0.8),
    knob!(tuning.outlier, 5.0..40.0),
    knob!(tuning.learn_tail, 0.0002..0.005),
    knob!(tuning.learn_mean, 0.02..0.2),
    knob!(tuning.learn_distance, 0.01..0.1),
    knob!(tuning.learn_all, 0.0005..0.01),
    knob!(tuning.widened, 0.01..0.2),
    knob!(tuning.beside, 0.25..1.0),
    knob!(tuning.prior, 0.25..2.0),
    knob!(tuning.outside, 2.0..20.0),
    knob!(tuning.outside_max, 2.0..10.0),
    knob!(tuning.learn_change, 0.00005..0.005),
    knob!(tuning.calm, 0.05..0.5),
    knob!(alarms.habit, 0.5..4.0),
    knob!(alarms.rest: u32, 15.0..100.0),
];

impl Knob {
    /// What it is set to.
    #[must_use]
    pub fn get(&self, setup: &Setup) -> f32 {
        (self.get)(setup)
    }

    /// Sets it, within its bounds.
    pub fn set(&self, setup: &mut Setup, value: f32) {
        let value = value.clamp(self.bounds.0, self.bounds.1);
        (self.set)(setup, if self.whole { value.round() } else { value });
    }

    /// Any value within the bounds; every factor is as likely.
    pub fn any(&self, random: &mut Rng) -> f32 {
        let (low, high) = (self.bounds.0.ln(), self.bounds.1.ln());
        (low + random.f32() * (high - low)).exp()
    }
}
