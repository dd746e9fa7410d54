//! `start`: from the command to the first message settled.

use std::path::PathBuf;

use clap::Args;
use rabbit_node::Node;
use sluicegate_bench::amqp::site::beside;
use sluicegate_bench::report;
use sluicegate_bench::start::{Case, Started, Times, run as start};

use super::Common;

/// Which host to start.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The host's binary; the one beside this one, where nothing is said.
    #[arg(long)]
    host: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let host = arguments.host.clone().map_or_else(|| beside("sluicegate"), Ok)?;
    let times: usize = if arguments.common.quick { 3 } else { 21 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let node = Node::start();
    let mut all = Vec::new();
    for plugins in [1, 10] {
        for warm in [false, true] {
            let times = if warm { times } else { times.div_ceil(4) };
            let started = runtime.block_on(start(&node, &host, Case { plugins, warm }, times))?;
            print(&started);
            all.push(started);
        }
    }
    report::write(arguments.common.json.as_deref(), &all)
}

/// A part of a start, and how long it took.
type Part = (&'static str, fn(&Times) -> f64);

fn print(started: &Started) {
    let Case { plugins, warm } = started.case;
    let temperature = if warm { "warm" } else { "cold" };
    println!("{plugins} plugins, {temperature}: {} starts, ms", started.all.len());
    let parts: [Part; 7] = [
        ("command to handshake", |it| it.handshake),
        ("to a consumer", |it| it.consumes),
        ("to a delivery", |it| it.delivered),
        ("to its output", |it| it.published),
        ("to its settlement", |it| it.settled),
        ("after the handshake", Times::after_handshake),
        ("all", Times::whole),
    ];
    for (name, of) in parts {
        let at = |share| started.quantile(of, share);
        println!("  {name:24} {:8.1} ({:.1} to {:.1})", at(0.5), at(0.1), at(0.9));
    }
}
