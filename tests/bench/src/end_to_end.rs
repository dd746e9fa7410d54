//! From a queue through plugins, and what they decide to another: beside what one would write instead.
//!
//! Every contender consumes a queue that is full, of its own, with the same messages in it: an exchange
//! fed them all at once. They take turns, one run each, in an order that changes. A run is measured at
//! the broker, between two levels of the queue; when it is over the contender is told to stop, and then
//! its queue must be empty, with all acknowledged, and the queue of outputs must hold one for each message.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use bench_logic::Encoding;
use rabbit_node::Node;
use serde::Serialize;
use tokio::time::Instant;

use crate::amqp::gauge::{Run, follow};
use crate::amqp::process::Running;
use crate::amqp::site::{Pipeline, Site};
use crate::amqp::wire::{Kind, Wire};
use crate::method::quantile;
use crate::sample::{Sample, Wanted, samples};

/// What a consumer in Python looks like.
pub const PYTHON: &str = include_str!("amqp/consume.py");

/// What is compared.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// The queue's kind.
    pub kind: Kind,
    /// Bytes of a body.
    pub bytes: usize,
    /// Whether what is decided is published; else messages are acknowledged and that is all.
    pub publishes: bool,
    /// Messages of a run.
    pub messages: u32,
    /// Of these, not measured at the start.
    pub warm_up: u32,
    /// And at the end.
    pub rest: u32,
    /// Rounds, in each of which every contender has its run.
    pub rounds: usize,
    /// Unacknowledged messages of a consumer at most.
    pub prefetch: u16,
    /// Messages that the good bare consumer acknowledges together.
    pub together: usize,
}

/// Programs that take part.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The host.
    pub host: PathBuf,
    /// The bare consumer.
    pub bare: PathBuf,
    /// A Python that has pika, where there is one.
    pub python: Option<PathBuf>,
}

/// How a contender came out.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The contender.
    pub name: String,
    /// Its runs.
    pub runs: Vec<Run>,
    /// Messages a second: median.
    pub rate: f64,
    /// Times the baseline's in the same round: median, first and last decile.
    pub rate_ratio: [f64; 3],
    /// Its processor time of a message in microseconds: median.
    pub cpu_us: f64,
    /// Times the baseline's, likewise.
    pub cpu_ratio: [f64; 3],
    /// The broker's processor time of a message in microseconds: median.
    pub broker_us: f64,
}

/// A contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The good bare consumer.
    Together(&'static str),
    /// The usual one.
    Each,
    /// The usual one in Python.
    Python,
    /// The host.
    Host,
}

impl Who {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Together(name) => name,
            Self::Each => "lapin, one by one",
            Self::Python => "pika, one by one",
            Self::Host => "sluicegate",
        }
    }
}

/// A node with the queues of all contenders.
struct Field<'f> {
    node: &'f Node,
    broker: u32,
    wire: Wire,
    setting: &'f Setting,
    programs: &'f Programs,
    site: Site,
}

/// What acknowledgements get to reach a queue before their channel is closed.
const HEARD: Duration = Duration::from_secs(1);
/// Where what is decided goes.
pub(crate) const OUT: &str = "bench.out";

/// Runs all contenders; the first is the baseline, the second its control.
///
/// # Errors
/// One failed, or lost or doubled something.
pub async fn run(
    node: &Node,
    setting: &Setting,
    programs: &Programs,
    each: &mut dyn FnMut(&str, &Run),
) -> anyhow::Result<Vec<Row>> {
    let mut contenders =
        vec![Who::Together("lapin, together"), Who::Together("lapin, again"), Who::Each, Who::Host];
    if programs.python.is_some() {
        contenders.push(Who::Python);
    }
    let wire = Wire::open(&node.url()).await?;
    let queue = |at: usize| format!("bench.in.{}.{at}", setting.kind.as_str());
    let queues: Vec<String> = (0..contenders.len()).map(queue).collect();
    for queue in &queues {
        wire.queue(queue, setting.kind).await?;
    }
    let feed = format!("bench.feed.{}", setting.kind.as_str());
    wire.fanout(&feed, &queues).await?;
    wire.queue(OUT, Kind::Classic).await?;
    wire.fanout(OUT, &[OUT.to_owned()]).await?;
    let broker = node.process().context("the broker's process isn't known")?;
    let site = Site::new(&programs.host)?;
    let field = Field { node, broker, wire, setting, programs, site };
    let messages = readings(setting)?;
    let mut runs = vec![Vec::new(); contenders.len()];
    for round in 0..setting.rounds {
        field.wire.fill(&feed, &messages).await?;
        for step in 0..contenders.len() {
            // Nobody always follows the same one.
            let at = (step + round) % contenders.len();
            let run = field.run(contenders[at], &queues[at]).await;
            let run = run.with_context(|| contenders[at].name())?;
            each(contenders[at].name(), &run);
            runs[at].push(run);
        }
    }
    let baseline = runs[0].clone();
    let rows = contenders.iter().zip(runs).map(|(who, runs)| row(who.name(), runs, &baseline));
    Ok(rows.collect())
}

/// The messages of a run.
fn readings(setting: &Setting) -> anyhow::Result<Vec<Sample>> {
    samples(Wanted {
        messages: usize::try_from(setting.messages)?,
        keys: 1000,
        bytes: setting.bytes,
        encoding: Encoding::Json,
    })
}

fn row(name: &str, runs: Vec<Run>, baseline: &[Run]) -> Row {
    let of = |what: fn(&Run) -> f64| -> Vec<f64> { runs.iter().map(what).collect() };
    let ratio = |what: fn(&Run) -> f64| {
        let ratios = runs.iter().zip(baseline).map(|(run, base)| what(run) / what(base));
        let ratios: Vec<f64> = ratios.collect();
        [0.5, 0.1, 0.9].map(|at| quantile(&ratios, at))
    };
    Row {
        name: name.to_owned(),
        rate: quantile(&of(|run| run.rate), 0.5),
        rate_ratio: ratio(|run| run.rate),
        cpu_us: quantile(&of(|run| run.cpu_us), 0.5),
        cpu_ratio: ratio(|run| run.cpu_us),
        broker_us: quantile(&of(|run| run.broker_us), 0.5),
        runs,
    }
}

impl Field<'_> {
    async fn run(&self, who: Who, queue: &str) -> anyhow::Result<Run> {
        let setting = self.setting;
        let (ready, consumers) = self.wire.depth(queue).await?;
        anyhow::ensure!(ready == setting.messages && consumers == 0, "{queue}: {ready} at first");
        let url = self.node.url();
        let command = command(who, setting, self.programs, &self.site, (&url, queue))?;
        let mut contender = Running::start(who.name(), command)?;
        let levels = (setting.messages - setting.warm_up, setting.rest);
        let run = follow(&self.wire, queue, &mut contender, self.broker, levels).await?;
        // A channel of RabbitMQ that closes forgets what a quorum queue hasn't heard of yet.
        tokio::time::interval_at(Instant::now() + HEARD, HEARD).tick().await;
        contender.stop().await?;
        let (left, _) = self.wire.depth(queue).await?;
        anyhow::ensure!(left == 0, "{left} messages weren't acknowledged");
        let out = self.wire.purge(OUT).await?;
        let due = if setting.publishes { setting.messages } else { 0 };
        anyhow::ensure!(out == due, "{out} outputs instead of {due}");
        Ok(run)
    }
}

/// A contender, to be started on that queue.
pub(crate) fn command(
    who: Who,
    setting: &Setting,
    programs: &Programs,
    site: &Site,
    (url, queue): (&str, &str),
) -> anyhow::Result<Command> {
    let prefetch = setting.prefetch.to_string();
    let exchange = setting.publishes.then_some(OUT);
    let mut command = match who {
        Who::Host => {
            let pipeline = Pipeline {
                url,
                queue,
                kind: setting.kind,
                dead_letter: "\"discard\"",
                logic: if setting.publishes { "route" } else { "pass" },
                prefetch: setting.prefetch,
                exchange,
                more: "",
            };
            site.configure(&pipeline)?;
            return Ok(site.host());
        }
        Who::Python => {
            let python = programs.python.as_ref().context("no Python")?;
            let mut command = Command::new(python);
            command.args(["-c", PYTHON, url, queue, &prefetch, exchange.unwrap_or("")]);
            return Ok(command);
        }
        Who::Together(_) | Who::Each => Command::new(&programs.bare),
    };
    let together = if who == Who::Each { 1 } else { setting.together };
    command.args(["--url", url, "--queue", queue, "--prefetch", &prefetch]);
    command.args(["--together", &together.to_string()]);
    if let Some(exchange) = exchange {
        command.args(["--exchange", exchange]);
    }
    Ok(command)
}
