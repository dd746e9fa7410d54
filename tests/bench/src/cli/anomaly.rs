//! `anomaly`: what the anomaly plugin costs. `nab`: what it finds on the Numenta Anomaly Benchmark.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use sluicegate_bench::anomaly;
use sluicegate_bench::dispatch::Effort;
use sluicegate_bench::report;
use sluicegate_detection::nab::{Corpus, PROFILES};

use super::Common;

/// Bits of which the benchmark's score is half.
const SCALE_BITS: f64 = 24.0;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(crate) struct Nab {
    /// The benchmark's folder: `data/` and `labels/` are in it.
    data: PathBuf,
    /// Where the scores go, a file for each of the benchmark's.
    out: PathBuf,
    /// Bits of surprise from which on a row is an alarm.
    #[arg(long, default_value_t = 16.0)]
    threshold: f64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let rounds = if arguments.common.quick { 5 } else { 21 };
    let effort = Effort { rounds, turn: Duration::from_millis(40) };
    let mut all = Vec::new();
    for batch in [64, 256] {
        let cost = anomaly::cost(batch, effort)?;
        let [one, two] = cost.state_bytes;
        println!(
            "a reading, batches of {batch}; a meter's state {one} B, of two quantities {two} B"
        );
        report::print(&cost.rows);
        all.push(cost);
    }
    report::write(arguments.common.json.as_deref(), &all)
}

pub(crate) fn nab(arguments: &Nab) -> anyhow::Result<()> {
    let corpus = Corpus::read(&arguments.data)?;
    let alarms = anomaly::nab(&corpus, arguments.threshold)?;
    for (file, alarms) in corpus.files.iter().zip(&alarms) {
        let mut text = String::from("timestamp,value,anomaly_score\n");
        let mut alarms = alarms.iter().peekable();
        for (row, (at, value)) in file.rows.iter().enumerate() {
            let bits = alarms.next_if(|alarm| alarm.0 == row).map(|alarm| f64::from(alarm.1));
            let score = bits.map_or(0.0, |bits| 1.0 - (-bits / SCALE_BITS).exp2());
            text.push_str(&format!("{at},{value},{score}\n"));
        }
        write(&arguments.out.join(&file.path), &text)?;
    }
    for profile in &PROFILES {
        let (threshold, tally) = corpus.sweep(&alarms, profile);
        println!(
            "{:<9} {:.2}  at {threshold:.2} bits: {} of {} windows, {} rows outside",
            profile.name,
            tally.score(profile),
            tally.found,
            tally.windows,
            tally.false_rows
        );
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}
