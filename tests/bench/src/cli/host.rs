//! `host`: a whole host in process, on a broker without a network.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use sluicegate_bench::counting::counted;
use sluicegate_bench::dispatch::Logic;
use sluicegate_bench::host::{BATCH, Bare, Host, Plan};
use sluicegate_bench::method::{Contender, Row, compare_by, process_time};
use sluicegate_bench::report;

use super::Common;

/// What is looked at.
const LOGICS: [Logic; 4] = [Logic::Pass, Logic::CheckJson, Logic::Route, Logic::Anomaly];

/// What to look at: everything, where nothing is said.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Only that logic.
    #[arg(long)]
    logic: Option<String>,
    /// Threads that run plugins.
    #[arg(long, default_value_t = 1)]
    shards: usize,
    /// One host alone, for that many messages: for a profiler to look at.
    #[arg(long)]
    profile: Option<u64>,
}

/// What came of it.
#[derive(Serialize)]
struct Result {
    shards: usize,
    rows: Vec<Row>,
    allocations: Vec<Allocated>,
}

/// Allocations of a message.
#[derive(Serialize)]
struct Allocated {
    name: String,
    allocations: f64,
    bytes: f64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let wanted = |logic: &Logic| match &arguments.logic {
        Some(name) => name == logic.as_str(),
        None => true,
    };
    let plans: Vec<Plan> = LOGICS
        .into_iter()
        .filter(wanted)
        .map(|logic| Plan { shards: arguments.shards, ..Plan::of(logic) })
        .collect();
    if let Some(messages) = arguments.profile {
        for plan in &plans {
            let host = Host::start(plan)?;
            host.run(messages)?;
        }
        return Ok(());
    }
    let Some(first) = plans.first() else { anyhow::bail!("no such logic") };
    let mut contenders: Vec<Box<dyn Contender>> = vec![
        Box::new(Host::start(first)?),
        Box::new(Host::start(&first.clone().named(format!("{}, again", first.name)))?),
        Box::new(Bare::start(first)?),
    ];
    for plan in plans.iter().skip(1) {
        contenders.push(Box::new(Host::start(plan)?));
    }
    let (rounds, turn) = if arguments.common.quick { (5, 100) } else { (15, 400) };
    let rows = compare_by(process_time, &mut contenders, rounds, Duration::from_millis(turn))?;
    println!("a message through the whole host, processor time of the process");
    report::print(&rows);
    let mut allocations = Vec::new();
    for contender in &mut contenders {
        let (done, counted) = counted(|| contender.take(400));
        let messages = done?.messages as f64;
        let name = contender.name().to_owned();
        let (each, bytes) =
            (counted.allocations as f64 / messages, counted.bytes as f64 / messages);
        println!("  {name:24} {each:10.2} allocations, {bytes:.0} bytes a message");
        allocations.push(Allocated { name, allocations: each, bytes });
    }
    println!("  (batches of at most {BATCH})");
    let result = Result { shards: arguments.shards, rows, allocations };
    report::write(arguments.common.json.as_deref(), &result)
}
