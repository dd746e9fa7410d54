//! How far it has come: a bar on a terminal, a line now and then elsewhere, a summary at the end.

use std::future::Future;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::Args;
use crate::broker::Server;
use crate::publish::send::{Counts, End, Progress};
use crate::telemetry::logging::printable;

/// Between two looks at the counters.
const LOOK: Duration = Duration::from_millis(250);
/// Between two plain lines.
const LINE: Duration = Duration::from_secs(5);

/// Watches a run.
pub(super) struct Watch {
    progress: Arc<Progress>,
    bar: ProgressBar,
    plain: bool,
    started: Instant,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(args: &Args, progress: Arc<Progress>, server: &Server) -> Self {
        let bytes = std::fs::metadata(&args.input).ok().filter(std::fs::Metadata::is_file);
        let total = bytes.map(|file| file.len().saturating_mul(args.repeat));
        let plain = !std::io::stderr().is_terminal();
        let bar = match total.filter(|_| args.limit.is_none()) {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let template = match bar.length() {
            Some(_) => "{bar:30.cyan} {percent:>3} %  {msg}",
            None => "{spinner:.cyan}  {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if plain {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        eprintln!(
            "publishing to '{}' on {} {}",
            printable(&args.exchange),
            server.product,
            server.version
        );
        Self { progress, bar, plain, started: Instant::now() }
    }

    /// Reports while the run goes on, and on its end.
    pub(super) async fn over(self, run: impl Future<Output = End>) -> End {
        let mut run = std::pin::pin!(run);
        let mut look = tokio::time::interval(LOOK);
        let mut next_line = self.started + LINE;
        let end = loop {
            tokio::select! {
                end = &mut run => break end,
                now = look.tick() => {
                    self.notes();
                    let line = self.line();
                    self.bar.set_position(self.progress.bytes_read.load(Ordering::Relaxed));
                    if self.plain && now >= next_line {
                        eprintln!("{line}");
                        next_line = now + LINE;
                    }
                    self.bar.set_message(line);
                }
            }
        };
        self.notes();
        self.bar.finish_and_clear();
        println!("{}", summary(&end, &self.progress.counts(), self.started.elapsed()));
        end
    }

    fn notes(&self) {
        for note in self.progress.take_notes() {
            self.bar.suspend(|| eprintln!("{}", printable(&note)));
        }
    }

    fn line(&self) -> String {
        let counts = self.progress.counts();
        format!(
            "{} confirmed, {}/s{}",
            counts.confirmed,
            per_s(counts.confirmed, self.started.elapsed()),
            others(&counts)
        )
    }
}

fn per_s(messages: u64, time: Duration) -> u64 {
    (u128::from(messages) * 1000 / time.as_millis().max(1)).try_into().unwrap_or(u64::MAX)
}

/// The counts that are seldom anything but nothing.
fn others(counts: &Counts) -> String {
    let named = [
        (counts.unroutable, "unroutable"),
        (counts.skipped, "skipped"),
        (counts.repeated, "published again"),
        (counts.unknown, "not known"),
    ];
    let said = named.into_iter().filter(|(count, _)| *count > 0);
    said.map(|(count, name)| format!(", {count} {name}")).collect()
}

fn summary(end: &End, counts: &Counts, time: Duration) -> String {
    let ended = match end {
        End::Complete => "published",
        End::Interrupted => "interrupted:",
        End::Failed(_) => "stopped:",
    };
    format!(
        "{ended} {} messages, each confirmed, in {:.1} s, {}/s{}",
        counts.confirmed,
        time.as_secs_f64(),
        per_s(counts.confirmed, time),
        others(counts)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_summary_says_what_became_of_all() {
        let counts = Counts { confirmed: 30_000, unroutable: 2, ..Counts::default() };
        assert_eq!(
            summary(&End::Complete, &counts, Duration::from_secs(2)),
            "published 30000 messages, each confirmed, in 2.0 s, 15000/s, 2 unroutable"
        );
        let counts = Counts { confirmed: 5, unknown: 3, ..Counts::default() };
        assert_eq!(
            summary(&End::Interrupted, &counts, Duration::from_secs(1)),
            "interrupted: 5 messages, each confirmed, in 1.0 s, 5/s, 3 not known"
        );
    }
}
