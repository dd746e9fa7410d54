//! A meter of a town: its registers, its clock, and what is planted in it.

use super::household::{Household, Used};
use super::{Planted, SECONDS_OF_DAY, Settings, chance};

/// How much of its energy a meter keeps whose consumption drops.
const DROP_KEEPS: f64 = 0.4;

#[derive(Debug)]
pub(super) struct Meter {
    pub(super) id: String,
    pub(super) household: Household,
    pub(super) plan: Option<Plan>,
    /// Seconds that its clock gains in a day.
    pub(super) drift: f64,
    pub(super) import_wh: u64,
    pub(super) export_wh: u64,
    pub(super) seq: u64,
    pub(super) last_wh: u64,
    pub(super) day: [u64; 24],
    pub(super) intervals: u64,
}

/// What is planted in a meter: intervals from, and to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) what: Planted,
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Meter {
    pub(super) fn new(n: usize, settings: &Settings, first: i64, intervals: i64) -> Self {
        let mut rng = chance(settings.seed, 7, n as u64);
        let household = Household::new(settings.seed, n);
        let plan = (rng.f64() < settings.planted).then(|| {
            let what = Planted::LONE[rng.usize(..Planted::LONE.len())];
            // A roof's energy flows backwards anyway.
            let what = if what == Planted::Reverse && household.exports() {
                Planted::Silent
            } else {
                what
            };
            let from = first + intervals * 2 / 5 + rng.i64(0..(intervals * 2 / 5).max(1));
            let hours = |hours: i64| (hours * 3600 / settings.interval_s).max(1);
            let to = match what {
                Planted::Spike => from + 1,
                Planted::Stuck => from + hours(3) + rng.i64(0..hours(9)),
                Planted::Silent => from + hours(25) + rng.i64(0..hours(24)),
                Planted::Reverse => from + hours(12),
                Planted::Drop | Planted::Battery | Planted::Outage => first + intervals,
            };
            Plan { what, from, to }
        });
        let drifts = rng.f64() < settings.drifting;
        Self {
            id: format!("m-{:06}", n + 1),
            household,
            plan,
            drift: if drifts { 40.0 * rng.f64() - 20.0 } else { 0.0 },
            import_wh: 1_000_000 * rng.u64(1..20),
            export_wh: 0,
            seq: 0,
            last_wh: 0,
            day: [0; 24],
            intervals: 0,
        }
    }

    pub(super) fn is_planted(&self, what: Planted, interval: i64) -> bool {
        self.plan.is_some_and(|plan| plan.what == what && (plan.from..plan.to).contains(&interval))
    }

    /// What is read, where something is planted.
    pub(super) fn planted(&self, used: Used, interval: i64, intervals_of_day: i64) -> Used {
        let Some(Plan { what, from, .. }) =
            self.plan.filter(|plan| self.is_planted(plan.what, interval))
        else {
            return used;
        };
        let Used { import_wh, export_wh } = used;
        let times = |factor: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some kWh")]
            let wh = (import_wh as f64 * factor) as u64;
            wh
        };
        match what {
            Planted::Spike => Used { import_wh: (import_wh * 10).max(3000), export_wh },
            Planted::Drop => {
                let passed = (interval - from) as f64 / (3 * intervals_of_day) as f64;
                Used { import_wh: times(1.0 - (1.0 - DROP_KEEPS) * passed.min(1.0)), export_wh }
            }
            Planted::Stuck => Used { import_wh: self.last_wh.max(1), export_wh },
            Planted::Reverse => Used { import_wh: 0, export_wh: export_wh + import_wh },
            Planted::Silent | Planted::Battery | Planted::Outage => used,
        }
    }

    pub(super) fn count(&mut self, used: Used) {
        self.seq += 1;
        self.import_wh += used.import_wh;
        self.export_wh += used.export_wh;
        self.last_wh = used.import_wh;
    }

    /// Its reading will come.
    pub(super) fn arrives(&mut self, start_s: i64, wh: u64) {
        let hour = start_s.rem_euclid(SECONDS_OF_DAY) / 3600;
        if let Some(of_hour) = usize::try_from(hour).ok().and_then(|hour| self.day.get_mut(hour)) {
            *of_hour += wh;
        }
        self.intervals += 1;
    }
}
