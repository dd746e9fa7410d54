//! `cargo xtask bench`: the parts of the benchmark, each to be run alone.

mod cli;

use clap::Parser as _;

fn main() -> anyhow::Result<()> {
    cli::run(cli::Arguments::parse())
}
