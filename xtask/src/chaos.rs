//! Long trials by the chaos test: it reads from its environment what to break and for how long.

use anyhow::{Result, bail};

use crate::{cargo, run as run_command};

/// What the test reads.
const VARIABLE: &str = "SLUICEGATE_CHAOS";
const TEST: &str = "chaos::nothing_is_lost_or_doubled_for_no_reason_whatever_breaks";
const OPTIONS: [&str; 5] = ["for", "faults", "seed", "only", "hurry"];

/// Runs one trial; fails if anything went wrong in it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut words = Vec::new();
    for pair in arguments.chunks(2) {
        match pair {
            [name, value]
                if name.strip_prefix("--").is_some_and(|name| OPTIONS.contains(&name)) =>
            {
                words.push(format!("{}={value}", name.trim_start_matches("--")));
            }
            _ => bail!(
                "'{}': --for 10m, --faults 200, --seed 7, --only FAULT,..., --hurry 90 is what chaos takes",
                pair.join(" ")
            ),
        }
    }
    let mut command = cargo();
    command
        .args(["test", "--release", "--workspace", "--test", "all", "--"])
        .args([TEST, "--exact", "--nocapture"])
        .env(VARIABLE, words.join(" "));
    run_command(&mut command)
}
