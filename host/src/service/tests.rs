//! The wiring under test: random schedules of faults, repeated to the letter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod schedule;
