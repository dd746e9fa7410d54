//! `sluicegate reload PLUGIN`, `plugin rollback`, `plugin history`: versions of plugins on a running host.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::admin::client;
use crate::admin::protocol::{Answer, Request};
use crate::cli::{control, exit};
use crate::reload::{Kept, Line, Outcome, What};
use crate::telemetry::logging::printable;

/// Characters of a digest that tell one version from another.
const DIGEST_CHARS: usize = 12;

/// Options of `plugin rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The plugin's name in the config
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// What the digest of the version begins with [default: the last that isn't the one that serves]
    #[arg(long, value_name = "DIGEST")]
    to: Option<String>,
    /// Print each line as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: control::Args,
}

/// Options of `plugin history`.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The plugin's name in the config [default: every plugin]
    #[arg(value_name = "PLUGIN")]
    plugin: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: control::Args,
}

/// Has a former version put back.
///
/// # Errors
/// Where no host answers, or it is lost meanwhile.
pub async fn roll_back(args: RollbackArgs) -> anyhow::Result<ExitCode> {
    let request = Request::Rollback { plugin: args.plugin, to: args.to };
    follow(args.host.socket(), &request, args.json).await
}

/// Prints the versions that served.
///
/// # Errors
/// Where no host answers.
pub async fn history(args: HistoryArgs) -> anyhow::Result<ExitCode> {
    let request = Request::PluginHistory { plugin: args.plugin };
    let message = match client::ask(args.host.socket(), &request).await? {
        Answer::Done { message } => message,
        Answer::Refused { error } => {
            eprintln!("sluicegate: the host refused: {}", printable(&error));
            return Ok(ExitCode::from(exit::FAILURE));
        }
        Answer::Status { .. } | Answer::Following { .. } => {
            bail!("the host answered another question; is it another version?")
        }
    };
    if args.json {
        println!("{message}");
        return Ok(ExitCode::SUCCESS);
    }
    let history: BTreeMap<String, Vec<Kept>> =
        serde_json::from_str(&message).context("the host's answer makes no sense")?;
    for (plugin, versions) in history {
        println!("{}", printable(&plugin));
        for kept in versions {
            let since = i64::try_from(kept.since).ok();
            let since = since.and_then(|since| jiff::Timestamp::from_second(since).ok());
            let since = since.map_or_else(|| "-".to_owned(), |since| since.to_string());
            let (digest, version) = (short(&kept.digest), printable(&kept.version));
            println!("  {digest}  {since}  {:<8}  {version}", printable(&kept.by).to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints each step of a reload, and ends as it does.
pub(super) async fn follow(
    socket: Option<&Path>,
    request: &Request,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut followed = match client::follow(socket, request).await? {
        Ok(followed) => followed,
        Err(error) => {
            eprintln!("sluicegate: the host refused: {}", printable(&error));
            return Ok(ExitCode::from(exit::FAILURE));
        }
    };
    let (mut worst, mut ends) = (0, 0);
    while let Some(text) = followed.next().await? {
        if json {
            println!("{text}");
        }
        // A line that says how many were lost is none of a reload.
        let Ok(line) = serde_json::from_str::<Line>(&text) else { continue };
        if !json {
            println!("{}", shown(&line));
        }
        if let What::Done(outcome) = &line.what {
            ends += 1;
            worst = worst.max(code(outcome));
        }
    }
    if ends == 0 {
        bail!("the host ended before the reload did; see its log");
    }
    Ok(ExitCode::from(worst))
}

fn code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Reloaded { .. } | Outcome::Unchanged => 0,
        Outcome::KeptOld { .. } => exit::KEPT_OLD,
        Outcome::RolledBack { .. } => exit::ROLLED_BACK,
    }
}

fn shown(line: &Line) -> String {
    let plugin = printable(&line.plugin);
    match &line.what {
        What::Step { step, text } => {
            format!("{plugin}: {}: {} ({} ms)", printable(step), printable(text), line.ms)
        }
        What::Done(Outcome::Reloaded { from, to, text }) => {
            let (from, to) = (short(from), short(to));
            format!("{plugin}: reloaded, {from} → {to}: {} ({} ms)", printable(text), line.ms)
        }
        What::Done(outcome) => {
            let word = outcome.as_str().replace('_', " ");
            format!("{plugin}: {word}: {} ({} ms)", printable(outcome.text()), line.ms)
        }
    }
}

fn short(digest: &str) -> String {
    digest.chars().take(DIGEST_CHARS).collect()
}
