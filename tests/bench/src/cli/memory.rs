//! `memory`: what is resident: idle, per plugin instance, per million keys, over many messages.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use sluicegate::config::PluginLimits;
use sluicegate::plugin::{Engine, EngineOptions, Instance};
use sluicegate_bench::dispatch::Logic;
use sluicegate_bench::guests;
use sluicegate_bench::host::{Host, Plan};
use sluicegate_bench::report;

use super::Common;

/// How often another process is looked at.
const POLL: Duration = Duration::from_millis(100);

/// What to look at: everything, where nothing is said.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Messages of the long run.
    #[arg(long)]
    messages: Option<u64>,
    /// One part of it, in a process of its own.
    #[arg(long, hide = true)]
    only: Option<Part>,
}

/// A part.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Part {
    Instances,
    Keys,
    Long,
}

/// What was measured, in MiB.
#[derive(Serialize)]
struct Measured {
    what: String,
    mib: f64,
}

/// Instances that are made, to know what one takes.
const INSTANCES: u32 = 64;
/// Messages after which every map of the host is as large as it gets.
const SETTLED: u64 = 2_000_000;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let messages = arguments.messages.unwrap_or(match arguments.common.quick {
        true => 4_000_000,
        false => 100_000_000,
    });
    match arguments.only {
        Some(Part::Instances) => return instances(),
        Some(Part::Keys) => return keys(if arguments.common.quick { 100_000 } else { 1_000_000 }),
        Some(Part::Long) => return long(messages),
        None => {}
    }
    let mut all = vec![idle()?];
    let quick = arguments.common.quick.then_some("--quick");
    for part in ["instances", "keys", "long"] {
        // A process of its own: nothing of another part is in its memory.
        let output = Command::new(std::env::current_exe()?)
            .args(["memory", "--only", part, "--messages", &messages.to_string()])
            .args(quick)
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(output.status.success(), "memory --only {part} failed");
        let lines = String::from_utf8(output.stdout)?;
        all.extend(lines.lines().filter_map(|line| {
            let (mib, what) = line.split_once(' ')?;
            Some(Measured { what: what.to_owned(), mib: mib.parse().ok()? })
        }));
    }
    for it in &all {
        println!("{:9.2} MiB  {}", it.mib, it.what);
    }
    report::write(arguments.common.json.as_deref(), &all)
}

fn say(mib: f64, what: &str) {
    println!("{mib:.3} {what}");
}

/// What the host's own program takes, with three plugins and nothing to do.
fn idle() -> anyhow::Result<Measured> {
    let program = std::env::current_exe()?.with_file_name("sluicegate");
    let folder = tempfile::tempdir()?;
    let pipelines: String = ["meter-validate", "meter-anomaly", "meter-route"]
        .iter()
        .map(|name| {
            format!(
                "[[plugin]]\nname = \"{name}\"\nfile = \"builtin:{name}\"\n\
                 [[queue]]\nname = \"{name}\"\ndead_letter = \"discard\"\n\
                 [[pipeline]]\nname = \"{name}\"\nqueue = \"{name}\"\nkey.routing_key = 0\n\
                 stages = [\"{name}\"]\n"
            )
        })
        .collect();
    let service = "service = { state_dir = \"state\", cache_dir = \"cache\", http = false }\n";
    let config = folder.path().join("sluicegate.toml");
    std::fs::write(&config, format!("broker.main.url = \"embedded:\"\n{service}{pipelines}"))?;
    // The first start compiles; the second one is what a host is like from then on.
    let mut mib = 0.0;
    for _ in 0..2 {
        let mut command = Command::new(&program);
        command.arg("run").arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("{}: build it, `cargo build --release`", program.display()))?;
        mib = resting(Running(child))?;
    }
    Ok(Measured { what: "idle, three plugins, the whole process".to_owned(), mib })
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// What a process has once it stays the same for a while.
#[expect(
    clippy::disallowed_methods,
    reason = "another process doesn't say when it has come to rest"
)]
fn resting(running: Running) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut before = (0.0, Instant::now());
    loop {
        let now = resident(&running.0.id().to_string())?;
        if now != before.0 {
            before = (now, Instant::now());
        }
        if before.0 > 0.0 && before.1.elapsed() > Duration::from_secs(3)
            || began.elapsed() > Duration::from_secs(30)
        {
            return Ok(now);
        }
        sleep(POLL);
    }
}

/// Resident memory of a process, in MiB.
fn resident(process: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))
        .context("the host has ended; run it by hand to see why")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.context("no VmRSS in /proc")? / 1024.0)
}

fn instances() -> anyhow::Result<()> {
    let engine = Engine::new(EngineOptions::default())?;
    for (name, wasm, logic) in
        [("without state", guests::PLAIN, "pass"), ("with state", guests::ANOMALY, "anomaly")]
    {
        let config = rmp_serde::to_vec_named(&serde_json::json!({ "logic": logic }))?;
        let plugin = engine.load("bench", wasm, &config, &PluginLimits::default())?;
        let make = |_| plugin.instantiate().map_err(|error| anyhow::anyhow!("{error}"));
        let first = make(0)?;
        let before = resident("self")?;
        let all = (0..INSTANCES).map(make).collect::<anyhow::Result<Vec<Instance>>>()?;
        let each = (resident("self")? - before) / f64::from(INSTANCES);
        say(each, &format!("an instance of a plugin {name}"));
        drop((first, all));
    }
    Ok(())
}

fn keys(keys: u64) -> anyhow::Result<()> {
    let host = Host::start(&Plan { keys, ..Plan::of(Logic::Anomaly) })?;
    // The identities that are remembered are there already, of a few keys.
    let few = Host::start(&Plan { keys: 100, ..Plan::of(Logic::Anomaly) })?;
    few.run(2 * keys)?;
    let before = resident("self")?;
    drop(few);
    let base = resident("self")?;
    host.run(2 * keys)?;
    say(before, &format!("{} messages of a hundred keys, state of 108 B each", 2 * keys));
    say(resident("self")? - base, &format!("more, with as many messages of {keys} keys"));
    Ok(())
}

fn long(messages: u64) -> anyhow::Result<()> {
    let host = Host::start(&Plan::of(Logic::Pass))?;
    host.run(SETTLED.min(messages))?;
    let began = resident("self")?;
    say(began, &format!("after {} messages", SETTLED.min(messages)));
    for tenth in 1..=10 {
        host.run(messages / 10)?;
        say(resident("self")?, &format!("after {} more", messages / 10 * tenth));
    }
    Ok(())
}
