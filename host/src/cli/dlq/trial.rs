//! `sluicegate dlq replay --dry-run --plugin FILE`: dead letters through a candidate.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;

use super::ls::short;
use super::table::{Look, Screen, Table};
use super::{Desk, watch};
use crate::cli::figures::grouped;
use crate::deadletter::ledger::Ledger;
use crate::deadletter::replay::Replay;
use crate::deadletter::trial::{Candidate, Trial, TrialRow};
use crate::deadletter::work::Pass;
use crate::limits::DLQ_ROWS;

/// Whether a word of `--plugin` names a file to try, and not a plugin to filter by.
pub(super) fn is_file(word: &str) -> bool {
    word.contains('=') || Path::new(word).extension().is_some_and(|it| it == "wasm")
}

/// Which plugins the files stand for.
fn candidates(desk: &Desk, words: &[&String]) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for word in words {
        let candidate = match word.split_once('=') {
            Some((plugin, file)) if desk.config.plugins.contains_key(plugin) => {
                Candidate { plugin: plugin.to_owned(), file: PathBuf::from(file) }
            }
            Some((plugin, _)) => {
                let known: Vec<&str> = desk.config.plugins.keys().map(String::as_str).collect();
                bail!("the config has no plugin '{plugin}'; it has: {}", known.join(", "))
            }
            None => {
                Candidate { plugin: only_plugin(desk, word)?, file: PathBuf::from(word.as_str()) }
            }
        };
        candidates.push(candidate);
    }
    Ok(candidates)
}

/// The one plugin that the broker's pipelines use.
fn only_plugin(desk: &Desk, file: &str) -> anyhow::Result<String> {
    let pipelines = desk.config.pipelines.iter().filter(|p| p.broker == desk.name);
    let mut used: Vec<&str> =
        pipelines.flat_map(|p| &p.stages).map(|stage| stage.plugin.as_str()).collect();
    used.sort_unstable();
    used.dedup();
    match used[..] {
        [only] => Ok(only.to_owned()),
        _ => bail!(
            "in whose place is {file} tried? Write --plugin NAME={file}, with one of: {}",
            used.join(", ")
        ),
    }
}

/// Runs the letters through the candidates.
pub(super) async fn run(
    desk: Desk,
    (pass, ledger): (Pass, &Ledger),
    files: &[&String],
    replay: Replay,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let candidates = candidates(&desk, files)?;
    let mut trial = Trial::new(&desk.config, &desk.name, &candidates, replay)?;
    trial.rows_max = if json { usize::MAX } else { DLQ_ROWS };
    let running = pass.run(ledger, &mut trial);
    let (done, time) = watch::over(&pass.progress, "tried", json, running).await;
    desk.close().await;
    let summary = watch::ended(done, &pass.progress, "tried")?;
    print(&trial, json)?;
    watch::sum_up(&summary, ("tried", &pass.run), json, time)
}

fn print(trial: &Trial, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        for row in &trial.rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        for ((was, is), count) in &trial.changes {
            writeln!(out, "{}", json!({ "was": was, "would_be": is, "count": count }))?;
        }
        return Ok(());
    }
    let screen = Screen::of_stdout();
    rows(&trial.rows, screen, &mut out)?;
    let tried: u64 = trial.changes.values().sum();
    let more = tried.saturating_sub(trial.rows.len() as u64);
    if more > 0 {
        writeln!(out, "… and {} more", grouped(more))?;
    }
    writeln!(out)?;
    let mut table = Table::new(&[">COUNT", "WAS", "WOULD BE"]);
    for ((was, is), count) in &trial.changes {
        let better = is.starts_with("done") || is.starts_with("dropped");
        let look = if better { Look::Good } else { Look::Bad };
        table.row([(&grouped(*count), Look::Strong), (was, Look::Plain), (is, look)]);
    }
    if !table.is_empty() {
        table.print(screen, &mut out)?;
        writeln!(out)?;
    }
    if !trial.stateful.is_empty() {
        writeln!(
            out,
            "{} keeps state, which was empty here: each key was seen as if for the first time",
            trial.stateful.join(", ")
        )?;
    }
    writeln!(out, "nothing was published, nothing was settled")?;
    Ok(())
}

fn rows(rows: &[TrialRow], screen: Screen, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut table = Table::new(&["ID", "~MESSAGE", "WAS", "WOULD BE", "~WITH"]);
    for row in rows {
        let good = row.outcome == "done" || row.outcome == "dropped";
        let would = match &row.code {
            Some(code) => format!("{}: {code}", row.outcome),
            None => row.outcome.clone(),
        };
        let with = match (&row.text, row.outputs.is_empty()) {
            (Some(text), _) => text.clone(),
            (None, true) => "no outputs".to_owned(),
            (None, false) => row.outputs.join(", "),
        };
        table.row([
            (short(&row.id), Look::Strong),
            (row.message_id.as_deref().unwrap_or("-"), Look::Faint),
            (&row.was, Look::Plain),
            (&would, if good { Look::Good } else { Look::Bad }),
            (&with, Look::Plain),
        ]);
    }
    if !table.is_empty() {
        table.print(screen, out)?;
    }
    Ok(())
}
