//! `sluicegate dlq export`: dead letters as JSON lines.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::options::{Common, Picked, pass};
use super::{Desk, agree_to_cost, interruptible, watch};
use crate::cli::exit;
use crate::deadletter::export::{Export, Sink};

/// Options of `export`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    picked: Picked,
    /// The file; it must be new, or --append said [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write behind what the file has
    #[arg(long, requires = "output")]
    append: bool,
    /// Take each letter out of its queue once it is in the file, and the file on the disk
    #[arg(long, requires = "output")]
    remove: bool,
    /// So many letters at most
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Accept what reading letters costs on a quorum queue
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

const HELP: &str = "\
Each line is one letter: `exchange`, `routing_key`, `message_id`, `properties`, `headers`, `body` (JSON, or \
text; `body_base64` where it is neither), `queue`, `deaths`, and its failure `report`. Back it goes with

  sluicegate publish letters.jsonl -c sluicegate.toml -e meters --exported

Ends with 0, 1 when something failed, 75 when somebody else reads the queue, 78 when the config is wrong, \
130 after Ctrl-C.";

/// Runs the verb.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.picked.filter()?;
    let desk = Desk::open(&args.common).await?;
    if !agree_to_cost(desk.letters()?, args.yes)? {
        return Ok(ExitCode::from(exit::FAILURE));
    }
    let sink = sink(&args)?;
    let ledger = desk.ledger().await?;
    let mut pass = pass(&desk, filter, interruptible())?;
    pass.limit = args.limit;
    let mut export = Export { sink, remove: args.remove, written: 0 };
    let running = pass.run(&ledger, &mut export);
    // What is written to standard output stays clean.
    let quiet = args.common.json || args.output.is_none();
    let (done, time) = watch::over(&pass.progress, "exported", quiet, running).await;
    desk.close().await;
    let summary = watch::ended(done, &pass.progress, "exported")?;
    if args.output.is_some() {
        return watch::sum_up(&summary, ("exported", &pass.run), args.common.json, time);
    }
    eprint!("{}", watch::told(&summary, "exported", time));
    Ok(ExitCode::from(if summary.interrupted { exit::INTERRUPTED } else { 0 }))
}

fn sink(args: &Args) -> anyhow::Result<Sink> {
    let Some(path) = &args.output else { return Ok(Sink::Stream(Box::new(std::io::stdout()))) };
    let mut options = OpenOptions::new();
    options.append(true);
    match args.append {
        true => options.create(true),
        false => options.create_new(true),
    };
    match options.open(path) {
        Ok(file) => Ok(Sink::File(file)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is there already; --append writes behind what it has", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("can't write {}", path.display())),
    }
}
