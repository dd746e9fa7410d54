//! `sluicegate dlq group`: failures by cause.

use std::io::Write;
use std::process::ExitCode;

use super::Desk;
use super::ls::{ago, short};
use super::options::{Common, Which};
use super::table::{Look, Screen, Table};
use crate::cli::figures::grouped;
use crate::deadletter::group::{Group, groups};
use crate::deadletter::now_s;

/// Options of `group`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(super) struct Args {
    /// The plugin that is to blame
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Which failures")]
    plugin: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Those that were dealt with too
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

const HELP: &str = "\
Failures belong together that have one cause: pipeline, class, code, plugin, and where it trapped, or its \
text without what differs from message to message. `--fingerprint` of the other verbs takes a group.

With --json: one group a line.";

/// Runs the verb.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let filter = args.which.filter(&[], &args.plugin)?;
    let desk = Desk::open(&args.common).await?;
    let ledger = desk.ledger().await?;
    let open = ledger.entries().filter(|entry| args.all || entry.resolution.is_none());
    let groups = groups(open.filter(|entry| filter.matches(&entry.report)));
    let mut out = std::io::stdout().lock();
    if args.common.json {
        for group in &groups {
            writeln!(out, "{}", serde_json::to_string(group)?)?;
        }
    } else {
        print(&groups, &mut out)?;
    }
    drop(out);
    desk.close().await;
    Ok(ExitCode::SUCCESS)
}

fn print(groups: &[Group], out: &mut dyn Write) -> anyhow::Result<()> {
    if groups.is_empty() {
        writeln!(out, "no failures")?;
        return Ok(());
    }
    let now = now_s();
    let head = [
        ">COUNT",
        "FINGERPRINT",
        ">FIRST",
        ">LAST",
        "PIPELINE",
        "CLASS",
        "CODE",
        "PLUGIN",
        "EXAMPLE",
        "~TEXT",
    ];
    let mut table = Table::new(&head);
    for group in groups {
        let since = |at: u64| ago(now, at);
        table.row([
            (&grouped(group.count as u64), Look::Strong),
            (&group.fingerprint, Look::Faint),
            (&since(group.first_seen), Look::Plain),
            (&since(group.last_seen), Look::Plain),
            (&group.pipeline, Look::Plain),
            (&group.class, Look::Plain),
            (&group.code, Look::Bad),
            (group.plugin.as_deref().unwrap_or("-"), Look::Plain),
            (short(&group.example), Look::Strong),
            (&group.text, Look::Plain),
        ]);
    }
    table.print(Screen::of_stdout(), out)?;
    let total: usize = groups.iter().map(|group| group.count).sum();
    eprintln!("{} failures in {} groups", grouped(total as u64), groups.len());
    Ok(())
}
