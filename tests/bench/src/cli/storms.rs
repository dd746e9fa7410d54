//! `storms`: what failures cost.

use std::path::PathBuf;

use clap::Args;
use rabbit_node::Node;
use sluicegate_bench::amqp::site::beside;
use sluicegate_bench::report;
use sluicegate_bench::storms::{self, Case, Fate, Row};

use super::Common;

/// What to look at.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Messages of a run.
    #[arg(long)]
    messages: Option<usize>,
    /// What lies in the full dead-letter queue.
    #[arg(long)]
    dead: Option<usize>,
    /// The host; else the one beside this program.
    #[arg(long)]
    host: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let quick = arguments.common.quick;
    let messages = arguments.messages.unwrap_or(if quick { 20_000 } else { 60_000 });
    let full = arguments.dead.unwrap_or(if quick { 50_000 } else { 1_000_000 });
    let host = arguments.host.clone().map_or_else(|| beside("sluicegate"), Ok)?;
    let case = |fate, per_mille, dead| Case { fate, per_mille, dead, messages };
    let mut cases = Vec::new();
    for dead in [0, full] {
        cases.push(case(Fate::Nacked, 0, dead));
        for fate in [Fate::Nacked, Fate::Annotated, Fate::Retried] {
            cases.extend([10, 100, 1000].map(|per_mille| case(fate, per_mille, dead)));
        }
    }
    let node = Node::start();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    println!("classic, 100 B, {messages} messages a run");
    let rows = runtime.block_on(storms::run(&node, &host, &cases, &mut print))?;
    report::write(arguments.common.json.as_deref(), &rows)
}

fn print(row: &Row) {
    let Case { fate, per_mille, dead, .. } = row.case;
    println!(
        "  {:>5.1} % {:10} {dead:>8} dead before  {:8.0}/s  {:7.2} us  broker {:7.2} us  {:.2} s",
        f64::from(per_mille) / 10.0,
        format!("{fate:?}").to_lowercase(),
        row.rate,
        row.cpu_us,
        row.broker_us,
        row.seconds
    );
}
