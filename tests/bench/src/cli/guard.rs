//! `guard`: what a message costs, counted and compared with what is kept; `in-step`: what is counted.

use clap::Args;
use sluicegate_bench::dispatch::ALL;
use sluicegate_bench::guard::{self, Figures};
use sluicegate_bench::report;

use super::Common;

/// What to do with what was counted.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Keep it.
    #[arg(long)]
    accept: bool,
}

/// What to run.
#[derive(Args)]
pub(crate) struct InStep {
    /// The kind of which there are many more.
    #[arg(long)]
    extra: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let now = Figures::count()?;
    let kept = guard::kept();
    let before = Figures::read(&kept);
    for (name, cost) in &now.message {
        let before = before.as_ref().ok().and_then(|it| it.message.get(name)).copied();
        let before = before.unwrap_or_default();
        println!(
            "{name:12} {:6.0} instructions (kept: {:.0}), {:5.2} allocations (kept: {:.2}) a message",
            cost.instructions, before.instructions, cost.allocations, before.allocations
        );
    }
    report::write(arguments.common.json.as_deref(), &now)?;
    if arguments.accept {
        now.write(&kept)?;
        println!("kept in {}", kept.display());
        return Ok(());
    }
    let accept = "where that is meant, `cargo xtask bench guard --accept` keeps it";
    let moved = before?.moved(&now).map_err(|error| error.context(accept))?;
    for moved in &moved {
        let by = 100.0 * (moved.now / moved.before - 1.0);
        eprintln!(
            "{} a message: {} before, {} now ({by:+.1} %)",
            moved.what, moved.before, moved.now
        );
    }
    anyhow::ensure!(moved.is_empty(), "what a message costs has changed; {accept}");
    Ok(())
}

pub(crate) fn in_step(arguments: &InStep) -> anyhow::Result<()> {
    let extra = arguments.extra.as_deref();
    guard::work(ALL.into_iter().find(|logic| Some(logic.as_str()) == extra))
}
