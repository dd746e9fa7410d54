//! Benchmarks: what sluicegate costs, beside what else one could run. Each part is told in `docs/performance.md`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{cargo, rabbitmq, run as run_command};

/// The parts that `cargo xtask bench` goes through, the quickest first.
const PARTS: [&str; 10] = [
    GUARD,
    "dispatch",
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let results = root.join(RESULTS);
    fs::create_dir_all(&results).with_context(|| format!("make {}", results.display()))?;
    // Together, so that host and benchmark share what they are built of; parts start the host as a process.
    let packages = ["-p", "sluicegate", "-p", "sluicegate-bench"];
    run_command(cargo().arg("build").arg("--release").args(packages))?;
    for part in parts {
        let mut command = cargo();
        command.args(["run", "--release"]);
        if part == PEERS {
            // From there, for its toolchain has more targets. One of its engines wants a newer compiler than
            // it needs.
            let target = fs::canonicalize(&root)?.join("target");
            command.current_dir(root.join("tests/peers")).arg("--ignore-rust-version");
            command.arg("--target-dir").arg(target).arg("--");
        } else {
            command.args(packages).args(["--bin", "sluicegate-bench", "--", part]);
        }
        let json = fs::canonicalize(&results)?.join(format!("{part}.json"));
        run_command(command.args(&options).arg("--json").arg(json))?;
    }
    println!("results as JSON: {RESULTS}/");
    Ok(())
}
