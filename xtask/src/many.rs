//! Timers and keys, as many as one likes: tests of a few thousand, told how many.

use anyhow::{Result, bail};

use crate::{cargo, run as run_command};

/// A test that reads how many from a variable.
pub(crate) struct Many {
    variable: &'static str,
    test: &'static str,
}

/// Sets that many timers, restarts the host and has them run.
pub(crate) const TIMERS: Many = Many {
    variable: "SLUICEGATE_TIMERS",
    test: "pipeline::timers::timers_by_the_thousand_outlast_a_restart_and_run_in_order_each_once",
};
/// Has that many keys, and prints what a message costs among them.
pub(crate) const KEYS: Many = Many {
    variable: "SLUICEGATE_KEYS",
    test: "pipeline::keys::keys_by_the_thousand_each_count_right_however_they_are_kept",
};

/// As many as the million that is shown where nobody says.
const MILLION: &str = "1000000";

/// Runs it with that many; fails if anything went wrong.
pub(crate) fn run(many: &Many, arguments: &[String]) -> Result<()> {
    let count = match arguments {
        [] => MILLION,
        [count] if count.parse::<u32>().is_ok_and(|count| count > 0) => count,
        _ => bail!("'{}': how many is all that it takes", arguments.join(" ")),
    };
    let mut command = cargo();
    command
        .args(["test", "--release", "--workspace", "--test", "all", "--"])
        .args([many.test, "--exact", "--nocapture"])
        .env(many.variable, count);
    run_command(&mut command)
}
