//! A host's status for people: what is wrong first, then tables.

use std::fmt::Write as _;

use crate::admin::Status;
use crate::telemetry::logging::printable;

#[cfg(test)]
mod tests;

/// Characters of a digest that tell one file from another.
const DIGEST_CHARS: usize = 12;

/// The whole page.
pub(super) fn render(status: &Status) -> String {
    let mut out = format!(
        "sluicegate {} · pid {} · up {} · {}\n",
        printable(&status.version),
        status.pid,
        uptime(status.uptime_s),
        if status.readiness.ready { "ready" } else { "NOT READY" },
    );
    for reason in &status.readiness.reasons {
        // Writing to a String can't fail.
        let _ = writeln!(out, "  - {}", printable(reason));
    }
    brokers(status).append_to(&mut out);
    pipelines(status).append_to(&mut out);
    failures(status).append_to(&mut out);
    plugins(status).append_to(&mut out);
    out
}

fn brokers(status: &Status) -> Table {
    let mut table = Table::new(&["BROKER", "KIND", "STATE", "SERVER"]);
    for broker in &status.brokers {
        let state = if broker.connected { "connected" } else { "away" };
        let server = broker.error.as_ref().or(broker.server.as_ref());
        let server = server.map_or("-", String::as_str);
        table.row([broker.name.as_str(), &broker.kind, state, server]);
    }
    table
}

fn pipelines(status: &Status) -> Table {
    let mut table = Table::new(&[
        "PIPELINE",
        "QUEUE",
        "STATE",
        ">RECEIVED",
        ">DONE",
        ">DROPPED",
        ">RETRIED",
        ">DEAD",
        ">IN HAND",
        ">HELD BACK",
        ">BATCH",
        ">SHARDS",
        ">P50",
        ">P99",
        "PAUSED BY",
    ]);
    for pipeline in &status.pipelines {
        let c = &pipeline.counters;
        table.row([
            pipeline.name.as_str(),
            &pipeline.queue,
            pipeline.state.as_str(),
            &c.received.to_string(),
            &(c.done + c.duplicates).to_string(),
            &c.dropped.to_string(),
            &c.retried.to_string(),
            &(c.dead_lettered + c.annotated + c.discarded).to_string(),
            &c.in_flight.to_string(),
            &held_back(c.held_back_s),
            &batch_limit(c.batch_limit),
            &c.shards.to_string(),
            &latency(c.latency_p50_s),
            &latency(c.latency_p99_s),
            c.paused.as_deref().unwrap_or(""),
        ]);
    }
    table
}

fn failures(status: &Status) -> Table {
    let mut table = Table::new(&["FAILURES OF", "CLASS", "CODE", ">COUNT"]);
    for pipeline in &status.pipelines {
        for ((class, code), count) in &pipeline.counters.failures {
            table.row([pipeline.name.as_str(), class.as_str(), code, &count.to_string()]);
        }
    }
    table
}

fn plugins(status: &Status) -> Table {
    let mut table =
        Table::new(&["PLUGIN", "VERSION", "SDK", "DIGEST", ">MEMORY", "STATE", "RELOAD"]);
    for plugin in &status.plugins {
        let digest: String = plugin.digest.chars().take(DIGEST_CHARS).collect();
        let mib = format!("{:.1} MiB", plugin.memory_bytes as f64 / (1024.0 * 1024.0));
        let state = match (&plugin.broken, &plugin.impure) {
            (Some(_), _) => "broken",
            (None, Some(_)) => "impure",
            (None, None) => "well",
        };
        table.row([
            plugin.name.as_str(),
            &plugin.version,
            &plugin.sdk,
            &digest,
            &mib,
            state,
            plugin.reload.as_deref().unwrap_or("-"),
        ]);
    }
    table
}

fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// For how long a rate held messages back.
fn held_back(seconds: f64) -> String {
    if seconds > 0.0 { format!("{seconds:.1} s") } else { "-".to_owned() }
}

/// Messages that a batch takes at most, where that was found.
fn batch_limit(messages: i64) -> String {
    if messages > 0 { messages.to_string() } else { "-".to_owned() }
}

fn latency(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 0.001 => format!("{:.0} µs", s * 1e6),
        Some(s) if s < 1.0 => format!("{:.1} ms", s * 1e3),
        Some(s) => format!("{s:.1} s"),
    }
}

/// Columns as wide as their widest cell. A heading that starts with `>` aligns its column to the right.
struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    fn new(headings: &'static [&'static str]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.map(printable).to_vec());
    }

    /// Appends the table after an empty line; nothing where it has no rows.
    fn append_to(&self, out: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        let heading = |text: &'static str| text.trim_start_matches('>').to_owned();
        let lines: Vec<Vec<String>> =
            std::iter::once(self.headings.iter().map(|text| heading(text)).collect())
                .chain(self.rows.iter().cloned())
                .collect();
        let width = |at: usize| {
            lines.iter().filter_map(|line| line.get(at)).map(|c| c.chars().count()).max()
        };
        out.push('\n');
        for line in &lines {
            let mut text = String::new();
            for (at, cell) in line.iter().enumerate() {
                let width = width(at).unwrap_or(0);
                let right = self.headings.get(at).is_some_and(|text| text.starts_with('>'));
                let _ = if right {
                    write!(text, "{cell:>width$}  ")
                } else {
                    write!(text, "{cell:<width$}  ")
                };
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
    }
}
