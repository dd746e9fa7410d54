//! `cargo xtask bench peers`: what a message costs on other hosts of WebAssembly, beside sluicegate.
//!
//! Every contender computes the same (`tests/bench/logic`) on the same messages and must come to the same
//! decisions. First each is given calls of several sizes; then they take turns, each at the size at which it was
//! cheapest, and the baseline is sluicegate, which takes part twice.

mod extism;
mod fluvio;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use serde::Serialize;
use sluicegate_bench::dispatch::native::Native;
use sluicegate_bench::dispatch::plugin::Sandboxed;
use sluicegate_bench::dispatch::records::Records;
use sluicegate_bench::dispatch::{self, ALL, Effort, Logic};
use sluicegate_bench::method::{Contender, Row, compare};
use sluicegate_bench::report;
use sluicegate_bench::sample::Sample;

use crate::extism::{Extism, usages};
use crate::fluvio::Fluvio;

mod guests {
    include!(concat!(env!("OUT_DIR"), "/guests.rs"));
}

/// Messages of a call.
const BATCHES: [usize; 6] = [1, 4, 16, 64, 256, 1024];
/// Bytes of a body.
const BYTES: [usize; 3] = [25, 256, 4096];
/// Different keys.
const KEYS: usize = 1000;

/// What a message costs on other hosts of WebAssembly, beside sluicegate.
#[derive(Parser)]
struct Arguments {
    /// A smaller table with fewer rounds: to see that it runs, not to quote.
    #[arg(long)]
    quick: bool,
    /// Where the results go as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only that logic.
    #[arg(long)]
    logic: Option<String>,
    /// Only bodies of that many bytes.
    #[arg(long)]
    bytes: Option<usize>,
}

/// What was compared, each contender at its own best.
#[derive(Serialize)]
struct Compared {
    logic: Logic,
    bytes: usize,
    /// The sweep: messages of a call, and nanoseconds of a message.
    sweep: Vec<(usize, Vec<(String, f64)>)>,
    /// Each contender's best size, in the order of `rows`.
    best: Vec<usize>,
    rows: Vec<Row>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut all = Vec::new();
    for logic in ALL {
        for bytes in BYTES {
            let other = arguments.logic.as_deref().is_some_and(|it| it != logic.as_str());
            if other || arguments.bytes.is_some_and(|it| it != bytes) {
                continue;
            }
            let compared = run(logic, bytes, arguments.quick)?;
            println!("{} {bytes} B, each in calls of its best size", logic.as_str());
            let mut rows = compared.rows.clone();
            for (row, best) in rows.iter_mut().zip(&compared.best) {
                row.name = format!("{} ({best})", row.name);
            }
            report::print(&rows);
            all.push(compared);
        }
    }
    report::write(arguments.json.as_deref(), &all)
}

fn run(logic: Logic, bytes: usize, quick: bool) -> anyhow::Result<Compared> {
    let rounds = if quick { 3 } else { 5 };
    let effort = Effort { rounds, turn: Duration::from_millis(10) };
    let mut sweep = Vec::new();
    for batch in BATCHES {
        let compared = dispatch::run(logic, bytes, batch, effort, &mut others)?;
        let rows = compared.rows.into_iter().map(|row| (row.name, row.ns)).collect();
        sweep.push((batch, rows));
    }
    let samples = dispatch::messages(logic, bytes, KEYS)?;
    let (mut contenders, mut best) = (Vec::new(), Vec::new());
    for wanted in Wanted::all(logic) {
        let batch = cheapest(&sweep, wanted.name())?;
        contenders.push(wanted.make(logic, &samples, batch)?);
        best.push(batch);
    }
    let effort = if quick { (5, 10) } else { (21, 20) };
    let rows = compare(&mut contenders, effort.0, Duration::from_millis(effort.1))?;
    Ok(Compared { logic, bytes, sweep, best, rows })
}

/// The peers, beside what the benchmark compares anyway.
fn others(
    logic: Logic,
    samples: &[Sample],
    batch: usize,
) -> anyhow::Result<Vec<Box<dyn Contender>>> {
    let mut others: Vec<Box<dyn Contender>> = Vec::new();
    for &usage in usages(logic) {
        others.push(Box::new(Extism::new(logic, usage, samples, batch)?));
    }
    others.push(Box::new(Fluvio::new(logic, samples, batch)?));
    Ok(others)
}

fn cheapest(sweep: &[(usize, Vec<(String, f64)>)], name: &str) -> anyhow::Result<usize> {
    let cost = |rows: &[(String, f64)]| rows.iter().find(|(it, _)| it == name).map(|(_, ns)| *ns);
    let costs = sweep.iter().filter_map(|(batch, rows)| Some((*batch, cost(rows)?)));
    let best = costs.min_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(batch, _)| batch).with_context(|| format!("{name} was never measured"))
}

/// Who takes part at the end.
#[derive(Clone, Copy)]
enum Wanted {
    Ours,
    Again,
    Native,
    Records,
    Extism(extism::Usage),
    Fluvio,
}

impl Wanted {
    fn all(logic: Logic) -> Vec<Self> {
        let mut all = vec![Self::Ours, Self::Again, Self::Native, Self::Records];
        all.extend(usages(logic).iter().map(|usage| Self::Extism(*usage)));
        all.push(Self::Fluvio);
        all
    }

    /// Its name in the sweep.
    fn name(self) -> &'static str {
        match self {
            Self::Ours | Self::Again => "sluicegate",
            Self::Native => "native",
            Self::Records => "list<record>",
            Self::Extism(usage) => usage.name(),
            Self::Fluvio => "Fluvio SmartModule",
        }
    }

    fn make(
        self,
        logic: Logic,
        samples: &[Sample],
        batch: usize,
    ) -> anyhow::Result<Box<dyn Contender>> {
        Ok(match self {
            Self::Ours | Self::Again => Box::new(Sandboxed::new(logic, samples, batch)?),
            Self::Native => Box::new(Native::new("native", logic, samples, batch)),
            Self::Records => Box::new(Records::new(logic, samples, batch)?),
            Self::Extism(usage) => Box::new(Extism::new(logic, usage, samples, batch)?),
            Self::Fluvio => Box::new(Fluvio::new(logic, samples, batch)?),
        })
    }
}
