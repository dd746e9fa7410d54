//! `end-to-end`: whole processes on a RabbitMQ of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use rabbit_node::Node;
use serde::Serialize;
use sluicegate_bench::amqp::site::beside;
use sluicegate_bench::amqp::wire::Kind;
use sluicegate_bench::end_to_end::{self, Programs, Row, Setting};
use sluicegate_bench::report;

use super::Common;

/// What to look at: everything, where nothing is said.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Only queues of that kind.
    #[arg(long)]
    kind: Option<Kind>,
    /// Only bodies of that many bytes.
    #[arg(long)]
    bytes: Option<usize>,
    /// Only what acknowledges (false), or publishes too (true).
    #[arg(long)]
    publishes: Option<bool>,
    /// Messages of a run; else as many as keep the slowest from taking minutes.
    #[arg(long)]
    messages: Option<u32>,
    /// Rounds.
    #[arg(long)]
    rounds: Option<usize>,
    /// Unacknowledged messages of each consumer at most.
    #[arg(long, default_value_t = sluicegate::limits::PREFETCH)]
    prefetch: u16,
    /// Messages that the good bare consumer acknowledges together.
    #[arg(long, default_value_t = 250)]
    together: usize,
    /// The host; else the one beside this program.
    #[arg(long)]
    host: Option<PathBuf>,
    /// Leaves the one in Python out.
    #[arg(long)]
    no_python: bool,
}

#[derive(Serialize)]
struct Compared {
    setting: Setting,
    rows: Vec<Row>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = programs(arguments.host.clone(), arguments.no_python)?;
    let node = Node::start();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut all = Vec::new();
    for setting in settings(arguments) {
        let (kind, bytes) = (setting.kind.as_str(), setting.bytes);
        let what = if setting.publishes { "consume, publish, ack" } else { "consume, ack" };
        println!("{what}: {kind}, {bytes} B, {} messages a run", setting.messages);
        let mut tell = |name: &str, run: &_| eprintln!("  {name}: {run:?}");
        let rows = runtime.block_on(end_to_end::run(&node, &setting, &programs, &mut tell))?;
        print(&rows);
        all.push(Compared { setting, rows });
    }
    report::write(arguments.common.json.as_deref(), &all)
}

fn settings(arguments: &Arguments) -> impl Iterator<Item = Setting> {
    let quick = arguments.common.quick;
    let rounds = arguments.rounds.unwrap_or(if quick { 1 } else { 5 });
    let messages = move |publishes| match (publishes, quick) {
        (false, false) => 100_000,
        (false, true) => 30_000,
        (true, false) => 15_000,
        (true, true) => 5_000,
    };
    let both = [false, true].into_iter().filter(|it| arguments.publishes.is_none_or(|p| p == *it));
    both.flat_map(|publishes| [Kind::Classic, Kind::Quorum].map(|kind| (publishes, kind)))
        .flat_map(|(publishes, kind)| [100, 1024].map(|bytes| (publishes, kind, bytes)))
        .filter(|it| arguments.kind.is_none_or(|kind| kind == it.1))
        .filter(|it| arguments.bytes.is_none_or(|bytes| bytes == it.2))
        .map(move |(publishes, kind, bytes)| {
            let messages = arguments.messages.unwrap_or_else(|| messages(publishes));
            Setting {
                kind,
                bytes,
                publishes,
                messages,
                warm_up: messages / 5,
                rest: messages / 20,
                rounds,
                prefetch: arguments.prefetch,
                together: arguments.together,
            }
        })
}

/// The contenders' programs. Where Python or pika can't be had, that contender is missing, and it is said.
pub(crate) fn programs(host: Option<PathBuf>, no_python: bool) -> anyhow::Result<Programs> {
    let bare = beside("bare-consumer")?;
    let python = if no_python { None } else { python(&bare) };
    if python.is_none() {
        println!("WITHOUT PYTHON: there is no row for pika");
    }
    Ok(Programs { host: host.map_or_else(|| beside("sluicegate"), Ok)?, bare, python })
}

/// A Python with pika, in an environment beside this program.
fn python(bare: &Path) -> Option<PathBuf> {
    let folder = bare.with_file_name("bench-python");
    let python = folder.join("bin/python");
    let has_pika = || {
        let mut command = Command::new(&python);
        command.args(["-c", "import pika"]).status().is_ok_and(|status| status.success())
    };
    if has_pika() {
        return Some(python);
    }
    let mut make = Command::new("python3");
    let made = make.args(["-m", "venv"]).arg(&folder).status();
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "pika"]);
    (made.is_ok() && install.status().is_ok() && has_pika()).then_some(python)
}

fn print(rows: &[Row]) {
    for row in rows {
        let [rate, low, high] = row.rate_ratio;
        let [cpu, cpu_low, cpu_high] = row.cpu_ratio;
        println!(
            "  {:20} {:8.0}/s {rate:5.2} ({low:.2} to {high:.2})  {:7.2} us {cpu:5.2} \
             ({cpu_low:.2} to {cpu_high:.2})  broker {:6.2} us",
            row.name, row.rate, row.cpu_us, row.broker_us
        );
    }
}
