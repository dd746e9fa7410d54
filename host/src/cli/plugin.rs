//! `sluicegate plugin`: what a plugin's author needs besides cargo.

mod build;

use std::process::ExitCode;

/// Options of `plugin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Build a plugin's crate to a component and check that this host can run it
    Build(build::Args),
}

/// Runs the verb.
///
/// # Errors
/// What it couldn't do.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        // Compilers take their time; the runtime's threads aren't theirs.
        Verb::Build(args) => tokio::task::spawn_blocking(move || build::run(&args)).await?,
    }
}
