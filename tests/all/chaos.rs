//! The host and its broker as processes, a proxy between them, and faults: nothing is lost, nothing
//! is doubled without a reason, and everything is well again by itself.
//!
//! One trial is a test. The same code runs long trials: `cargo xtask chaos` says which by an
//! environment variable; `docs/testing.md` tells how.
//!
//! | file | what it does |
//! |---|---|
//! | `oracle`, `counts` | what must become of each input; what did |
//! | `kept` | what the host keeps of each key at the end |
//! | `workload`, `ends` | what is published and collected |
//! | `proxy`, `frames` | the network between host and broker |
//! | `faults`, `hosts` | what goes wrong; the processes that it kills |
//! | `plan`, `trial` | for how long; from start to verdict |

mod counts;
mod ends;
mod faults;
mod frames;
mod hosts;
mod kept;
mod oracle;
mod plan;
mod proxy;
mod trial;
mod workload;

use plan::Plan;

#[test]
fn nothing_is_lost_or_doubled_for_no_reason_whatever_breaks() {
    let outcome = trial::run(Plan::from_environment());
    println!("{}", outcome.table);
    assert!(
        outcome.problems.is_empty() && outcome.counts.is_clean(),
        "{}\n{}",
        outcome.table,
        outcome.problems.join("\n")
    );
}
