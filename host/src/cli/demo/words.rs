//! Figures in words: the plain line, the summary at the end, numbers that people read.

use std::fmt::Write;
use std::time::Duration;

use super::board::Board;
use super::tally::Figures;
use crate::cli::figures::grouped;

/// What ended the demo, for its summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Everything under way was finished in time.
    pub(super) drained: bool,
    /// The host was stopped by force.
    pub(super) forced: bool,
}

/// A line about the board as it is.
pub(super) fn line(board: &Board) -> String {
    let rates: Vec<String> = board
        .lanes
        .iter()
        .map(|lane| format!("{} {}/s", lane.now.name, grouped(lane.rate())))
        .collect();
    let tally = &board.tally;
    format!(
        "{:>5.1} s  {}  in {} out {}  alerts {}  dead {}  p99 {}",
        board.elapsed.as_secs_f64(),
        rates.join("  "),
        grouped(tally.confirmed),
        grouped(board.settled()),
        grouped(board.emitted().get("alerts").copied().unwrap_or(0)),
        grouped(board.sum(|now| now.dead_lettered + now.annotated)),
        latency(p99(board)),
    )
}

/// The summary: what went in, what came out, what was found, at what price.
pub(super) fn summary(board: &Board, ended: Ended) -> String {
    let (tally, sent) = (&board.tally, &board.tally.sent);
    let seconds = board.elapsed.as_secs_f64().max(0.001);
    let mut out = String::new();
    let mut row = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<14} {text}");
    };
    row(
        "published",
        format!(
            "{} messages of {} meters in {seconds:.1} s ({} readings, {} events, {} status)",
            grouped(tally.confirmed),
            board.meters,
            grouped(sent.readings),
            grouped(sent.events),
            grouped(sent.statuses),
        ),
    );
    let unaccounted = board.unaccounted();
    row(
        "accounted",
        format!(
            "{} in, {} out, {unaccounted} unaccounted{}",
            grouped(tally.confirmed),
            grouped(board.settled()),
            if ended.drained { "" } else { "; not drained in time" },
        ),
    );
    let outputs =
        board.emitted().into_iter().map(|(name, count)| format!("{name} {}", grouped(count)));
    row("decided", outputs.collect::<Vec<_>>().join(", "));
    let codes =
        board.failures().into_iter().map(|(code, count)| format!("{code} {}", grouped(count)));
    row(
        "dead-lettered",
        format!(
            "{} ({})",
            grouped(board.sum(|now| now.dead_lettered + now.annotated)),
            codes.collect::<Vec<_>>().join(", ")
        ),
    );
    row("found", found(tally));
    row(
        "latency",
        format!(
            "p50 {}, p99 {} from delivery to settlement",
            latency(p50(board)),
            latency(p99(board))
        ),
    );
    row(
        "throughput",
        format!(
            "{} messages/s; {:.1} µs in plugins each",
            grouped(per_s(board.settled(), board.elapsed)),
            board.plugin_us()
        ),
    );
    let plugins = u64::try_from(board.plugin_bytes()).unwrap_or(0);
    let resident = board.resident_bytes.map_or_else(|| "not known".to_owned(), mib);
    row("memory", format!("{resident} resident, {} of it plugins", mib(plugins)));
    out.push_str(if ended.forced { "  the host was stopped by force\n" } else { "" });
    out
}

/// What was planted and found again, and what was found that nobody planted.
fn found(tally: &Figures) -> String {
    let sent = &tally.sent;
    format!(
        "spikes {} of {}, faults {} of {}, bad messages {} of {}; {} false alarms, {} good ones rejected",
        tally.spikes_found,
        sent.spikes,
        tally.faults_found,
        sent.faults,
        tally.bad_found,
        sent.bad,
        tally.false_alarms,
        tally.good_rejected,
    )
}

/// Half of all messages are faster, in the slowest pipeline.
pub(super) fn p50(board: &Board) -> Option<f64> {
    slowest(board.lanes.iter().map(|lane| lane.now.latency_p50_s))
}

/// 99 of 100 messages are faster, in the slowest pipeline.
pub(super) fn p99(board: &Board) -> Option<f64> {
    slowest(board.lanes.iter().map(|lane| lane.now.latency_p99_s))
}

fn slowest(seconds: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    seconds.flatten().reduce(f64::max)
}

/// A latency: `0.8 ms`, `12 ms`, `1.5 s`.
pub(super) fn latency(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(s) if s < 0.01 => format!("{:.1} ms", s * 1e3),
        Some(s) if s < 1.0 => format!("{:.0} ms", s * 1e3),
        Some(s) => format!("{s:.1} s"),
    }
}

pub(super) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

/// A time: `42 s`, `3:07`.
pub(super) fn clock(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds => format!("{}:{:02}", seconds / 60, seconds % 60),
    }
}

fn per_s(messages: u64, time: Duration) -> u64 {
    (u128::from(messages) * 1000 / time.as_millis().max(1)).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
