//! The command line: one part of the benchmark per file.

mod dispatch;
mod end_to_end;
mod latency;
mod reload;
mod storms;
mod symbols;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What sluicegate costs, beside what else one could run.
#[derive(Parser)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Calls of plugins, in process.
    Dispatch(dispatch::Arguments),
    /// Other versions of plugins.
    Reload(reload::Arguments),
    /// A plugin compiled to a file whose symbols a profiler can use.
    Symbols(symbols::Arguments),
    /// Whole processes on a RabbitMQ of their own.
    EndToEnd(end_to_end::Arguments),
    /// From a producer to the settlement, and to the output.
    Latency(latency::Arguments),
    /// What failures cost.
    Storms(storms::Arguments),
}

/// How much to measure, and where to write it.
#[derive(Args)]
struct Common {
    /// A smaller table with fewer rounds: to see that it runs, not to quote.
    #[arg(long)]
    quick: bool,
    /// Where the results go as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.part {
        Part::Dispatch(arguments) => dispatch::run(&arguments),
        Part::Reload(arguments) => reload::run(&arguments),
        Part::Symbols(arguments) => symbols::run(&arguments),
        Part::EndToEnd(arguments) => end_to_end::run(&arguments),
        Part::Latency(arguments) => latency::run(&arguments),
        Part::Storms(arguments) => storms::run(&arguments),
    }
}
