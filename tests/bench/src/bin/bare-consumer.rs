//! A consumer of plain lapin, as a process of its own; the benchmark starts it.

use clap::Parser as _;
use sluicegate_bench::amqp::bare::{Bare, run};

fn main() -> anyhow::Result<()> {
    run(&Bare::parse())
}
