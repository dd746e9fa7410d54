//! When a queue had how much left, and what everybody had used by then.
//!
//! Contenders are started on a queue that is full. What they do until the first messages are through is
//! their start, not their speed; so a run is measured between two levels of the queue, and the broker
//! says when each was reached.

use std::time::{Duration, Instant};

use super::process::{Running, used_s};
use super::wire::Wire;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// How long a queue may take to become empty.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was seen at a moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    at_s: f64,
    ready: f64,
    contender_s: f64,
    broker_s: f64,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Run {
    /// Messages a second.
    pub rate: f64,
    /// The contender's processor time of a message, in microseconds.
    pub cpu_us: f64,
    /// The broker's.
    pub broker_us: f64,
}

/// Follows a queue until it is empty.
///
/// # Errors
/// It doesn't become empty.
pub async fn follow(
    wire: &Wire,
    queue: &str,
    contender: &mut Running,
    broker: u32,
    (from, to): (u32, u32),
) -> anyhow::Result<Run> {
    let begun = Instant::now();
    let mut interval = tokio::time::interval(LOOK);
    let mut looks = Vec::new();
    loop {
        interval.tick().await;
        contender.check()?;
        let (ready, _) = wire.depth(queue).await?;
        looks.push(Look {
            at_s: begun.elapsed().as_secs_f64(),
            ready: f64::from(ready),
            contender_s: used_s(contender.id())?,
            broker_s: used_s(broker)?,
        });
        if ready == 0 {
            break;
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{ready} messages are left in {queue}");
    }
    let (first, last) = (reached(&looks, from)?, reached(&looks, to)?);
    let messages = f64::from(from - to);
    Ok(Run {
        rate: messages / (last.at_s - first.at_s),
        cpu_us: (last.contender_s - first.contender_s) * 1e6 / messages,
        broker_us: (last.broker_s - first.broker_s) * 1e6 / messages,
    })
}

/// The moment at which that much was left, between the looks before and after it.
fn reached(looks: &[Look], level: u32) -> anyhow::Result<Look> {
    let level = f64::from(level);
    let after = looks.iter().position(|look| look.ready <= level);
    let after = after.filter(|&at| at > 0);
    let Some(at) = after else { anyhow::bail!("it was over before it was looked at") };
    let (a, b) = (looks[at - 1], looks[at]);
    let part = (a.ready - level) / (a.ready - b.ready);
    let between = |a: f64, b: f64| a + part * (b - a);
    Ok(Look {
        at_s: between(a.at_s, b.at_s),
        ready: level,
        contender_s: between(a.contender_s, b.contender_s),
        broker_s: between(a.broker_s, b.broker_s),
    })
}
