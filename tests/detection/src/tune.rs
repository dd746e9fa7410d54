//! Looks for parameters that score well on the whole benchmark, threshold included: in-sample. That is how the
//! defaults were found, and it says nothing of other data; [`crate::held_out`] does.

use fastrand::Rng;
use meter_detector::Alarms;

use crate::knobs::KNOBS;
use crate::nab::{Corpus, PROFILES};
use crate::series::{Setup, alarms, bits};

/// Thresholds, in bits: the first, the step, how many.
const THRESHOLDS: (f32, f32, usize) = (10.0, 0.5, 28);
/// What a step multiplies a parameter by.
const FACTORS: [f32; 6] = [0.5, 0.7, 0.85, 1.18, 1.4, 2.0];

/// A setup and what it comes to.
#[derive(Clone, Copy, Debug)]
pub struct Scored {
    /// The parameters.
    pub setup: Setup,
    /// The scores, by profile.
    pub scores: [f64; 3],
    /// What is climbed: the worst of the profiles' leads over the published entries and a third of all of them,
    /// averaged with the neighbouring thresholds'.
    pub mark: f64,
}

/// The best published score of each profile.
const PUBLISHED: [f64; 3] = [74.9, 67.0, 80.4];

/// Scores of one run of alarms, each at the threshold that is best for its profile.
#[must_use]
pub fn scores(corpus: &Corpus, rows: &[Vec<(usize, f32)>]) -> [f64; 3] {
    PROFILES.map(|profile| corpus.sweep(rows, &profile).1.score(&profile))
}

/// A setup at its best threshold.
#[must_use]
pub fn score(corpus: &Corpus, setup: &Setup) -> Scored {
    let bits = bits(corpus, &setup.tuning);
    let threshold = |step: usize| THRESHOLDS.0 + THRESHOLDS.1 * step as f32;
    let scores: Vec<[f64; 3]> = (0..THRESHOLDS.2)
        .map(|step| Alarms { threshold: threshold(step), ..setup.alarms })
        .map(|settings| scores(corpus, &alarms(&bits, &settings)))
        .collect();
    let lead = |scores: &[f64; 3]| {
        let leads = [0, 1, 2].map(|at| scores[at] - PUBLISHED[at]);
        0.7 * leads.into_iter().fold(f64::MAX, f64::min) + 0.1 * leads.iter().sum::<f64>()
    };
    let mut best = Scored { setup: *setup, scores: [0.0; 3], mark: f64::MIN };
    for (at, three) in scores.windows(3).enumerate() {
        let mark = (lead(&three[0]) + 2.0 * lead(&three[1]) + lead(&three[2])) / 4.0;
        if mark > best.mark {
            let alarms = Alarms { threshold: threshold(at + 1), ..setup.alarms };
            let setup = Setup { alarms, ..*setup };
            best = Scored { setup, scores: three[1], mark };
        }
    }
    best
}

/// Climbs from a setup for so many steps, each changing one to three parameters; tells each that is better.
pub fn climb(corpus: &Corpus, from: Setup, steps: usize, seed: u64, tell: &mut dyn FnMut(&Scored)) {
    let mut random = Rng::with_seed(seed);
    let mut best = score(corpus, &from);
    tell(&best);
    for _ in 0..steps {
        let mut setup = best.setup;
        for _ in 0..random.usize(1..=3) {
            let knob = &KNOBS[random.usize(..KNOBS.len())];
            let value = knob.get(&setup) * FACTORS[random.usize(..FACTORS.len())];
            knob.set(&mut setup, value);
        }
        let scored = score(corpus, &setup);
        if scored.mark > best.mark {
            best = scored;
            tell(&best);
        }
    }
}
