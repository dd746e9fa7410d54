//! `sluicegate compile-plugin`: what the host starts itself with to compile a plugin within bounds. Not
//! for people.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::plugin::compile::{self, Task};

/// Options of `compile-plugin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cache to compile into
    #[arg(long, value_name = "FOLDER")]
    cache: PathBuf,
    /// Processor time, in seconds
    #[arg(long)]
    cpu_s: u64,
    /// Address space, in bytes
    #[arg(long)]
    memory_bytes: u64,
}

/// Runs the verb.
///
/// # Errors
/// What it couldn't do.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { cache, cpu_s, memory_bytes } = args;
    compile::child(&Task { cache_dir: cache, cpu_s, memory_bytes }).map(ExitCode::from)
}
