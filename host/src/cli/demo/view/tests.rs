#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw;
use crate::cli::demo::board::{Board, Phase};
use crate::cli::demo::tally::{Alert, Figures};
use crate::simulate::Sent;
use crate::telemetry::PipelineSnapshot;
use crate::verdict::FailureClass;

/// A board in the middle of a demo.
pub(in crate::cli::demo) fn board() -> Board {
    let mut board = Board {
        meters: 250,
        server: "sluicegate embedded 3.10.8".to_owned(),
        ends_after: Some(Duration::from_secs(30)),
        resident_bytes: Some(96 << 20),
        ..Board::default()
    };
    for moment in 1..=100_u64 {
        let reject = |code: &str, count| ((FailureClass::Reject, code.to_owned()), count);
        let readings = PipelineSnapshot {
            name: "readings".to_owned(),
            done: moment * 960 + moment % 7 * 40,
            dead_lettered: moment * 4,
            in_flight: 180,
            batches: moment * 10,
            messages_called: moment * 2500,
            call_seconds: moment as f64 * 0.004,
            failures: BTreeMap::from([
                reject("negative_energy", moment),
                reject("undecodable", moment * 3),
            ]),
            emitted: BTreeMap::from([
                ("readings".to_owned(), moment * 960),
                ("alerts".to_owned(), moment * 2),
            ]),
            latency_p50_s: Some(0.0042),
            latency_p99_s: Some(0.031),
            ..PipelineSnapshot::default()
        };
        let events = PipelineSnapshot {
            name: "events".to_owned(),
            done: moment * 3,
            emitted: BTreeMap::from([("faults".to_owned(), moment * 3)]),
            paused: (moment > 90).then(|| "broker 'main' unreachable".to_owned()),
            ..PipelineSnapshot::default()
        };
        let figures = Figures {
            sent: Sent { spikes: 40, faults: 300, bad: 400, ..Sent::default() },
            confirmed: moment * 967,
            spikes_found: 38,
            faults_found: 300,
            bad_found: 400,
            alerts: (0..8)
                .map(|n| Alert {
                    severity: "critical".to_owned(),
                    text: format!("2016-01-02 07:15:0{n}  m-000{n}  power loss"),
                })
                .collect(),
            ..Figures::default()
        };
        board.update(vec![readings, events], figures, Duration::from_millis(moment * 500));
    }
    board
}

fn drawn(board: &Board, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(board, frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content().chunks(usize::from(width));
    let rows = rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn everything_that_is_known_is_on_the_screen() {
    let screen = drawn(&board(), 120, 34);
    for part in [
        "250 meters → sluicegate embedded 3.10.8",
        "50 s of 30 s",
        "running",
        "readings",
        "done 96 080",
        "dead 400",
        "p50 4.2 ms, p99 31 ms, 180 in flight, 250 a call",
        "paused: broker 'main'",
        "undecodable",
        "negative_energy",
        "38 of 40",
        "95 %",
        "power loss",
        "96 MiB resident",
    ] {
        assert!(screen.contains(part), "'{part}' isn't on\n{screen}");
    }
}

#[test]
fn a_board_without_figures_and_a_tiny_terminal_are_drawn_too() {
    drawn(&Board::default(), 120, 40);
    for (width, height) in [(1, 1), (20, 5), (80, 24), (400, 100)] {
        drawn(&board(), width, height);
    }
}

#[test]
fn draining_is_told() {
    let screen = drawn(&Board { phase: Phase::Draining, ..board() }, 100, 30);
    assert!(screen.contains("draining"), "{screen}");
}
