//! `sluicegate status`, `drain`, `pause`, `resume`, `scale`: verbs that act on a running host.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::admin::client;
use crate::admin::protocol::{Answer, Request};
use crate::cli::exit;
use crate::limits::SHARDS_MAX;
use crate::telemetry::logging::printable;

/// Which host.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The host's control socket [default: where a host of this user, or the system's, puts it]
    #[arg(long, value_name = "PATH", env = "SLUICEGATE_SOCKET")]
    socket: Option<PathBuf>,
}

impl Args {
    /// Its control socket, where one was named.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }
}

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Args,
}

/// Options of `pause` and `resume`.
#[derive(Debug, clap::Args)]
pub struct PipelineArgs {
    /// The pipeline's name in the config
    #[arg(value_name = "PIPELINE")]
    name: String,
    #[command(flatten)]
    host: Args,
}

/// Options of `scale`.
#[derive(Debug, clap::Args)]
pub struct ScaleArgs {
    /// The pipeline's name in the config
    #[arg(value_name = "PIPELINE")]
    name: String,
    /// How many of the host's shards it is to use; no more than its config lets it
    #[arg(value_parser = shards)]
    shards: usize,
    #[command(flatten)]
    host: Args,
}

fn shards(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=SHARDS_MAX).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {SHARDS_MAX}"))
}

/// Says how a running host is doing.
///
/// # Errors
/// Where no host answers.
pub async fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let status = match client::ask(args.host.socket.as_deref(), &Request::Status).await? {
        Answer::Status { status } => status,
        Answer::Refused { error } => bail!("{}", printable(&error)),
        Answer::Done { .. } | Answer::Following { .. } => {
            bail!("the host answered another question; is it another version?")
        }
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status).context("status as JSON")?);
    } else {
        print!("{}", report::render(&status));
    }
    Ok(ExitCode::SUCCESS)
}

/// Drains a running host.
///
/// # Errors
/// Where no host answers.
pub async fn drain(args: Args) -> anyhow::Result<ExitCode> {
    command(&args, &Request::Drain).await
}

/// Pauses a pipeline.
///
/// # Errors
/// Where no host answers.
pub async fn pause(args: PipelineArgs) -> anyhow::Result<ExitCode> {
    command(&args.host, &Request::Pause { pipeline: args.name }).await
}

/// Resumes a pipeline.
///
/// # Errors
/// Where no host answers.
pub async fn resume(args: PipelineArgs) -> anyhow::Result<ExitCode> {
    command(&args.host, &Request::Resume { pipeline: args.name }).await
}

/// Has a pipeline use another number of shards.
///
/// # Errors
/// Where no host answers.
pub async fn scale(args: ScaleArgs) -> anyhow::Result<ExitCode> {
    let ScaleArgs { name, shards, host } = args;
    command(&host, &Request::Scale { pipeline: name, shards }).await
}

async fn command(args: &Args, request: &Request) -> anyhow::Result<ExitCode> {
    match client::ask(args.socket.as_deref(), request).await? {
        Answer::Done { message } => {
            println!("{}", printable(&message));
            Ok(ExitCode::SUCCESS)
        }
        Answer::Refused { error } => {
            eprintln!("sluicegate: the host refused: {}", printable(&error));
            Ok(ExitCode::from(exit::FAILURE))
        }
        Answer::Status { .. } | Answer::Following { .. } => {
            bail!("the host answered another question; is it another version?")
        }
    }
}
