#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use super::{Ended, clock, latency, line, mib, summary};
use crate::cli::demo::view::tests::board;

#[test]
fn figures_are_written_for_people() {
    assert_eq!(latency(Some(0.000_84)), "0.8 ms");
    assert_eq!(latency(Some(0.0312)), "31 ms");
    assert_eq!(latency(Some(2.5)), "2.5 s");
    assert_eq!(latency(None), "–");
    assert_eq!(mib(1), "1 MiB");
    assert_eq!(clock(Duration::from_secs(59)), "59 s");
    assert_eq!(clock(Duration::from_secs(187)), "3:07");
}

#[test]
fn a_line_tells_what_goes_on() {
    let line = line(&board());
    assert!(line.starts_with(" 50.0 s  "), "{line}");
    assert!(line.contains("in 96 700 out 96 780  alerts 200  dead 400  p99 31 ms"), "{line}");
}

#[test]
fn the_summary_accounts_for_everything() {
    let board = board();
    let told = summary(&board, Ended { drained: true, forced: false });
    for part in [
        "96 700 in, 96 780 out, -80 unaccounted\n",
        "400 (undecodable 300, negative_energy 100)",
        "spikes 38 of 40, faults 300 of 300, bad messages 400 of 400; 0 false alarms",
        "alerts 200, faults 300, readings 96 000",
        "p50 4.2 ms, p99 31 ms",
        "96 MiB resident",
    ] {
        assert!(told.contains(part), "'{part}' isn't in\n{told}");
    }
    let late = summary(&board, Ended { drained: false, forced: true });
    assert!(late.contains("not drained in time"), "{late}");
    assert!(late.contains("stopped by force"), "{late}");
}
