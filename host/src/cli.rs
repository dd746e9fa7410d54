//! The command line: one verb a file in `cli/`, each with its `Args` and its `run`.
//!
//! A verb parses and prints; what it does lives in the rooms below. Exit codes are documented in
//! [`exit`].

pub mod check;
pub mod compile_plugin;
pub mod control;
pub mod demo;
pub mod dlq;
mod figures;
pub mod plugin;
pub mod publish;
pub mod reload;
pub mod replay;
pub mod run;
mod scratch;
pub mod simulate;
pub mod state;
pub mod tap;
pub mod topology;
pub mod versions;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What the process ends with.
pub mod exit {
    /// Something failed; the message says what.
    pub const FAILURE: u8 = 1;
    /// A drain didn't finish in time: what was left was released to its queues.
    pub const FORCED: u8 = 3;
    /// What could be done was done, but dead letters that were meant were left; the message says why.
    pub const LEFT: u8 = 4;
    /// Another version of a plugin was refused: the one that served goes on.
    pub const KEPT_OLD: u8 = 5;
    /// Another version of a plugin served for a while and was put back.
    pub const ROLLED_BACK: u8 = 6;
    /// Somebody else is at it; try again later (`EX_TEMPFAIL`).
    pub const BUSY: u8 = 75;
    /// Ctrl-C ended it before its time.
    pub const INTERRUPTED: u8 = 130;
    /// The config is wrong (`EX_CONFIG`).
    pub const CONFIG: u8 = 78;
}

/// A stream processing host for RabbitMQ that runs sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a simulated fleet of meters through real plugins and watch
    Demo(demo::Args),
    /// Run the service
    Run(run::Args),
    /// Check a config and report every problem at once
    Check(check::Args),
    /// Print what a config needs on the broker, or compare it with what is there
    Topology(topology::Args),
    /// Publish lines of a file, or standard input, to an exchange
    Publish(publish::Args),
    /// Publish what a town's meters say over days, with what was planted written beside
    Simulate(simulate::Args),
    /// List, explain, group, replay, purge and export dead letters
    Dlq(dlq::Args),
    /// Work on plugins
    Plugin(plugin::Args),
    /// Run a recorded call again, or recorded messages through a pipeline
    Replay(replay::Args),
    /// Watch messages and decisions of a running host's pipeline
    Tap(tap::Args),
    /// Have a running host read its config again
    Reload(reload::Args),
    /// List, print, remove, export and import what plugins remember, while no host runs on it
    State(state::Args),
    /// Say how a running host is doing
    Status(control::StatusArgs),
    /// Stop consuming on a running host, finish what is in hand, exit
    Drain(control::Args),
    /// Pause a running host's pipeline
    Pause(control::PipelineArgs),
    /// Resume a paused pipeline
    Resume(control::PipelineArgs),
    /// Have a running host's pipeline use more shards, or fewer
    Scale(control::ScaleArgs),
    /// Compile a plugin in a process of its own: what the host starts itself with
    #[command(name = crate::plugin::compile::VERB, hide = true)]
    CompilePlugin(compile_plugin::Args),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The same for every verb that reads a config.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The config file
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        default_value = "sluicegate.toml",
        env = "SLUICEGATE_CONFIG"
    )]
    path: PathBuf,
}

/// Runs the verb that was typed.
///
/// # Errors
/// What the verb couldn't do, with its context.
pub async fn main(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.verb {
        Verb::Demo(args) => demo::run(args).await,
        Verb::Run(args) => run::run(args).await,
        Verb::Check(args) => check::run(args).await,
        Verb::Topology(args) => topology::run(args).await,
        Verb::Publish(args) => publish::run(args).await,
        Verb::Simulate(args) => simulate::run(args).await,
        Verb::Dlq(args) => dlq::run(args).await,
        Verb::Plugin(args) => plugin::run(args).await,
        Verb::Replay(args) => replay::run(args).await,
        Verb::Tap(args) => tap::run(args).await,
        Verb::State(args) => state::run(args).await,
        Verb::Status(args) => control::status(args).await,
        Verb::Reload(args) => reload::run(args).await,
        Verb::Drain(args) => control::drain(args).await,
        Verb::Pause(args) => control::pause(args).await,
        Verb::Scale(args) => control::scale(args).await,
        Verb::Resume(args) => control::resume(args).await,
        Verb::CompilePlugin(args) => compile_plugin::run(args),
        Verb::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            clap_complete::generate(shell, &mut command, "sluicegate", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}
