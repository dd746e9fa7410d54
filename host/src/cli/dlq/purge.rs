//! `sluicegate dlq purge`: dead letters thrown away.

use std::process::ExitCode;

use super::options::{Common, Picked, pass, refuse_unsaid};
use super::{Desk, agree_to_cost, ask, interruptible, watch};
use crate::cli::exit;
use crate::cli::figures::grouped;
use crate::deadletter::export::Purge;

/// Options of `purge`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = super::EXITS)]
pub(super) struct Args {
    #[command(flatten)]
    picked: Picked,
    /// Every letter
    #[arg(short, long)]
    all: bool,
    /// So many letters at most
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Throw nothing away: count
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Runs the verb.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.picked.filter()?;
    refuse_unsaid(&filter, args.all)?;
    let json = args.common.json;
    let desk = Desk::open(&args.common).await?;
    if !agree_to_cost(desk.letters()?, args.yes)? {
        return Ok(ExitCode::from(exit::FAILURE));
    }
    let ledger = desk.ledger().await?;
    let mut pass = pass(&desk, filter, interruptible())?;
    pass.limit = args.limit;
    if !args.yes && !args.dry_run {
        let counted = pass.run(&ledger, &mut Purge { dry: true }).await?;
        let names: Vec<&str> = pass.places.iter().map(|place| place.queue.as_str()).collect();
        let question = format!(
            "Throw away {} of {} letters in {}, for good?",
            grouped(counted.matched),
            grouped(counted.seen),
            names.join(", ")
        );
        if !ask(&question, "say --yes, or --dry-run to count")? {
            eprintln!("nothing was thrown away");
            return Ok(ExitCode::from(exit::FAILURE));
        }
    }
    let mut purge = Purge { dry: args.dry_run };
    let doing = if args.dry_run { "would purge" } else { "purged" };
    let running = pass.run(&ledger, &mut purge);
    let (done, time) = watch::over(&pass.progress, doing, json, running).await;
    desk.close().await;
    let summary = watch::ended(done, &pass.progress, doing)?;
    watch::sum_up(&summary, (doing, &pass.run), json, time)
}
