//! The command line: one part of the benchmark per file.

mod anomaly;
mod dispatch;
mod end_to_end;
mod guard;
mod host;
mod latency;
mod memory;
mod reload;
mod scaling;
mod start;
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
    /// What the anomaly plugin costs.
    Anomaly(anomaly::Arguments),
    /// What the anomaly plugin finds on the Numenta Anomaly Benchmark.
    Nab(anomaly::Nab),
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
    /// From the command to the first message settled.
    Start(start::Arguments),
    /// What failures cost.
    Storms(storms::Arguments),
    /// A whole host in process, on a broker without a network.
    Host(host::Arguments),
    /// How that grows with shards, pipelines, stages and keys.
    Scaling(scaling::Arguments),
    /// What is resident.
    Memory(memory::Arguments),
    /// What a message costs, counted, and compared with what is kept.
    Guard(guard::Arguments),
    /// What the guard counts.
    #[command(hide = true)]
    InStep(guard::InStep),
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
        Part::Anomaly(arguments) => anomaly::run(&arguments),
        Part::Nab(arguments) => anomaly::nab(&arguments),
        Part::Dispatch(arguments) => dispatch::run(&arguments),
        Part::Reload(arguments) => reload::run(&arguments),
        Part::Symbols(arguments) => symbols::run(&arguments),
        Part::EndToEnd(arguments) => end_to_end::run(&arguments),
        Part::Latency(arguments) => latency::run(&arguments),
        Part::Start(arguments) => start::run(&arguments),
        Part::Storms(arguments) => storms::run(&arguments),
        Part::Host(arguments) => host::run(&arguments),
        Part::Scaling(arguments) => scaling::run(&arguments),
        Part::Memory(arguments) => memory::run(&arguments),
        Part::Guard(arguments) => guard::run(&arguments),
        Part::InStep(arguments) => guard::in_step(&arguments),
    }
}
