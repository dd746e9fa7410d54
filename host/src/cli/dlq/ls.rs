//! `sluicegate dlq ls`: failures, newest first.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;

use super::options::{Common, Picked};
use super::table::{Look, Screen, Table};
use super::{Desk, agree_to_cost};
use crate::cli::exit;
use crate::cli::figures::grouped;
use crate::deadletter::check::{self, Check};
use crate::deadletter::filter::age;
use crate::deadletter::ledger::{Entry, Ledger};
use crate::deadletter::now_s;
use crate::limits::DLQ_REPORTS;
use crate::report::Report;

/// Options of `ls`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    picked: Picked,
    /// Those that were dealt with too, marked
    #[arg(short, long)]
    all: bool,
    /// So many lines at most; 0 is all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Compare with the letters in the queues: which have no report, which reports no letter
    #[arg(long)]
    check: bool,
    /// Accept what reading letters costs on a quorum queue (--check)
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

const HELP: &str = "\
It reads failure reports, which are small and bounded, and leaves them where they are; dead-letter queues \
aren't touched unless --check says so.

With --json: one failure a line, its report with `resolution` (null while it is open); --check adds \
lines with `check` (`no_report` or `no_letter`).

Ends with 0, 1 when something failed, 4 when --check finds a difference, 75 when somebody else reads the \
reports, 78 when the config is wrong.";

/// Characters of an id that tell one failure from another.
pub(super) const ID_CHARS: usize = 12;

/// Runs the verb.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.picked.filter()?;
    let desk = Desk::open(&args.common).await?;
    if args.check && !agree_to_cost(desk.letters()?, args.yes)? {
        return Ok(ExitCode::from(exit::FAILURE));
    }
    let ledger = desk.ledger().await?;
    let found: Vec<&Entry> = ledger
        .entries()
        .rev()
        .filter(|entry| args.all || entry.resolution.is_none())
        .filter(|entry| filter.matches(&entry.report))
        .collect();
    let most = if args.limit == 0 { usize::MAX } else { args.limit };
    let shown = &found[..found.len().min(most)];
    let mut out = std::io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    if args.common.json {
        for entry in shown {
            writeln!(out, "{}", serde_json::to_string(entry)?)?;
        }
    } else {
        print(shown, &mut out)?;
        notes(&ledger, shown.len(), found.len());
    }
    if args.check {
        drop(out);
        let places = desk.letters()?;
        let check = check::check(&desk.broker, places, &ledger, DLQ_REPORTS).await?;
        tell(&check, args.common.json, most)?;
        if !check.unreported.is_empty() || !check.letterless.is_empty() {
            code = ExitCode::from(exit::LEFT);
        }
    }
    desk.close().await;
    Ok(code)
}

/// How long ago that second was; `-` where it isn't known.
pub(super) fn ago(now: u64, at: u64) -> String {
    if at == 0 { "-".to_owned() } else { age(now.saturating_sub(at)) }
}

/// The characters of an id that are shown.
pub(super) fn short(id: &str) -> &str {
    &id[..id.floor_char_boundary(ID_CHARS)]
}

fn print(entries: &[&Entry], out: &mut dyn Write) -> anyhow::Result<()> {
    if entries.is_empty() {
        writeln!(out, "no failures")?;
        return Ok(());
    }
    let screen = Screen::of_stdout();
    let now = now_s();
    let head =
        ["ID", ">AGE", "CLASS", "CODE", "PLUGIN", "QUEUE", "~KEY", "~MESSAGE", "STATE", "~TEXT"];
    let mut table = Table::new(&head);
    for entry in entries {
        let report = &entry.report;
        let (state, look) = state(entry);
        table.row([
            (short(&report.id), Look::Strong),
            (&ago(now, report.failed_at), Look::Plain),
            (&report.class, Look::Plain),
            (&report.code, Look::Bad),
            (report.plugin.as_deref().unwrap_or("-"), Look::Plain),
            (&report.queue, Look::Plain),
            (&report.routing_key, Look::Faint),
            (report.message_id.as_deref().unwrap_or("-"), Look::Faint),
            (&state, look),
            (&report.text, Look::Plain),
        ]);
    }
    table.print(screen, out)?;
    Ok(())
}

fn state(entry: &Entry) -> (String, Look) {
    match (&entry.resolution, entry.report.replay_count) {
        (Some(fate), _) => (fate.what.clone(), Look::Good),
        (None, 0) => ("open".to_owned(), Look::Plain),
        (None, count) => (format!("open, replayed {count}×"), Look::Bad),
    }
}

fn notes(ledger: &Ledger, shown: usize, found: usize) {
    if found > shown {
        eprintln!("{} of {}; --limit 0 shows all", grouped(shown as u64), grouped(found as u64));
    }
    if ledger.forgotten > 0 {
        eprintln!("{} older reports are left out", grouped(ledger.forgotten));
    }
    if ledger.unreadable > 0 {
        eprintln!("{} messages among the reports are none", grouped(ledger.unreadable));
    }
}

fn tell(check: &Check, as_json: bool, most: usize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let kinds = [("no_report", &check.unreported), ("no_letter", &check.letterless)];
    if as_json {
        for (kind, reports) in kinds {
            for report in reports {
                writeln!(out, "{}", json!({ "check": kind, "letter": report }))?;
            }
        }
        return Ok(());
    }
    writeln!(
        out,
        "\n{} letters in the queues, {} with a report, {} without; {} open failures without a letter",
        grouped(check.letters),
        grouped(check.tied),
        grouped(check.letters - check.tied),
        grouped(check.letterless.len() as u64),
    )?;
    let mut table =
        Table::new(&["WHAT", "ID", ">AGE", "CLASS", "CODE", "QUEUE", "~KEY", "~MESSAGE"]);
    let now = now_s();
    for (what, reports) in [("no report", kinds[0].1), ("no letter", kinds[1].1)] {
        for report in reports.iter().take(most) {
            let id = |report: &Report| {
                let id = if report.id.is_empty() { &report.letter } else { &report.id };
                short(id).to_owned()
            };
            table.row([
                (what, Look::Bad),
                (&id(report), Look::Strong),
                (&ago(now, report.failed_at), Look::Plain),
                (&report.class, Look::Plain),
                (&report.code, Look::Plain),
                (&report.queue, Look::Plain),
                (&report.routing_key, Look::Faint),
                (report.message_id.as_deref().unwrap_or("-"), Look::Faint),
            ]);
        }
    }
    if !table.is_empty() {
        table.print(Screen::of_stdout(), &mut out)?;
    }
    Ok(())
}
