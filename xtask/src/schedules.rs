//! Runs the deterministic schedules: many seeds, one seed, or all seeds on a host with a bug planted.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{announce, cargo, run, shown_time};

/// The test that runs schedules.
const TEST: &str = "service::tests::schedule::every_message_has_one_fate_whatever_the_schedule";
/// What tells it which, and that failing ones are only to be counted.
const CHOICE: &str = "SLUICEGATE_SCHEDULES";
const BRIEF: &str = "SLUICEGATE_SCHEDULES_BRIEF";
/// Seeds on each planted bug, unless told otherwise.
const PLANTED_SEEDS: u64 = 300;
/// Where the patches are.
const PATCHES: &str = "tests/planted";

/// `--seeds N`: the first N. `--seed N`: that one alone.
pub(crate) fn run_seeds(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let seeds = match arguments[..] {
        [] => 0..10_000,
        ["--seeds", count] => 0..count.parse().context("how many seeds?")?,
        ["--seed", seed] => {
            let seed: u64 = seed.parse().context("which seed?")?;
            seed..seed + 1
        }
        _ => bail!("cargo xtask schedules [--seeds N | --seed N]"),
    };
    let mut test = schedules(&workspace()?, &[]);
    run(test.env(CHOICE, format!("{}..{}", seeds.start, seeds.end)))
}

fn workspace() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(own.parent().context("xtask stands in a workspace")?.to_owned())
}

/// The workspace as a whole, so that its dependencies are built with the features they always have.
fn schedules(workspace: &Path, options: &[&str]) -> Command {
    let mut test = cargo();
    test.current_dir(workspace).args(["test", "--release", "--workspace", "--lib"]);
    test.args(options).args(["--", "--exact", TEST, "--nocapture"]);
    test
}

/// Plants each bug in turn into a copy of the workspace, and expects the schedules to find it.
/// `--seeds N`: on so many seeds. Names: these alone.
pub(crate) fn planted(arguments: &[String]) -> Result<()> {
    let (seeds, named) = match arguments {
        [flag, count, named @ ..] if flag == "--seeds" => {
            (count.parse().context("how many seeds?")?, named)
        }
        named => (PLANTED_SEEDS, named),
    };
    let root = workspace()?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let scratch = target.join("planted");
    let mut rows = Vec::new();
    let mut missed = 0;
    let clean = {
        copy(&root, &scratch)?;
        find(&scratch, &target, seeds)?
    };
    rows.push(format!("{:<42} {}", "(none)", clean.text));
    for patch in patches(&root)? {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !named.is_empty() && !named.contains(&name) {
            continue;
        }
        copy(&root, &scratch)?;
        let mut apply = Command::new("git");
        // The copy lies within a repository that it isn't part of.
        apply.current_dir(&scratch).env("GIT_CEILING_DIRECTORIES", &target);
        run(apply.arg("apply").arg(&patch))?;
        let found = find(&scratch, &target, seeds)?;
        missed += usize::from(found.violated == 0);
        rows.push(format!("{name:<42} {}", found.text));
    }
    println!("\n{:<42} seeds that find it, the first, and what it says", "planted");
    rows.iter().for_each(|row| println!("{row}"));
    if clean.violated > 0 {
        bail!("the host fails without a bug planted: the table says nothing");
    }
    if missed > 0 {
        bail!("{missed} planted bugs weren't found");
    }
    Ok(())
}

fn patches(root: &Path) -> Result<Vec<PathBuf>> {
    let mut patches = Vec::new();
    for entry in fs::read_dir(root.join(PATCHES))? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("patch")) {
            patches.push(path);
        }
    }
    patches.sort();
    Ok(patches)
}

/// Brings the copy to what git has in the workspace. What is the same is left alone, so that nothing
/// is built again that was built before.
fn copy(root: &Path, scratch: &Path) -> Result<()> {
    let mut list = Command::new("git");
    list.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = list.output().context("git isn't there")?;
    for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name).context("a file's name")?;
        let (from, to) = (root.join(name), scratch.join(name));
        let Ok(bytes) = fs::read(&from) else { continue };
        let bytes = match name {
            "Cargo.toml" => marked(&bytes, "[workspace.package]\n")?,
            // The guests have a workspace of their own, which the SDK isn't a member of.
            "tests/guests/Cargo.lock" => marked(&bytes, "name = \"sluicegate-sdk\"\n")?,
            _ => bytes,
        };
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, bytes).with_context(|| format!("can't write {}", to.display()))?;
    }
    Ok(())
}

/// A manifest or a lock file with another version behind that line: cargo tells members of two
/// workspaces in one target folder apart by nothing else.
fn marked(file: &[u8], line: &str) -> Result<Vec<u8>> {
    const START: &str = "version = \"";
    let text = std::str::from_utf8(file)?;
    let after = text.find(line).map(|at| at + line.len()).with_context(|| format!("no {line}"))?;
    let start = text[after..].find(START).context("no version")? + after + START.len();
    let end = text[start..].find('"').context("a version without an end")? + start;
    Ok(format!("{}+planted{}", &text[..end], &text[end..]).into_bytes())
}

struct Found {
    violated: u64,
    text: String,
}

/// Runs the schedules on the copy as it is.
fn find(scratch: &Path, target: &Path, seeds: u64) -> Result<Found> {
    let quickly = [
        "--config",
        "profile.release.package.sluicegate.opt-level=0",
        "--config",
        "profile.release.incremental=true",
    ];
    let mut test = schedules(scratch, &quickly);
    test.env(CHOICE, format!("0..{seeds}")).env(BRIEF, "1").env("CARGO_TARGET_DIR", target);
    announce(&test);
    let started = Instant::now();
    let output = test.stderr(Stdio::inherit()).output().context("can't start cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let Some(counts) = said.lines().find(|line| line.contains("schedules in")) else {
        bail!("the schedules didn't run:\n{said}");
    };
    let violated = counts.rsplit(": ").next().and_then(|rest| rest.split(' ').next());
    let violated = violated.and_then(|count| count.parse().ok()).context("no count of seeds")?;
    let first = said.lines().find_map(|line| line.trim().strip_prefix("seed "));
    let took = shown_time(started.elapsed());
    let text = match first {
        Some(first) => format!("{violated} of {seeds} ({took}); seed {first}"),
        None => format!("none of {seeds} ({took})"),
    };
    Ok(Found { violated, text })
}
