//! `cargo xtask bench`: the parts of the benchmark, each to be run alone.

mod cli;

use clap::Parser as _;
use sluicegate_bench::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> anyhow::Result<()> {
    cli::run(cli::Arguments::parse())
}
