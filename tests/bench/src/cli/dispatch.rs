//! `dispatch`: calls of plugins, in process.

use std::time::Duration;

use clap::Args;
use sluicegate_bench::dispatch::plugin::Sandboxed;
use sluicegate_bench::dispatch::{self, ALL, Effort, Logic};
use sluicegate_bench::method::Contender as _;
use sluicegate_bench::report;

use super::Common;

/// What to look at: everything, where nothing is said.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Only that logic.
    #[arg(long)]
    logic: Option<String>,
    /// Only bodies of that many bytes.
    #[arg(long)]
    bytes: Option<usize>,
    /// Only batches of that many messages.
    #[arg(long)]
    batch: Option<usize>,
    /// Only what plays the host's part, for that many batches: for a profiler to look at.
    #[arg(long)]
    profile: Option<usize>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let rounds = if arguments.common.quick { 5 } else { 21 };
    let effort = Effort { rounds, turn: Duration::from_millis(20) };
    let mut all = Vec::new();
    for (logic, bytes, batch) in wanted(arguments) {
        if let Some(batches) = arguments.profile {
            profile(logic, bytes, batch, batches)?;
            continue;
        }
        let compared = dispatch::run(logic, bytes, batch, effort, &mut |_, _, _| Ok(Vec::new()))?;
        println!("{} {bytes} B, batches of {batch}", logic.as_str());
        report::print(&compared.rows);
        all.push(compared);
    }
    report::write(arguments.common.json.as_deref(), &all)
}

fn wanted(arguments: &Arguments) -> impl Iterator<Item = (Logic, usize, usize)> {
    let (bytes, batch) = (arguments.bytes, arguments.batch);
    let logic = arguments.logic.as_deref();
    ALL.into_iter()
        .filter(move |it| logic.is_none_or(|wanted| wanted == it.as_str()))
        .flat_map(|logic| [25, 256, 4096].map(|bytes| (logic, bytes)))
        .flat_map(|(logic, bytes)| [1, 16, 64, 256].map(|batch| (logic, bytes, batch)))
        .filter(move |it| bytes.is_none_or(|wanted| wanted == it.1))
        .filter(move |it| batch.is_none_or(|wanted| wanted == it.2))
}

/// One contender alone. Where its compiled code lies is told, for no profiler knows its names.
fn profile(logic: Logic, bytes: usize, batch: usize, batches: usize) -> anyhow::Result<()> {
    let samples = dispatch::messages(logic, bytes, 1000)?;
    let mut it = Sandboxed::new(logic, &samples, batch)?;
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        if line.contains("r-xp") {
            eprintln!("{line}");
        }
    }
    it.take(batches)?;
    Ok(())
}
