//! `sluicegate reload`: has a running host read its config again, and waits for what it comes to.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::admin::protocol::Request;
use crate::admin::{ReloadLine, ReloadOutcome, Reloaded, client};
use crate::cli::{exit, versions};
use crate::telemetry::logging::printable;

/// Options of `reload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One plugin [default: the config, and every plugin]
    #[arg(value_name = "PLUGIN")]
    plugin: Option<String>,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
    /// The host's control socket [default: where a host of this user, or the system's, puts it]
    #[arg(long, value_name = "PATH", env = "SLUICEGATE_SOCKET")]
    socket: Option<PathBuf>,
}

/// Reloads, prints each step, and ends when it is done.
///
/// # Errors
/// Where no host answers, or it ends meanwhile.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(plugin) = args.plugin {
        let request = Request::ReloadPlugin { plugin };
        return versions::follow(args.socket.as_deref(), &request, args.json).await;
    }
    let request = Request::Reload { plugin: None };
    let mut followed = match client::follow(args.socket.as_deref(), &request).await? {
        Ok(followed) => followed,
        Err(error) => bail!("the host refused: {}", printable(&error)),
    };
    while let Some(line) = followed.next().await? {
        // What this version doesn't know isn't what it waits for.
        let Ok(line) = serde_json::from_str(&line) else { continue };
        match line {
            ReloadLine::Step { text } if !args.json => println!("{}", printable(&text)),
            ReloadLine::Step { .. } => {}
            ReloadLine::Ended(reloaded) => return end(&reloaded, args.json),
        }
    }
    bail!("the host ended before the reload did; see its log")
}

fn end(reloaded: &Reloaded, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string_pretty(reloaded).context("the outcome as JSON")?);
    } else {
        tell(reloaded);
    }
    Ok(match reloaded.outcome {
        ReloadOutcome::Applied | ReloadOutcome::Unchanged => ExitCode::SUCCESS,
        ReloadOutcome::Refused => ExitCode::from(exit::CONFIG),
        ReloadOutcome::Failed => ExitCode::from(exit::FAILURE),
        ReloadOutcome::KeptOld => ExitCode::from(exit::KEPT_OLD),
        ReloadOutcome::RolledBack => ExitCode::from(exit::ROLLED_BACK),
    })
}

fn tell(reloaded: &Reloaded) {
    for problem in &reloaded.problems {
        let lines: Vec<String> = problem.lines().map(printable).collect();
        eprintln!("{}", lines.join("\n"));
    }
    for line in &reloaded.done {
        println!("{}", printable(line));
    }
    for warning in &reloaded.warnings {
        eprintln!("warning: {}", printable(warning));
    }
    match reloaded.outcome {
        ReloadOutcome::Applied => println!("reloaded"),
        ReloadOutcome::Unchanged => println!("nothing differs"),
        ReloadOutcome::KeptOld | ReloadOutcome::RolledBack => eprintln!("reloaded in part"),
        ReloadOutcome::Refused | ReloadOutcome::Failed => {
            eprintln!("not applied: the host runs on as it was");
        }
    }
}
