//! `scaling`: how the cost of a message grows with shards, pipelines, stages and keys.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use sluicegate::limits;
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
    /// Only by that: `shards`, `pipelines`, `stages`, `keys`, `batches` or `batches with state`.
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
    /// What the host found that a batch takes at most, in the rows' order.
    batch_limits: Vec<i64>,
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
        let mut hosts: Vec<Host> = Vec::new();
        for plan in plans.iter().take(1).chain([&again]).chain(plans.iter().skip(1)) {
            let host = Host::start(plan)?;
            // Every key is there before anything is measured.
            host.run(plan.keys)?;
            hosts.push(host);
        }
        let turn = Duration::from_millis(turn);
        let mut contenders: Vec<Box<dyn Contender + '_>> =
            hosts.iter_mut().map(|host| Box::new(host) as Box<dyn Contender + '_>).collect();
        let rows = compare_by(process_time, &mut contenders, rounds, turn)?;
        drop(contenders);
        let per_second = hosts.iter_mut().map(|host| rate(host));
        let per_second = per_second.collect::<anyhow::Result<Vec<f64>>>()?;
        let batch_limits: Vec<i64> = hosts.iter().map(Host::batch_limit).collect();
        println!("{by}: processor time of a message, times the first's; messages a second");
        report::print(&rows);
        for ((row, rate), limit) in rows.iter().zip(&per_second).zip(&batch_limits) {
            println!("  {:24} {rate:10.0} /s, batches of {limit} at most", row.name);
        }
        all.push(Grown { by, rows, per_second, batch_limits });
    }
    report::write(arguments.common.json.as_deref(), &all)
}

fn dimensions() -> [(&'static str, Vec<Plan>); 6] {
    let pass = || Plan::of(Logic::Pass);
    let batches = |logic: Logic| {
        let fixed = [1, 16, 64, 256, 1000].map(|n| ((n, n), format!("fixed at {n}")));
        let tuned = [256, 1000].map(|n| ((limits::BATCH_LEAST, n), format!("tuned up to {n}")));
        let all = fixed.into_iter().chain(tuned);
        all.map(|(batch, name)| Plan { batch: Some(batch), ..Plan::of(logic) }.named(name))
            .collect()
    };
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
        ("batches", batches(Logic::Pass)),
        ("batches with state", batches(Logic::Anomaly)),
    ]
}

/// Messages in a second.
fn rate(host: &mut dyn Contender) -> anyhow::Result<f64> {
    let began = Instant::now();
    let done = host.take(800)?;
    Ok(done.messages as f64 / began.elapsed().as_secs_f64())
}
