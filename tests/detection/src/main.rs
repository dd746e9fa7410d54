//! What the anomaly plugin's statistics find, natively. `cargo xtask nab` runs the plugin itself.

use std::path::PathBuf;
use std::thread::available_parallelism;

use anyhow::Result;
use clap::{Parser, Subcommand};
use meter_detector::{Alarms, Settings, Tuning};
use sluicegate_detection::fleet::Curve;
use sluicegate_detection::nab::{Corpus, PROFILES, Tally};
use sluicegate_detection::planted::{self, Found, PLANTS, Size, Told};
use sluicegate_detection::series::{Setup, alarms, bits};
use sluicegate_detection::{held_out, tune};

/// What the anomaly plugin's statistics find.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The benchmark's scores with the defaults, by threshold.
    Nab {
        /// The benchmark's folder.
        data: PathBuf,
    },
    /// Its scores with parameters and threshold chosen without the files that are scored.
    HeldOut {
        /// The benchmark's folder.
        data: PathBuf,
    },
    /// Looks for better parameters, in-sample.
    Tune {
        /// The benchmark's folder.
        data: PathBuf,
        /// Steps.
        #[arg(long, default_value_t = 1000)]
        steps: usize,
        /// What they start from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// What is found in a synthetic fleet, and what is told of nothing.
    Fleet {
        /// Meters.
        #[arg(long, default_value_t = 300)]
        meters: usize,
        /// Days.
        #[arg(long, default_value_t = 120)]
        days: usize,
        /// What they start from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The step of registers, in kWh.
        #[arg(long, default_value_t = 0.001)]
        resolution: f64,
        /// Bits from which on there is an alert.
        #[arg(long, default_value_t = 33.0)]
        alert: f32,
        /// Days that a change must last to be told.
        #[arg(long, default_value_t = 15)]
        lasting_days: u32,
    },
}

/// What it takes for no difference, in kWh and in V.
const KWH_STEP: f32 = 0.01;
const VOLT_STEP: f32 = 0.1;

fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Nab { data } => nab(&Corpus::read(&data)?),
        Verb::HeldOut { data } => held_out(&Corpus::read(&data)?),
        Verb::Tune { data, steps, seed } => {
            let tell = &mut |scored: &tune::Scored| println!("{scored:.4?}");
            tune::climb(&Corpus::read(&data)?, Setup::default(), steps, seed, tell);
        }
        Verb::Fleet { meters, days, seed, resolution, alert, lasting_days } => {
            fleet(Size { meters, days, seed, resolution }, alert, lasting_days);
        }
    }
    Ok(())
}

fn nab(corpus: &Corpus) {
    let bits = bits(corpus, &Tuning::default());
    println!("threshold  {}", PROFILES.map(|profile| profile.name).join("  "));
    for threshold in (20..=50).map(|half| half as f32 / 2.0) {
        let rows = alarms(&bits, &Alarms { threshold, ..Alarms::default() });
        let [standard, low_fp, low_fn] = tune::scores(corpus, &rows);
        println!("{threshold:>9}  {standard:>8.2}  {low_fp:>6.2}  {low_fn:>6.2}");
    }
}

fn held_out(corpus: &Corpus) {
    let left = held_out::run(corpus, available_parallelism().map_or(1, usize::from));
    for part in &left {
        let scores: Vec<String> = PROFILES
            .iter()
            .zip(&part.tallies)
            .map(|(profile, tally)| match tally.windows {
                0 => format!("{} false rows", tally.false_rows),
                _ => format!("{:.2}", tally.score(profile)),
            })
            .collect();
        println!("{:<24} {:<24} {:.4?}", part.category, scores.join(" "), part.setup);
    }
    for (at, profile) in PROFILES.iter().enumerate() {
        let tallies = left.iter().map(|part| part.tallies[at]);
        let all = tallies.fold(Tally::default(), Tally::and);
        println!("{:<9} {:.2}  {all:?}", profile.name, all.score(profile));
    }
}

/// The plugin's defaults for a quantity of that resolution.
fn settings(resolution: f32, lasting_days: u32) -> Settings {
    Settings {
        tuning: Tuning { resolution, ..Tuning::default() },
        alarms: Alarms::default(),
        channels: [true; 3],
        quiet_days: 14,
        lasting_days,
        stuck: 8,
        register: false,
    }
}

fn fleet(size: Size, alert: f32, lasting_days: u32) {
    println!("{size:?}, an alert has {alert} bits, a change lasts {lasting_days} days");
    let consumption = settings(KWH_STEP, lasting_days);
    for plant in PLANTS {
        let found = planted::find(size, plant, &consumption, alert);
        println!("{:<15} {}", format!("{plant:?}"), shown(&found));
        let by_kind =
            found.kinds.iter().map(|(kind, (meters, told))| format!("{kind:?} {told}/{meters}"));
        println!("                {}", by_kind.collect::<Vec<_>>().join(", "));
    }
    let years = size.meters as f64 * size.days as f64 / 365.25;
    for (what, leaves, volts) in [
        ("consumption", false, false),
        ("consumption, everybody away for 5 to 14 days once", true, false),
        ("voltage", false, true),
    ] {
        let settings = if volts { settings(VOLT_STEP, lasting_days) } else { consumption };
        let told =
            |curve: Curve| planted::told(if volts { &curve.volts } else { &curve.kwh }, &settings);
        let all: Vec<Told> = planted::fleet(size, leaves).flat_map(told).collect();
        let rate = |what: &str, bits: f32| {
            let told = all.iter().filter(|told| told.what == what && told.bits >= bits).count();
            format!("{:.2}", told as f64 / years)
        };
        let bits = [20.0, 25.0, alert, 40.0];
        let unusual = bits.map(|bits| format!("{} of {bits} bits", rate("unusual", bits)));
        let (changed, stuck) = (rate("changed", 0.0), rate("stuck", 0.0));
        println!(
            "{what}: a meter-year has {}; {changed} changed, {stuck} stuck",
            unusual.join(", ")
        );
    }
}

fn shown(found: &Found) -> String {
    let share = 100.0 * found.delays.len() as f64 / found.meters as f64;
    let hours = |percent: usize| {
        let at = found.delays.len().saturating_sub(1) * percent / 100;
        found.delays.get(at).map_or(0.0, |readings| *readings as f64 / 4.0)
    };
    let (median, p90, most) = (hours(50), hours(90), hours(100));
    format!("{share:>6.2} %, hours until then: median {median}, p90 {p90}, at most {most}")
}
