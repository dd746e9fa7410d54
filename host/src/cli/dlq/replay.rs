//! `sluicegate dlq replay`: dead letters go back, mended on the way if need be; or would they?

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{anyhow, bail};

use super::ls::short;
use super::options::{Common, Which, pass, refuse_unsaid};
use super::table::{Look, Screen, Table};
use super::{Desk, agree_to_cost, interruptible, trial, watch};
use crate::cli::figures::grouped;
use crate::cli::{exit, publish};
use crate::config::DeadLetter;
use crate::deadletter::patch::Patch;
use crate::deadletter::replay::{MaxReplays, Replay, Row, Target};
use crate::limits::DLQ_ROWS;

/// Options of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(super) struct Args {
    /// Ids, beginnings of ids, or message ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Every letter
    #[arg(short, long)]
    all: bool,
    /// The plugin that is to blame; with --dry-run, [NAME=]FILE.wasm tries that file in its place
    #[arg(long, value_name = "NAME|[NAME=]FILE")]
    plugin: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// To this exchange instead of the queue where each failed
    #[arg(long, value_name = "NAME", conflicts_with = "to_queue", help_heading = "Where to")]
    to_exchange: Option<String>,
    /// With this routing key instead of each one's own
    #[arg(long, value_name = "KEY", requires = "to_exchange", help_heading = "Where to")]
    with_routing_key: Option<String>,
    /// To this queue instead of the queue where each failed
    #[arg(long, value_name = "NAME", help_heading = "Where to")]
    to_queue: Option<String>,
    /// Mend bodies on the way: a JSON file with an RFC 6902 patch (a list) or an RFC 7386 one (an object)
    #[arg(long, value_name = "FILE", help_heading = "How")]
    patch: Option<PathBuf>,
    /// Letters a second at most: 500, 500/s, 30/m
    #[arg(long, value_name = "N/s", value_parser = publish::rate, help_heading = "How")]
    rate: Option<f64>,
    /// Leave letters that were replayed so often [default: the config's, 5]
    #[arg(long, value_name = "N", help_heading = "How")]
    max_replays: Option<u32>,
    /// So many letters at most
    #[arg(short = 'n', long, value_name = "N", help_heading = "How")]
    limit: Option<u64>,
    /// Publish nothing, settle nothing: show what would be sent where
    #[arg(long, help_heading = "How")]
    dry_run: bool,
    /// Accept what reading letters costs on a quorum queue
    #[arg(long, help_heading = "How")]
    yes: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

const HELP: &str = "\
Each letter is published (persistent, to a queue that exists), its confirm awaited, and only then taken out \
of its dead-letter queue. One pass, up to the queue's length at the start: what fails again meanwhile isn't \
replayed again. What a crash doubles has the same message id and replay count, which a host takes for one.

A mended body is another message: it runs even where the old one was settled before.

With --json: a dry run prints one letter a line; then one object with the counts (`done`, `left` by reason).

Ends with 0 when all that was meant is replayed, 1 when something failed, 4 when letters that were meant \
were left (the reasons are told), 75 when somebody else reads the queue, 78 when the config is wrong, 130 \
after Ctrl-C: the group in hand is finished, the rest is where it was. Run again, it goes on.";

/// Runs the verb.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (files, plugins): (Vec<&String>, Vec<&String>) =
        args.plugin.iter().partition(|word| trial::is_file(word));
    let plugins: Vec<String> = plugins.into_iter().cloned().collect();
    let filter = args.which.filter(&args.ids, &plugins)?;
    refuse_unsaid(&filter, args.all)?;
    if !files.is_empty() && !args.dry_run {
        bail!("--plugin with a file is a trial: add --dry-run");
    }
    let patch =
        args.patch.as_deref().map(Patch::read).transpose().map_err(|e| anyhow!("--patch: {e}"))?;
    let desk = Desk::open(&args.common).await?;
    if !agree_to_cost(desk.letters()?, args.yes)? {
        return Ok(ExitCode::from(exit::FAILURE));
    }
    let ledger = desk.ledger().await?;
    let mut pass = pass(&desk, filter, interruptible())?;
    pass.limit = args.limit;
    pass.rate_per_s = args.rate;
    let by_queue = by_queue(&desk);
    let mut replay = Replay::to(target(&args), MaxReplays { said: args.max_replays, by_queue });
    replay.patch = patch;
    replay.dry = args.dry_run;
    let json = args.common.json;
    if !files.is_empty() {
        return trial::run(desk, (pass, &ledger), &files, replay, json).await;
    }
    if args.dry_run {
        pass.rate_per_s = None;
        replay.rows_max = if json { usize::MAX } else { DLQ_ROWS };
    }
    let running = pass.run(&ledger, &mut replay);
    let doing = if args.dry_run { "would replay" } else { "replayed" };
    let (done, time) = watch::over(&pass.progress, doing, json, running).await;
    desk.close().await;
    let summary = watch::ended(done, &pass.progress, doing)?;
    if args.dry_run {
        print(&replay.rows, summary.matched, json)?;
    }
    watch::sum_up(&summary, (doing, &pass.run), json, time)
}

fn target(args: &Args) -> Target {
    match (&args.to_exchange, &args.to_queue) {
        (Some(exchange), _) => Target::Exchange(exchange.clone(), args.with_routing_key.clone()),
        (None, Some(queue)) => Target::Queue(queue.clone()),
        (None, None) => Target::Origin,
    }
}

/// How often letters of each queue may be replayed, as the config says.
fn by_queue(desk: &Desk) -> BTreeMap<String, u32> {
    let said = desk.config.queues.iter().filter_map(|queue| match &queue.dead_letter {
        DeadLetter::To(target) if target.broker == desk.name => {
            Some((queue.name.clone(), target.max_replays))
        }
        _ => None,
    });
    said.collect()
}

fn print(rows: &[Row], matched: u64, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        for row in rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        return Ok(());
    }
    let mut table = Table::new(&["ID", "~MESSAGE", "CLASS", "CODE", ">REPLAY", "~WOULD GO TO"]);
    for row in rows {
        let (goes, look) = match (&row.target, &row.left) {
            (Some(target), _) if row.patched_body.is_some() => {
                (format!("{target}, mended"), Look::Good)
            }
            (Some(target), _) => (target.clone(), Look::Good),
            (None, why) => (format!("stays: {}", why.as_deref().unwrap_or_default()), Look::Bad),
        };
        table.row([
            (short(&row.id), Look::Strong),
            (row.message_id.as_deref().unwrap_or("-"), Look::Faint),
            (&row.class, Look::Plain),
            (&row.code, Look::Plain),
            (&row.replay_count.to_string(), Look::Plain),
            (&goes, look),
        ]);
    }
    if !table.is_empty() {
        table.print(Screen::of_stdout(), &mut out)?;
    }
    if let Some(body) = rows.iter().find_map(|row| row.patched_body.as_ref()) {
        writeln!(out, "\nthe first mended body: {}", crate::telemetry::logging::printable(body))?;
    }
    let more = matched.saturating_sub(rows.len() as u64);
    if more > 0 {
        writeln!(out, "… and {} more", grouped(more))?;
    }
    Ok(())
}
