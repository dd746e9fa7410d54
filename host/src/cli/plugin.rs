//! `sluicegate plugin`: what a plugin's author needs besides cargo.

mod bench;
mod build;
mod dev;
mod inspect;
mod new;
mod paint;
mod show;
mod test;

use std::process::ExitCode;

use super::versions;

/// Options of `plugin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a folder with a new plugin, against the SDK that this binary carries
    New(new::Args),
    /// Write the SDK that this binary carries into a plugin's folder
    Sdk(new::SdkArgs),
    /// Build a plugin's crate to a component and check that this host can run it
    Build(build::Args),
    /// Run a plugin's test cases in the sandbox
    Test(test::Args),
    /// Measure a component: throughput, latency, memory
    Bench(bench::Args),
    /// Build, test and reload at every change
    Dev(dev::Args),
    /// Say what a component is, imports, takes and weighs
    Inspect(inspect::Args),
    /// Say which versions of a running host's plugins served
    History(versions::HistoryArgs),
    /// Put a former version of a running host's plugin back
    Rollback(versions::RollbackArgs),
}

/// Runs the verb.
///
/// # Errors
/// What it couldn't do.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::History(args) => versions::history(args).await,
        Verb::Rollback(args) => versions::roll_back(args).await,
        // Compilers take their time; the runtime's threads aren't theirs.
        Verb::Build(args) => tokio::task::spawn_blocking(move || build::run(&args)).await?,
        Verb::Test(args) => tokio::task::spawn_blocking(move || test::run(&args)).await?,
        Verb::Inspect(args) => tokio::task::spawn_blocking(move || inspect::run(&args)).await?,
        Verb::Bench(args) => tokio::task::spawn_blocking(move || bench::run(&args)).await?,
        Verb::Dev(args) => dev::run(args).await,
        Verb::New(args) => new::run(&args),
        Verb::Sdk(args) => new::sdk(&args),
    }
}
