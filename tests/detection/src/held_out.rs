//! What the benchmark's score is where neither parameters nor threshold were chosen on the files that are scored.
//!
//! The procedure, which was fixed before it was run: leave one category out. [`DRAWS`] sets of parameters are
//! drawn at random within the bounds of [`KNOBS`]. Each is scored on the other six categories at each
//! threshold, standard profile; its mark is the best of these scores, each averaged with its neighbours' by
//! (1, 2, 1) / 4, so that a lucky peak counts less. The parameters are the geometric means of the [`BEST`] draws
//! of the highest mark; the threshold is that with the best averaged score of these parameters on the six
//! categories. They are then scored on the category left out. The score is that of the seven together.

use fastrand::Rng;
use meter_detector::Alarms;

use crate::knobs::KNOBS;
use crate::nab::{Corpus, PROFILES, Tally};
use crate::series::{Setup, alarms, bits};

/// Sets of parameters that are drawn.
pub const DRAWS: usize = 1500;
/// Of these, so many are averaged.
pub const BEST: usize = 20;
/// Thresholds, in bits: the first, the step, how many.
const THRESHOLDS: (f32, f32, usize) = (8.0, 0.5, 45);
/// What the draws start from.
const SEED: u64 = 1;

/// A category's part.
#[derive(Clone, Debug)]
pub struct Left {
    /// What was left out.
    pub category: String,
    /// What was chosen on the others.
    pub setup: Setup,
    /// What that comes to on the category, by profile.
    pub tallies: [Tally; 3],
}

/// By threshold and category, what the standard profile makes of a setup.
type Curve = Vec<Vec<Tally>>;

/// Runs the procedure.
#[must_use]
pub fn run(corpus: &Corpus, threads: usize) -> Vec<Left> {
    let mut random = Rng::with_seed(SEED);
    let draws: Vec<Setup> = (0..DRAWS).map(|_| draw(&mut random)).collect();
    let curves = all(&draws, threads, |setup| curve(corpus, setup));
    let categories = corpus.categories();
    let mut left = Vec::new();
    for (at, category) in categories.iter().enumerate() {
        let mut marks: Vec<(f64, usize)> =
            curves.iter().enumerate().map(|(draw, curve)| (best(curve, at).0, draw)).collect();
        marks.sort_by(|a, b| b.0.total_cmp(&a.0));
        let chosen: Vec<&Setup> = marks[..BEST].iter().map(|(_, draw)| &draws[*draw]).collect();
        let mut setup = mean(&chosen);
        setup.alarms.threshold = threshold(best(&curve(corpus, &setup), at).1);
        let rows = alarms(&bits(corpus, &setup.tuning), &setup.alarms);
        let tallies = PROFILES.map(|profile| {
            let files = corpus.files.iter().zip(&rows);
            let files = files.filter(|(file, _)| file.category == *category);
            let tallies =
                files.map(|(file, rows)| file.tally(rows.iter().map(|row| row.0), &profile));
            tallies.fold(Tally::default(), Tally::and)
        });
        left.push(Left { category: (*category).to_owned(), setup, tallies });
    }
    left
}

fn draw(random: &mut Rng) -> Setup {
    let mut setup = Setup::default();
    KNOBS.iter().for_each(|knob| knob.set(&mut setup, knob.any(random)));
    setup
}

fn mean(setups: &[&Setup]) -> Setup {
    let mut mean = Setup::default();
    for knob in &KNOBS {
        let logs: f32 = setups.iter().map(|setup| knob.get(setup).ln()).sum();
        knob.set(&mut mean, (logs / setups.len() as f32).exp());
    }
    mean
}

fn threshold(step: usize) -> f32 {
    THRESHOLDS.0 + THRESHOLDS.1 * step as f32
}

fn curve(corpus: &Corpus, setup: &Setup) -> Curve {
    let bits = bits(corpus, &setup.tuning);
    let categories = corpus.categories();
    let at_threshold = |step| {
        let rows = alarms(&bits, &Alarms { threshold: threshold(step), ..setup.alarms });
        let mut tallies = vec![Tally::default(); categories.len()];
        for (file, rows) in corpus.files.iter().zip(rows) {
            let tally = file.tally(rows.into_iter().map(|row| row.0), &PROFILES[0]);
            if let Some(at) = categories.iter().position(|category| *category == file.category) {
                tallies[at] = tallies[at].and(tally);
            }
        }
        tallies
    };
    (0..THRESHOLDS.2).map(at_threshold).collect()
}

/// The best averaged score without that category, and the step of its threshold.
fn best(curve: &Curve, without: usize) -> (f64, usize) {
    let score = |tallies: &Vec<Tally>| {
        let others = tallies.iter().enumerate().filter(|(at, _)| *at != without);
        others.map(|(_, tally)| *tally).fold(Tally::default(), Tally::and).score(&PROFILES[0])
    };
    let scores: Vec<f64> = curve.iter().map(score).collect();
    let averaged = scores.windows(3).map(|three| (three[0] + 2.0 * three[1] + three[2]) / 4.0);
    let averaged = averaged.enumerate().map(|(at, score)| (score, at + 1));
    averaged.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
}

/// Does something with each, on several threads; in order.
fn all<T: Sync, U: Send>(of: &[T], threads: usize, does: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let part = of.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let does = &does;
        let parts = of.chunks(part);
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(does).collect::<Vec<U>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}
