//! `sluicegate status`, `drain`, `pause`, `resume`: verbs that act on a running host.

use std::process::ExitCode;

/// Options of `status` and `drain`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Options of `pause` and `resume`.
#[derive(Debug, clap::Args)]
pub struct PipelineArgs {}

/// Says how a running host is doing.
///
/// # Errors
/// Where no host answers.
pub async fn status(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not here yet")
}

/// Drains a running host.
///
/// # Errors
/// Where no host answers.
pub async fn drain(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not here yet")
}

/// Pauses a pipeline.
///
/// # Errors
/// Where no host answers, or it has no such pipeline.
pub async fn pause(_args: PipelineArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not here yet")
}

/// Resumes a pipeline.
///
/// # Errors
/// Where no host answers, or it has no such pipeline.
pub async fn resume(_args: PipelineArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not here yet")
}
