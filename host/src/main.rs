//! Parses, runs, maps to an exit code.

use std::process::ExitCode;

use clap::Parser;
use sluicegate::cli::{self, Cli, exit};
use sluicegate::plugin::compile;

fn main() -> ExitCode {
    let cli = Cli::parse();
    compile::reexecutable();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sluicegate: can't start: {error}");
            return ExitCode::from(exit::FAILURE);
        }
    };
    runtime.block_on(cli::main(cli)).unwrap_or_else(|error| {
        eprintln!("sluicegate: {error:#}");
        ExitCode::from(exit::FAILURE)
    })
}
