//! What is kept of what a plugin says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn output(lines_per_s: u32) -> Output {
    Output::new(Arc::new(LogGate::new("p", lines_per_s)))
}

#[test]
fn a_panic_is_found_in_what_stderr_got() {
    let mut output = output(100);
    output.stderr(b"before\n\nthread '<unnamed>' (1) panicked at src/lib.rs:12:5:\n");
    output.stderr(b"boom\nnote: run with RUST_BACKTRACE=1\n");
    assert_eq!(output.panic().as_deref(), Some("panicked at src/lib.rs:12:5: boom"));
    output.begin();
    assert_eq!(output.panic(), None);
}

#[test]
fn a_long_panic_keeps_its_beginning_and_long_chatter_its_end() {
    let mut output = output(100);
    output.stderr(&[b'.'; 10_000]);
    output.stderr(b"panicked at src/lib.rs:1:1:\n");
    for _ in 0..100 {
        output.stderr(&[b'x'; 1000]);
    }
    let panic = output.panic().unwrap();
    assert!(panic.starts_with("panicked at src/lib.rs:1:1: xxx"), "{panic}");
    assert!(panic.len() <= PLUGIN_LOG_LINE_BYTES);

    output.begin();
    output.stderr(&[b'.'; 10_000]);
    output.stderr(b"\nthe end\n");
    assert_eq!(output.last_line().as_deref(), Some("the end"));
}

#[test]
fn lines_past_the_allowance_are_dropped_and_counted() {
    let mut output = output(3);
    for _ in 0..10 {
        output.line(Source::Log(tracing::Level::INFO), None, b"line");
    }
    assert_eq!(output.lines.len(), 3);
    assert_eq!(output.gate.dropped(), 7);
}

#[test]
fn a_line_may_come_in_pieces_and_is_cut_at_its_limit() {
    let mut output = output(100);
    output.stdout(b"one ");
    output.stdout(b"line\n\nand ");
    output.stdout(&[b'x'; 2 * PLUGIN_LOG_LINE_BYTES]);
    output.stdout(b"\nlast");
    let texts: Vec<_> = output.lines.iter().map(|line| line.text.len()).collect();
    assert_eq!(texts, [8, PLUGIN_LOG_LINE_BYTES]);
    output.flush(None);
    assert_eq!(output.lines.len(), 0);
}
