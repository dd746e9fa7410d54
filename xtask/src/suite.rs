//! Runs the tests and keeps what cargo says of each binary.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::{announce, cargo};

/// How the tests ended.
pub(crate) struct Summary {
    /// Cargo's own line of each binary that has tests: `test result: ok. 12 passed; …`.
    pub(crate) lines: Vec<String>,
}

impl Summary {
    /// The count before a word, over all binaries.
    pub(crate) fn count(&self, what: &str) -> u64 {
        let counts = self.lines.iter().flat_map(|line| line.split(['.', ';']));
        let counts = counts.filter_map(|part| part.trim().strip_suffix(what));
        counts.filter_map(|number| number.trim().parse::<u64>().ok()).sum()
    }
}

/// Builds and runs every test of the workspace; arguments go to cargo.
pub(crate) fn run(arguments: &[String]) -> Result<Summary> {
    run_with(arguments, &[])
}

/// The same with these variables in the environment.
pub(crate) fn run_with(arguments: &[String], variables: &[(&str, &OsStr)]) -> Result<Summary> {
    let mut command = cargo();
    command.envs(variables.iter().copied());
    command.args(["test", "--release", "--workspace", "--no-fail-fast"]).args(arguments);
    let shown = announce(&command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("can't start {shown}"))?;
    let mut lines = Vec::new();
    let output = child.stdout.take().context("cargo has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        if line.starts_with("test result: ") && !line.contains(" 0 passed; 0 failed; 0 ignored") {
            lines.push(line);
        }
    }
    let status = child.wait()?;
    let summary = Summary { lines };
    if !status.success() {
        match summary.count("failed") {
            0 => bail!("{shown}: {status}"),
            failed => bail!("{failed} tests failed, {} passed", summary.count("passed")),
        }
    }
    Ok(summary)
}
