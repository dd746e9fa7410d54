//! How contenders are compared.
//!
//! A figure alone says little on a machine that others use. So contenders take turns, each for a moment,
//! many times over; each turn is compared with the turn of the baseline in the same round, and the median
//! of these ratios is told with its spread. The baseline takes part twice: the second one's ratio should
//! be 1, and how far it isn't is what no other ratio can be trusted beyond.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What takes part.
pub trait Contender {
    /// What it is called.
    fn name(&self) -> &str;

    /// Takes that many batches of messages.
    ///
    /// # Errors
    /// It failed, so that it can't be compared.
    fn take(&mut self, batches: usize) -> anyhow::Result<Done>;
}

impl<C: Contender + ?Sized> Contender for &mut C {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        (**self).take(batches)
    }
}

/// What came of some batches: the same with every contender, or one of them is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Messages.
    pub messages: u64,
    /// Of these, refused.
    pub refused: u64,
    /// What was told of them.
    pub told: u64,
}

/// How a contender came out.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The contender.
    pub name: String,
    /// Processor time of a message, in nanoseconds: median of the rounds.
    pub ns: f64,
    /// Times the baseline's in the same round: median.
    pub ratio: f64,
    /// The same: the rounds' first and last decile.
    pub spread: (f64, f64),
}

/// Processor time that this thread has used.
#[must_use]
pub fn thread_time() -> Duration {
    time(ClockId::ThreadCPUTime)
}

/// Processor time that this process has used.
#[must_use]
pub fn process_time() -> Duration {
    time(ClockId::ProcessCPUTime)
}

fn time(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// Has contenders take turns; the first is the baseline. They work on the thread that asks them to.
///
/// # Errors
/// One failed, or came out otherwise than the baseline.
pub fn compare(
    contenders: &mut [Box<dyn Contender>],
    rounds: usize,
    turn: Duration,
) -> anyhow::Result<Vec<Row>> {
    compare_by(thread_time, contenders, rounds, turn)
}

/// The same by another clock: [`process_time`], where they have threads of their own.
///
/// # Errors
/// As [`compare`].
pub fn compare_by(
    clock: fn() -> Duration,
    contenders: &mut [Box<dyn Contender + '_>],
    rounds: usize,
    turn: Duration,
) -> anyhow::Result<Vec<Row>> {
    let mut sizes = Vec::new();
    for contender in contenders.iter_mut() {
        sizes.push(batches_of(clock, contender.as_mut(), turn)?);
    }
    let mut costs = vec![Vec::new(); contenders.len()];
    for round in 0..rounds {
        for step in 0..contenders.len() {
            // Nobody always follows the same one.
            let at = (step + round) % contenders.len();
            costs[at].push(cost(clock, contenders[at].as_mut(), sizes[at])?);
        }
    }
    let baseline = costs[0].clone();
    let rows = contenders.iter().zip(&costs).map(|(contender, costs)| {
        let ratios: Vec<f64> =
            costs.iter().zip(&baseline).map(|(cost, base)| cost / base).collect();
        Row {
            name: contender.name().to_owned(),
            ns: quantile(costs, 0.5),
            ratio: quantile(&ratios, 0.5),
            spread: (quantile(&ratios, 0.1), quantile(&ratios, 0.9)),
        }
    });
    Ok(rows.collect())
}

/// How many batches fill a turn; warms up on the way.
fn batches_of(
    clock: fn() -> Duration,
    contender: &mut dyn Contender,
    turn: Duration,
) -> anyhow::Result<usize> {
    let mut batches = 16;
    loop {
        let before = clock();
        contender.take(batches)?;
        if clock() - before >= turn {
            return Ok(batches);
        }
        batches *= 2;
    }
}

fn cost(
    clock: fn() -> Duration,
    contender: &mut dyn Contender,
    batches: usize,
) -> anyhow::Result<f64> {
    let before = clock();
    let done = contender.take(batches)?;
    let spent = clock() - before;
    anyhow::ensure!(done.messages > 0, "{} took nothing", contender.name());
    Ok(spent.as_secs_f64() * 1e9 / done.messages as f64)
}

/// That quantile, 0 to 1, of what is there; 0 of nothing.
#[must_use]
pub fn quantile(values: &[f64], at: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = ((sorted.len().saturating_sub(1)) as f64 * at).round() as usize;
    sorted.get(index).copied().unwrap_or(0.0)
}
