//! How far a pass has come: a bar on a terminal, a line now and then elsewhere; and what it came to.

use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::time::Instant;

use crate::cli::exit;
use crate::cli::figures::grouped;
use crate::deadletter::Trouble;
use crate::deadletter::work::{Progress, Summary};
use crate::telemetry::logging::printable;

/// Between two looks at the counters.
const LOOK: Duration = Duration::from_millis(100);
/// Between two plain lines.
const LINE: Duration = Duration::from_secs(2);

/// Watches a pass; `doing` says what, as in `replayed`.
pub(super) async fn over<T>(
    progress: &Arc<Progress>,
    doing: &str,
    quiet: bool,
    pass: impl Future<Output = T>,
) -> (T, Duration) {
    let started = Instant::now();
    let plain = !std::io::stderr().is_terminal();
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30.cyan} {percent:>3} %  {msg}") {
        bar.set_style(style);
    }
    if plain || quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let mut pass = std::pin::pin!(pass);
    let mut look = tokio::time::interval(LOOK);
    let mut next_line = started + LINE;
    let end = loop {
        tokio::select! {
            end = &mut pass => break end,
            now = look.tick() => {
                let line = line(progress, doing, started.elapsed());
                // Before the queues' lengths are known there is nothing to be through with.
                bar.set_length(progress.total.load(Ordering::Relaxed).max(1));
                bar.set_position(progress.seen.load(Ordering::Relaxed));
                if plain && !quiet && now >= next_line {
                    eprintln!("{line}");
                    next_line = now + LINE;
                }
                bar.set_message(line);
            }
        }
    };
    bar.finish_and_clear();
    (end, started.elapsed())
}

/// The summary, or the trouble with what was done before it.
pub(super) fn ended(
    end: Result<Summary, Trouble>,
    progress: &Progress,
    doing: &str,
) -> anyhow::Result<Summary> {
    let done = progress.done.load(Ordering::Relaxed);
    end.with_context(|| format!("{doing} {}; run again, it goes on. Stopped", grouped(done)))
}

fn line(progress: &Progress, doing: &str, time: Duration) -> String {
    let done = progress.done.load(Ordering::Relaxed);
    let left = progress.left.load(Ordering::Relaxed);
    let seen = progress.seen.load(Ordering::Relaxed);
    let total = progress.total.load(Ordering::Relaxed);
    let others = if left > 0 { format!(", {} left", grouped(left)) } else { String::new() };
    format!(
        "{} of {} letters read, {} {doing}, {}/s{others}",
        grouped(seen),
        grouped(total),
        grouped(done),
        per_s(done, time)
    )
}

fn per_s(letters: u64, time: Duration) -> u64 {
    (u128::from(letters) * 1000 / time.as_millis().max(1)).try_into().unwrap_or(u64::MAX)
}

/// Prints what a pass came to, and says what the process ends with.
pub(super) fn sum_up(
    summary: &Summary,
    (doing, run): (&str, &str),
    as_json: bool,
    time: Duration,
) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if as_json {
        let mut line = serde_json::to_value(summary)?;
        if let Some(fields) = line.as_object_mut() {
            fields.insert("did".to_owned(), json!(doing));
            fields.insert("run".to_owned(), json!(run));
            fields.insert("seconds".to_owned(), json!(time.as_secs_f64()));
        }
        writeln!(out, "{line}")?;
    } else {
        write!(out, "{}", told(summary, doing, time))?;
    }
    Ok(ExitCode::from(match () {
        () if summary.interrupted => exit::INTERRUPTED,
        () if !summary.left.is_empty() => exit::LEFT,
        () => 0,
    }))
}

/// The summary for people.
pub(super) fn told(summary: &Summary, doing: &str, time: Duration) -> String {
    let stopped = if summary.interrupted { "interrupted: " } else { "" };
    let mut text = format!(
        "{stopped}{doing} {} of {} matching letters ({} read) in {:.1} s, {}/s\n",
        grouped(summary.done),
        grouped(summary.matched),
        grouped(summary.seen),
        time.as_secs_f64(),
        per_s(summary.done, time)
    );
    for (why, count) in &summary.left {
        text.push_str(&format!("left {}: {}\n", grouped(*count), printable(why)));
    }
    let notes = [
        (summary.unreported, "without a failure report"),
        (summary.renewed, "put back as copies, for their deliveries were nearly used up"),
        (
            summary.untold,
            "whose report stays open: nobody takes what the failures exchange is told",
        ),
    ];
    for (count, what) in notes {
        if count > 0 {
            text.push_str(&format!("{} letters {what}\n", grouped(count)));
        }
    }
    if summary.interrupted {
        text.push_str("the rest is where it was; run it again and it goes on\n");
    }
    text
}
