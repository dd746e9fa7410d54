#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use super::Board;
use crate::cli::demo::tally::{Figures, Sink};
use crate::telemetry::PipelineSnapshot;
use crate::verdict::FailureClass;

fn pipeline(name: &str, done: u64, dead: u64) -> PipelineSnapshot {
    PipelineSnapshot {
        name: name.to_owned(),
        done,
        dead_lettered: dead,
        duplicates: 5,
        failures: BTreeMap::from([((FailureClass::Reject, "bad".to_owned()), dead)]),
        emitted: BTreeMap::from([("readings".to_owned(), done)]),
        ..PipelineSnapshot::default()
    }
}

#[test]
fn what_is_confirmed_and_settled_is_accounted_for() {
    let mut board = Board::default();
    let figures = Figures {
        confirmed: 112,
        collected: BTreeMap::from([(Sink::Readings, 100), (Sink::Dead, 11)]),
        ..Figures::default()
    };
    let snapshots = vec![pipeline("a", 90, 10), pipeline("b", 10, 2)];
    board.update(snapshots, figures, Duration::from_secs(1));
    assert_eq!(board.settled(), 112, "duplicates have had their end before");
    assert_eq!(board.unaccounted(), 0);
    assert_eq!(board.uncollected(), 1, "one dead letter is on its way");
    assert_eq!(board.failures(), [("bad".to_owned(), 12)]);
}

#[test]
fn rates_are_of_late() {
    let mut board = Board::default();
    for second in 1..=10 {
        let done = if second <= 5 { second * 100 } else { 500 + (second - 5) * 300 };
        let snapshots = vec![pipeline("a", done, 0)];
        board.update(snapshots, Figures::default(), Duration::from_secs(second));
    }
    assert_eq!(board.lanes[0].rate(), 300);
    assert_eq!(board.lanes[0].rates.front(), Some(&100));
}

#[test]
fn pipelines_keep_their_places() {
    let mut board = Board::default();
    let order = |board: &Board| {
        board.lanes.iter().map(|lane| lane.now.name.clone()).collect::<Vec<_>>().join(" ")
    };
    board.update(vec![pipeline("b", 1, 0)], Figures::default(), Duration::from_secs(1));
    let both = vec![pipeline("a", 1, 0), pipeline("b", 7, 0)];
    board.update(both, Figures::default(), Duration::from_secs(2));
    assert_eq!(order(&board), "b a");
    assert_eq!(board.lanes[0].now.done, 7);
}
