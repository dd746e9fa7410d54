//! The guard against what makes messages dearer: instructions and allocations that one costs, counted, and
//! compared with figures that are kept in `guard.toml`.
//!
//! Times differ with whatever else a machine does; counts don't. Instructions are counted by callgrind, in
//! all threads, the plugins' own compiled code included. The host takes its messages in step (see
//! [`crate::treadmill`]), so that it does the same however its threads take turns. One run has a few of
//! each kind of message, another many more of one kind: the difference is what these cost.
//!
//! What the counts do depend on is told in [`Figures::made_with`]: the compiler. The processor's features are
//! taken out of it: callgrind knows none past AVX2, and what has less is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sluicegate::limits;

use crate::counting::counted;
use crate::dispatch::Logic;
use crate::host::{Host, Plan};

/// What is counted.
pub const LOGICS: [Logic; 4] = [Logic::Pass, Logic::CheckJson, Logic::Route, Logic::Anomaly];
/// Messages of each kind before anything is counted: windows widen, maps grow.
const WARM_UP: u64 = 4096;
/// Messages of each kind in all runs.
const FEW: u64 = 1024;
/// Messages of one kind more: many, so that what a run costs beside them weighs little.
const COUNTED: u64 = 32 * 1024;
/// Messages that are handed out together: what an intake deals out at once.
const STEP: u16 = 64;

/// What a message may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What it was counted with: `x86_64, rustc 1.95.0 (…)`.
    pub made_with: String,
    /// By what is computed.
    pub message: BTreeMap<String, Cost>,
}

/// What a message costs, what the treadmill does for it included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Instructions.
    pub instructions: f64,
    /// Allocations.
    pub allocations: f64,
}

/// A figure that isn't what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// `pass: instructions`.
    pub what: String,
    /// What is kept.
    pub before: f64,
    /// What was counted.
    pub now: f64,
}

/// How much of instructions may come and go: with the layout of maps, and with who wakes whom.
const TOLERANCE: f64 = 0.05;
/// How much of an allocation may at least: of what grows now and then.
const ALLOCATIONS_TOLERANCE: f64 = 0.15;

impl Figures {
    /// The figures now. Takes a minute or two.
    ///
    /// # Errors
    /// There is no valgrind, or a host doesn't run.
    pub fn count() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Whatever is compiled once is compiled now.
        instructions(None, folder.path())?;
        let base = instructions(None, folder.path())?;
        let mut message = BTreeMap::new();
        for logic in LOGICS {
            let more = instructions(Some(logic), folder.path())?.saturating_sub(base);
            let instructions = (more as f64 / COUNTED as f64).round();
            let cost = Cost { instructions, allocations: allocations(logic)? };
            message.insert(logic.as_str().to_owned(), cost);
        }
        Ok(Self { made_with: made_with()?, message })
    }

    /// Reads what is kept.
    ///
    /// # Errors
    /// The file isn't there, or isn't one.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{}", path.display()))
    }

    /// Keeps these.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let head = "# What a message costs, counted: `cargo xtask bench guard`. Where a change is meant to make\n\
                    # it dearer or cheaper, `cargo xtask bench guard --accept` writes what it costs now.\n";
        let text = format!("{head}{}", toml::to_string(self)?);
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    /// What isn't what is kept.
    ///
    /// # Errors
    /// They can't be compared: they were counted with something else.
    pub fn moved(&self, now: &Self) -> anyhow::Result<Vec<Moved>> {
        if self.made_with != now.made_with {
            bail!("kept figures are of {}, these of {}", self.made_with, now.made_with);
        }
        let mut moved = Vec::new();
        for (name, now) in &now.message {
            let before = self.message.get(name).copied().unwrap_or_default();
            let mut compare = |what: &str, before: f64, now: f64, tolerance: f64| {
                if (now - before).abs() > tolerance {
                    moved.push(Moved { what: format!("{name}: {what}"), before, now });
                }
            };
            let most = before.instructions * TOLERANCE;
            compare("instructions", before.instructions, now.instructions, most);
            let most = ALLOCATIONS_TOLERANCE.max(before.allocations * TOLERANCE);
            compare("allocations", before.allocations, now.allocations, most);
        }
        Ok(moved)
    }
}

/// Where the figures are kept.
#[must_use]
pub fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.toml")
}

fn plan(logic: Logic) -> Plan {
    // A limit that tunes itself goes by times, which differ.
    let batch = Some((limits::BATCH_MESSAGES, limits::BATCH_MESSAGES));
    Plan { step: Some(STEP), batch, ..Plan::of(logic) }
}

/// What callgrind looks at: all kinds of messages, and many more of one.
///
/// # Errors
/// A host doesn't run.
pub fn work(extra: Option<Logic>) -> anyhow::Result<()> {
    for logic in LOGICS {
        let host = Host::start(&plan(logic))?;
        host.run(WARM_UP)?;
        let more = if extra == Some(logic) { COUNTED } else { 0 };
        host.run(FEW + more)?;
    }
    Ok(())
}

/// Allocations of a message.
fn allocations(logic: Logic) -> anyhow::Result<f64> {
    let host = Host::start(&plan(logic))?;
    host.run(WARM_UP)?;
    let mut each = Vec::new();
    for _ in 0..3 {
        let (done, counted) = counted(|| host.run(COUNTED));
        done?;
        each.push(counted.allocations as f64 / COUNTED as f64);
    }
    Ok((crate::method::quantile(&each, 0.5) * 100.0).round() / 100.0)
}

/// Instructions of a run of this program.
fn instructions(extra: Option<Logic>, folder: &Path) -> anyhow::Result<u64> {
    let own = std::env::current_exe()?;
    let out = folder.join(extra.map_or("base", Logic::as_str));
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--fair-sched=yes"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(own)
        .arg("in-step")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(extra) = extra {
        command.args(["--extra", extra.as_str()]);
    }
    let output = command
        .output()
        .context("valgrind can't be started; `cargo xtask bench guard` installs it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("under callgrind it failed: {said}");
    }
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    count.with_context(|| format!("callgrind told no count: {said}"))
}

/// What counts depend on.
fn made_with() -> anyhow::Result<String> {
    let arch = std::env::consts::ARCH;
    if arch == "x86_64" {
        let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
        if !cpu.split_whitespace().any(|flag| flag == "avx2") {
            bail!("a processor without AVX2 takes other ways through the libraries");
        }
    }
    let rustc = Command::new("rustc").arg("--version").output().context("rustc isn't there")?;
    Ok(format!("{arch}, {}", String::from_utf8_lossy(&rustc.stdout).trim()))
}

#[cfg(test)]
mod tests;
