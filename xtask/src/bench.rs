//! Benchmarks: what sluicegate costs, beside what else one could run. Each part is told in `docs/performance.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{cargo, rabbitmq, run as run_command};

/// The parts that `cargo xtask bench` goes through, the quickest first.
const PARTS: [&str; 11] = [
    GUARD,
    "dispatch",
    "anomaly",
    "host",
    "scaling",
    "memory",
    "reload",
    "start",
    "latency",
    "storms",
    "end-to-end",
];
/// A part in a workspace of its own, since it brings two more engines along.
const PEERS: &str = "peers";
/// The part that counts instructions.
const GUARD: &str = "guard";
/// Where the results lie, one file a part.
const RESULTS: &str = "target/bench";

/// Runs the parts that are named, all but the peers where none is. What begins with `-` is for each of them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (options, named): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with('-'));
    let parts: Vec<&str> = match &named[..] {
        [] => PARTS.to_vec(),
        named => named.iter().map(|part| part.as_str()).collect(),
    };
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part) && **part != PEERS) {
        bail!("there is no part '{unknown}'; there are {} and {PEERS}", PARTS.join(", "));
    }
    if parts.contains(&GUARD) {
        rabbitmq::ensure_valgrind()?;
    }
    let program = build()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let results = root.join(RESULTS);
    fs::create_dir_all(&results).with_context(|| format!("make {}", results.display()))?;
    for part in parts {
        let mut command = if part == PEERS { peers(&root)? } else { Command::new(&program) };
        if part != PEERS {
            command.arg(part);
        }
        let json = fs::canonicalize(&results)?.join(format!("{part}.json"));
        run_command(command.args(&options).arg("--json").arg(json))?;
    }
    println!("results as JSON: {RESULTS}/");
    Ok(())
}

/// Counts what a message costs and compares it with what is kept.
pub(crate) fn guard() -> Result<()> {
    rabbitmq::ensure_valgrind()?;
    run_command(Command::new(build()?).arg(GUARD))
}

/// Builds the benchmarks, and the host that some of them start, and says where they are. As one, and the same
/// way for all: what one package asks of a library another one gets too, and that moves counts.
fn build() -> Result<PathBuf> {
    run_command(cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    let own = std::env::current_exe().context("where this program is")?;
    let target = own.ancestors().nth(2).context("this program isn't in a target folder")?;
    Ok(target.join("release/sluicegate-bench"))
}

/// The peers' program. From its own folder, for its toolchain has more targets; one of its engines asks for a
/// newer compiler than it needs.
fn peers(root: &Path) -> Result<Command> {
    let mut command = cargo();
    let target = fs::canonicalize(root)?.join("target");
    command.args(["run", "--release", "--ignore-rust-version", "--target-dir"]).arg(target);
    command.arg("--").current_dir(root.join("tests/peers"));
    Ok(command)
}
