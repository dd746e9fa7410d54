//! `cargo xtask`: what cargo can't do alone.
//!
//! `setup` makes a machine able to run everything: the wasm target, a RabbitMQ, a Mosquitto. `test` is `setup`
//! and every test; `ci` is the whole gate; `brokers` runs what speaks to a broker on newer RabbitMQs;
//! `chaos` breaks things for as long as it is told to; `swaps` swaps versions of a plugin under load;
//! `bench` measures what it costs; `nab` and `detection` what the anomaly plugin finds; `timers` and `keys` do with a million of them;
//! `schedules` and `planted` run random faults by the thousand, and see that they find bugs.

mod bench;
mod brokers;
mod chaos;
mod detection;
mod many;
mod rabbitmq;
mod schedules;
mod suite;
mod swaps;

use std::env;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
cargo xtask setup          install what the tests need: the wasm target, a RabbitMQ, a Mosquitto
cargo xtask test [ARGS]    setup, then every test; ARGS go to cargo test
cargo xtask ci             formatting, every test, clippy, rustdoc, what a message costs; with times
cargo xtask chaos [--for 10m | --faults N] [--seed N] [--only FAULT,...] [--hurry PERCENT]
                       breaks host, broker and network under load, and counts what became of it
cargo xtask swaps [N]      versions of a plugin take turns under load N times, 300 by default
cargo xtask bench [PART...] [--quick]
                       what it costs, beside what else one could run; all parts but the peers
cargo xtask nab DATA OUT [--threshold BITS]
                       runs the anomaly plugin over the Numenta Anomaly Benchmark in the folder DATA and
                       writes its scores to OUT
cargo xtask detection nab DATA | held-out DATA | tune DATA | fleet
                       what its statistics find, natively: on that benchmark by threshold, with
                       parameters chosen without what is scored, looking for better ones; in a fleet
cargo xtask timers [N]     sets N timers, a million by default, and has them run over a restart
cargo xtask keys [N]       what a message costs in a pipeline of N keys, a million by default
cargo xtask brokers [RELEASE...] [-- TESTS]
                       tests on the RabbitMQs of later Debian releases (trixie, sid); as root
cargo xtask schedules [--seeds N | --seed N]
                       random schedules of faults on the embedded broker: 10,000, or one
cargo xtask planted [--seeds N] [NAME...]
                       bugs planted into a copy of the host, for the schedules to find";

/// What plugins are compiled for.
const WASM: &str = "wasm32-wasip2";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.split_first().map(|(verb, rest)| (verb.as_str(), rest)) {
        Some(("setup", [])) => setup(),
        Some(("test", rest)) => setup().and_then(|()| test(rest)),
        Some(("ci", [])) => ci(),
        Some(("bench", rest)) => setup().and_then(|()| bench::run(rest)),
        Some(("chaos", rest)) => setup().and_then(|()| chaos::run(rest)),
        Some(("swaps", rest)) => setup().and_then(|()| swaps::run(rest)),
        Some(("timers", rest)) => setup().and_then(|()| many::run(&many::TIMERS, rest)),
        Some(("keys", rest)) => setup().and_then(|()| many::run(&many::KEYS, rest)),
        Some(("nab", rest)) => wasm_target().and_then(|()| detection::nab(rest)),
        Some(("detection", rest)) => detection::natively(rest),
        Some(("brokers", rest)) => brokers::test(rest),
        Some(("schedules", rest)) => schedules::run_seeds(rest),
        Some(("planted", rest)) => schedules::planted(rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn setup() -> Result<()> {
    wasm_target()?;
    rabbitmq::ensure()?;
    rabbitmq::ensure_mosquitto()
}

fn test(arguments: &[String]) -> Result<()> {
    let started = Instant::now();
    let summary = suite::run(arguments)?;
    let (passed, binaries) = (summary.count("passed"), summary.lines.len());
    println!("{passed} tests passed, in {binaries} binaries, in {}", shown_time(started.elapsed()));
    Ok(())
}

/// What fails soonest comes first; clippy and rustdoc share the tests' profile, and so their
/// build scripts and macros.
fn ci() -> Result<()> {
    let mut times = Times::default();
    let done = gate(&mut times);
    times.print();
    for line in &done?.lines {
        println!("{line}");
    }
    Ok(())
}

fn gate(times: &mut Times) -> Result<suite::Summary> {
    times.take("format", || step(&["fmt", "--all", "--check"]))?;
    times.take("setup", setup)?;
    let summary = times.take("tests", || suite::run(&[]))?;
    let clippy = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    times.take("clippy", || step(&clippy))?;
    times.take("rustdoc", || {
        let mut doc = cargo();
        doc.args(["doc", "--release", "--workspace", "--no-deps"]);
        run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    times.take("guard", bench::guard)?;
    Ok(summary)
}

fn step(arguments: &[&str]) -> Result<()> {
    run(cargo().args(arguments))
}

/// How long each phase took.
#[derive(Default)]
struct Times(Vec<(&'static str, Duration)>);

impl Times {
    fn take<T>(&mut self, name: &'static str, phase: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let done = phase().with_context(|| format!("{name} failed"));
        self.0.push((name, started.elapsed()));
        done
    }

    fn print(&self) {
        println!();
        for (name, time) in &self.0 {
            println!("{name:<8} {:>9}", shown_time(*time));
        }
        let total = self.0.iter().map(|(_, time)| *time).sum();
        println!("{:<8} {:>9}\n", "all", shown_time(total));
    }
}

fn shown_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 60 {
        0 => format!("{:.1} s", time.as_secs_f64()),
        minutes => format!("{minutes} m {:02} s", seconds % 60),
    }
}

/// Adds the target where rustup has a say; elsewhere its library must already be there.
fn wasm_target() -> Result<()> {
    let libdir = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", WASM])
        .output()
        .context("rustc isn't there")?;
    let libdir = String::from_utf8_lossy(&libdir.stdout).trim().to_owned();
    if !libdir.is_empty() && std::path::Path::new(&libdir).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", WASM])).with_context(|| {
        format!("the target {WASM} is missing; without rustup, install your system's std for it")
    })
}

/// Cargo as it is when typed: what the outer one tells this program of itself would have build
/// scripts that look at it run again, and all that stands on them built again.
fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let of_package =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(of_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Shows a command as it would be typed.
fn announce(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default();
    let arguments = command.get_args().map(|argument| format!(" {}", argument.to_string_lossy()));
    let shown = format!("{program}{}", arguments.collect::<String>());
    eprintln!("$ {shown}");
    shown
}

/// Runs a command, shown first, that must succeed.
fn run(command: &mut Command) -> Result<()> {
    let shown = announce(command);
    let status = command.status().with_context(|| format!("can't start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}
