//! Versions that take turns under load, as often as one likes: the test of a handful of swaps, told how many.

use anyhow::{Result, bail};

use crate::{cargo, run as run_command};

/// What the test reads.
const VARIABLE: &str = "SLUICEGATE_SWAPS";
const TEST: &str = "service::swaps::long::versions_take_turns_under_load_and_nothing_is_lost_doubled_or_of_two_versions";

/// Swaps that many times; fails if anything went wrong.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let swaps = match arguments {
        [] => "300",
        [swaps] if swaps.parse::<u32>().is_ok() => swaps,
        _ => bail!("'{}': how many swaps is all that it takes", arguments.join(" ")),
    };
    let mut command = cargo();
    command
        .args(["test", "--release", "--workspace", "--test", "all", "--"])
        .args([TEST, "--exact", "--nocapture"])
        .env(VARIABLE, swaps);
    run_command(&mut command)
}
