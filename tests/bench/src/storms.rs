//! What failures cost: a share of the messages is refused by the plugin, and dead-lettered by the broker
//! (nacked), or as a copy with its reason (annotated), or tried once more first (retried).
//!
//! A run begins with a full queue and ends when the queue is empty and the dead-letter queue has what it is
//! to have. A retried message waits a second in its delay queue, which is part of the run.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench_logic::Encoding;
use rabbit_node::Node;
use serde::Serialize;

use crate::amqp::process::{Running, used_s};
use crate::amqp::site::{Pipeline, Site};
use crate::amqp::wire::{Kind, Wire};
use crate::sample::{Sample, Wanted, samples};

/// Between two looks at the queues.
const LOOK: Duration = Duration::from_millis(20);
/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of a body.
const BYTES: usize = 100;
const QUEUE: &str = "storm";
const DEAD: &str = "storm.dead";
/// Messages of the dead-letter queue that are published at once.
const FILL: usize = 20_000;

/// What becomes of a failed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// The broker dead-letters it.
    Nacked,
    /// A copy with its reason goes to the dead-letter exchange.
    Annotated,
    /// It is tried once more after a second, then nacked.
    Retried,
}

/// One case.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Case {
    /// What becomes of a failed message.
    pub fate: Fate,
    /// Of a thousand messages, so many fail.
    pub per_mille: u32,
    /// What lies in the dead-letter queue at first.
    pub dead: usize,
    /// Messages of a run.
    pub messages: usize,
}

/// What it came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// From the first look that found fewer messages to the end, in seconds.
    pub seconds: f64,
    /// Messages a second over that time.
    pub rate: f64,
    /// The host's processor time of a message, in microseconds.
    pub cpu_us: f64,
    /// The broker's.
    pub broker_us: f64,
}

/// Runs those cases one after the other, each on queues of its own making.
///
/// # Errors
/// The host failed, or something was lost.
pub async fn run(
    node: &Node,
    host: &Path,
    cases: &[Case],
    each: &mut dyn FnMut(&Row),
) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut before: Option<(Fate, usize)> = None;
    let wire = Wire::open(&node.url()).await?;
    let broker = node.process().context("the broker's process isn't known")?;
    let url = node.url();
    for case in cases {
        let site = Site::new(host)?;
        let mode = if case.fate == Fate::Annotated { "annotate" } else { "nack" };
        let dead_letter = format!("{{ queue = \"{DEAD}\", mode = \"{mode}\" }}");
        let more = match case.fate {
            Fate::Retried => "retry = { rungs = [\"1s\"], attempts = { reject = 2 } }",
            Fate::Nacked | Fate::Annotated => "",
        };
        site.configure(&Pipeline {
            url: &url,
            queue: QUEUE,
            kind: Kind::Classic,
            dead_letter: &dead_letter,
            logic: "check-json",
            prefetch: sluicegate::limits::PREFETCH,
            exchange: None,
            more,
        })?;
        declare(node, &site)?;
        wire.fanout("storm.feed", &[QUEUE.to_owned()]).await?;
        wire.fanout("storm.fill", &[DEAD.to_owned()]).await?;
        if before.is_none_or(|(_, dead)| dead != case.dead) {
            fill(&wire, case.dead).await?;
        }
        before = Some((case.fate, case.dead));
        wire.fill("storm.feed", &messages(*case)?).await?;
        let row = one(&wire, &site, broker, *case).await?;
        each(&row);
        rows.push(row);
    }
    Ok(rows)
}

/// Declares what the config needs, as an operator would who lets the host declare nothing.
fn declare(node: &Node, site: &Site) -> anyhow::Result<()> {
    let told = site.verb(&["topology", "--definitions"]).output()?;
    anyhow::ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let file = site.path("definitions.json");
    fs::write(&file, told.stdout)?;
    node.ctl(&["import_definitions", &file.display().to_string()]);
    Ok(())
}

/// Has the dead-letter queue hold that many.
async fn fill(wire: &Wire, dead: usize) -> anyhow::Result<()> {
    wire.purge(DEAD).await?;
    let wanted = |messages| Wanted { messages, keys: 1000, bytes: BYTES, encoding: Encoding::Json };
    let some = samples(wanted(FILL.min(dead)))?;
    for _ in 0..dead.div_ceil(FILL.max(1)) {
        wire.fill("storm.fill", &some).await?;
    }
    Ok(())
}

/// Readings, of which some are out of any range.
fn messages(case: Case) -> anyhow::Result<Vec<Sample>> {
    let (keys, encoding) = (1000, Encoding::Json);
    let mut all = samples(Wanted { messages: case.messages, keys, bytes: BYTES, encoding })?;
    for (n, sample) in all.iter_mut().enumerate() {
        if fails(n, case.per_mille) {
            // No number: it isn't even read.
            let mut body = sample.body.to_vec();
            body[0] = b'!';
            sample.body = body.into();
        }
    }
    Ok(all)
}

/// Evenly spread.
fn fails(n: usize, per_mille: u32) -> bool {
    let share = |n: usize| n as u64 * u64::from(per_mille) / 1000;
    share(n + 1) > share(n)
}

async fn one(wire: &Wire, site: &Site, broker: u32, case: Case) -> anyhow::Result<Row> {
    let failing = (0..case.messages).filter(|&n| fails(n, case.per_mille)).count();
    let (dead, _) = wire.depth(DEAD).await?;
    let due = u64::from(dead) + failing as u64;
    let mut host = Running::start("sluicegate", site.host())?;
    let mut looks = tokio::time::interval(LOOK);
    let mut first = None;
    let mut last = (Instant::now(), 0.0, 0.0, case.messages);
    loop {
        looks.tick().await;
        host.check()?;
        let (ready, _) = wire.depth(QUEUE).await?;
        let ready = usize::try_from(ready)?;
        let now = (Instant::now(), used_s(host.id())?, used_s(broker)?, ready);
        if first.is_none() && ready < case.messages {
            first = Some(last);
        }
        last = now;
        let (dead, _) = wire.depth(DEAD).await?;
        let begun = first.map_or(last.0, |it: (Instant, f64, f64, usize)| it.0);
        if ready == 0 && u64::from(dead) >= due {
            break;
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{ready} left, {dead} dead of {due}");
    }
    let first = first.context("it was over before it was looked at")?;
    host.stop().await?;
    let (dead, _) = wire.depth(DEAD).await?;
    anyhow::ensure!(u64::from(dead) == due, "{dead} dead letters instead of {due}");
    let messages = case.messages as f64;
    let seconds = (last.0 - first.0).as_secs_f64();
    Ok(Row {
        case,
        seconds,
        rate: messages / seconds,
        cpu_us: (last.1 - first.1) * 1e6 / messages,
        broker_us: (last.2 - first.2) * 1e6 / messages,
    })
}
