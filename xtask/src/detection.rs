//! What the anomaly plugin finds: the plugin itself over a benchmark, and its statistics natively.
//! `docs/detection.md` has the results.

use anyhow::Result;

use crate::{cargo, run};

/// The plugin, in the sandbox, over the Numenta Anomaly Benchmark.
pub(crate) fn nab(arguments: &[String]) -> Result<()> {
    // Together, so that host and benchmark share what they are built of.
    let packages = ["-p", "sluicegate", "-p", "sluicegate-bench"];
    let mut command = cargo();
    command.args(["run", "--release"]).args(packages).args(["--bin", "sluicegate-bench"]);
    run(command.args(["--", "nab"]).args(arguments))
}

/// Its statistics alone.
pub(crate) fn natively(arguments: &[String]) -> Result<()> {
    let package = ["run", "--release", "-p", "sluicegate-detection", "--"];
    run(cargo().args(package).args(arguments))
}
