//! `scaling`: how the cost of a message grows with shards, pipelines, stages and keys.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use sluicegate_bench::dispatch::Logic;
use sluicegate_bench::host::{Host, Plan};
use sluicegate_bench::method::{Contender, Row, compare_by, process_time};
use sluicegate_bench::report;

use super::Common;

/// What to look at: everything, where nothing is said.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Only by that: `shards`, `pipelines`, `stages` or `keys`.
    #[arg(long)]
    by: Option<String>,
}

/// How it grows with one thing.
#[derive(Serialize)]
struct Grown {
    by: &'static str,
    rows: Vec<Row>,
    /// Messages in a second, by the clock on the wall, in the rows' order.
    per_second: Vec<f64>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (rounds, turn) = if arguments.common.quick { (5, 100) } else { (11, 300) };
    let mut all = Vec::new();
    for (by, plans) in dimensions() {
        if arguments.by.as_ref().is_some_and(|wanted| wanted != by) {
            continue;
        }
        let Some(first) = plans.first() else { continue };
        let again = first.clone().named(format!("{}, again", first.name));
        let mut contenders: Vec<Box<dyn Contender>> = Vec::new();
        for plan in plans.iter().take(1).chain([&again]).chain(plans.iter().skip(1)) {
            let host = Host::start(plan)?;
            // Every key is there before anything is measured.
            host.run(plan.keys)?;
            contenders.push(Box::new(host));
        }
        let turn = Duration::from_millis(turn);
        let rows = compare_by(process_time, &mut contenders, rounds, turn)?;
        let per_second = contenders.iter_mut().map(|host| rate(host.as_mut()));
        let per_second = per_second.collect::<anyhow::Result<Vec<f64>>>()?;
        println!("{by}: processor time of a message, times the first's; messages a second");
        report::print(&rows);
        for (row, rate) in rows.iter().zip(&per_second) {
            println!("  {:24} {rate:10.0} /s", row.name);
        }
        all.push(Grown { by, rows, per_second });
    }
    report::write(arguments.common.json.as_deref(), &all)
}

fn dimensions() -> [(&'static str, Vec<Plan>); 4] {
    let pass = || Plan::of(Logic::Pass);
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    [
        (
            "shards",
            [1, 2]
                .map(|shards| {
                    Plan { shards, ..pass() }.named(format!("{shards} shard{}", plural(shards)))
                })
                .to_vec(),
        ),
        (
            "pipelines",
            [1, 10, 100]
                .map(|pipelines| {
                    Plan { pipelines, ..pass() }
                        .named(format!("{pipelines} pipeline{}", plural(pipelines)))
                })
                .to_vec(),
        ),
        (
            "stages",
            [1, 4, 8]
                .map(|stages| {
                    Plan { stages, ..pass() }.named(format!("{stages} stage{}", plural(stages)))
                })
                .to_vec(),
        ),
        (
            "keys",
            [1, 1000, 100_000, 1_000_000]
                .map(|keys| {
                    Plan { keys, ..Plan::of(Logic::Anomaly) }.named(format!("state, {keys} keys"))
                })
                .to_vec(),
        ),
    ]
}

/// Messages in a second.
fn rate(host: &mut dyn Contender) -> anyhow::Result<f64> {
    let began = Instant::now();
    let done = host.take(800)?;
    Ok(done.messages as f64 / began.elapsed().as_secs_f64())
}
