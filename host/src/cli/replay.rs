//! `sluicegate replay`: a recorded call run again, or recorded messages through a pipeline.

mod call;
mod from;

use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {
    /// A capsule's file, or the id of a failure (`dlq ls` shows it), or its first digits
    #[arg(value_name = "CAPSULE", required_unless_present = "from")]
    capsule: Option<String>,
    /// Run the call in this component instead of the version that was recorded
    #[arg(long, value_name = "FILE.wasm", conflicts_with = "from")]
    plugin: Option<PathBuf>,
    /// How often it is run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    times: u32,
    /// Write the call into this folder as a test case for `plugin test`, instead of running it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from", "plugin"])]
    as_test: Option<PathBuf>,
    /// Print the capsule itself, as JSON
    #[arg(long, conflicts_with = "from")]
    show: bool,
    /// Messages to send through a pipeline: lines of JSON, as `dlq export` writes them
    #[arg(long, value_name = "MESSAGES.jsonl", requires = "pipeline", conflicts_with = "capsule")]
    from: Option<PathBuf>,
    /// The pipeline
    #[arg(long, value_name = "NAME", requires = "from")]
    pipeline: Option<String>,
    /// How fast: `recorded` (by the messages' timestamps), or N/s [default: as fast as it goes]
    #[arg(long, value_name = "PACE", requires = "from", value_parser = from::pace)]
    pace: Option<from::Pace>,
    /// The config: where capsules and plugins are, and which pipelines there are
    #[arg(short, long, value_name = "FILE", env = "SLUICEGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
A capsule is run in the sandbox with the limits, the config and the clock that were recorded; no broker is
asked, nothing is stored, nothing published. Exit codes: 0 it ended as recorded, to the bit; 1 it didn't, or
couldn't be run.

With --from, the pipeline of the config runs on a broker in this process: nothing is published to yours, and
state starts empty. A retry counts as a failure and isn't waited for. Exit codes: 0 all messages went through;
4 some failed.

  sluicegate replay 3f2a9c -c sluicegate.toml --times 10
  sluicegate replay call.capsule --as-test cases
  sluicegate replay call.capsule --plugin target/wasm32-wasip2/plugin/mended.wasm
  sluicegate replay --from letters.jsonl --pipeline readings -c sluicegate.toml
";

/// Runs a call or messages again.
///
/// # Errors
/// What can't be found, read or run.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match (&args.from, &args.capsule) {
        (Some(_), _) => from::run(args).await,
        (None, _) => tokio::task::spawn_blocking(move || call::run(&args)).await?,
    }
}
