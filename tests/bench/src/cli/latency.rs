//! `latency`: from a producer to the settlement, and to the output.

use std::path::PathBuf;

use clap::Args;
use rabbit_node::Node;
use serde::Serialize;
use sluicegate_bench::amqp::wire::Kind;
use sluicegate_bench::end_to_end::Setting;
use sluicegate_bench::latency::{self, Level, Quantiles, median};
use sluicegate_bench::report;

use super::Common;
use super::end_to_end::programs;

/// Shares of the rate that the bare consumer manages.
const SHARES: [f64; 3] = [0.1, 0.5, 0.8];

/// What to look at: everything, where nothing is said.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Only queues of that kind.
    #[arg(long)]
    kind: Option<Kind>,
    /// Only what acknowledges (false), or publishes too (true).
    #[arg(long)]
    publishes: Option<bool>,
    /// Seconds of a run.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Rounds.
    #[arg(long)]
    rounds: Option<usize>,
    /// The host; else the one beside this program.
    #[arg(long)]
    host: Option<PathBuf>,
}

#[derive(Serialize)]
struct Compared {
    setting: Setting,
    levels: Vec<Level>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = programs(arguments.host.clone(), true)?;
    let node = Node::start();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let rounds = arguments.rounds.unwrap_or(if arguments.common.quick { 1 } else { 3 });
    let mut all = Vec::new();
    for publishes in
        [false, true].into_iter().filter(|it| arguments.publishes.is_none_or(|p| p == *it))
    {
        for kind in [Kind::Classic, Kind::Quorum] {
            if arguments.kind.is_some_and(|wanted| wanted != kind) {
                continue;
            }
            let prefetch = sluicegate::limits::PREFETCH;
            let setting = Setting {
                kind,
                bytes: 100,
                publishes,
                messages: 0,
                warm_up: 0,
                rest: 0,
                rounds,
                prefetch,
                together: 250,
            };
            let what = if publishes { "consume, publish, ack" } else { "consume, ack" };
            println!("{what}: {}, 100 B", kind.as_str());
            let run = latency::run(&node, &setting, &programs, &SHARES, arguments.seconds);
            let levels = runtime.block_on(run)?;
            levels.iter().for_each(print);
            all.push(Compared { setting, levels });
        }
    }
    report::write(arguments.common.json.as_deref(), &all)
}

fn print(level: &Level) {
    println!(
        "  {:.0} % of the most, {:.0}/s; ms, medians of the runs",
        level.share * 100.0,
        level.load.rate
    );
    for row in &level.rows {
        let at = |what: fn(&Quantiles) -> f64| median(&row.runs, |run| what(&run.settled));
        let (p50, p99, p999) = (at(|q| q.p50), at(|q| q.p99), at(|q| q.p999));
        print!("    {:16} settled p50 {p50:7.3} p99 {p99:7.3} p99.9 {p999:7.3}", row.name);
        if row.runs.iter().any(|run| run.output.is_some()) {
            let at = |what: fn(&Quantiles) -> f64| {
                median(&row.runs, |run| run.output.as_ref().map_or(0.0, what))
            };
            let (p50, p99, p999) = (at(|q| q.p50), at(|q| q.p99), at(|q| q.p999));
            print!("  output p50 {p50:7.3} p99 {p99:7.3} p99.9 {p999:7.3}");
        }
        println!();
    }
}
