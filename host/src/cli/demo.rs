//! `sluicegate demo`.

use std::process::ExitCode;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the verb.
///
/// # Errors
/// What it couldn't do.
pub async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not here yet")
}
