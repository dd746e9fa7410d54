//! What a plugin says: lines of its log, stdout and stderr, and a panic's last words.
//!
//! Lines are kept until the call ends, so that each can be tagged with the message that it is about,
//! and are counted against the plugin's allowance when they come in.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Batch;
use crate::limits::PLUGIN_LOG_LINE_BYTES;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The interface `log`.
    Log(tracing::Level),
    Stdout,
    Stderr,
}

/// How many lines a plugin may still log, shared by its instances.
#[derive(Debug)]
pub(super) struct LogGate {
    plugin: String,
    /// Nothing passes, and nobody is told.
    closed: bool,
    lines_per_s: u32,
    second: Mutex<Second>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Second {
    started: Instant,
    lines: u32,
    dropped: u64,
}

/// One instance's output since its call began.
#[derive(Debug)]
pub(super) struct Output {
    gate: Arc<LogGate>,
    lines: Vec<Line>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// All of stderr, bounded, with a panic's beginning kept.
    last_words: Vec<u8>,
}

#[derive(Debug)]
struct Line {
    source: Source,
    message: Option<usize>,
    text: String,
}

const PANIC: &[u8] = b"panicked at ";

// === impl LogGate ===

impl LogGate {
    pub(super) fn new(plugin: &str, lines_per_s: u32) -> Self {
        Self {
            plugin: plugin.to_owned(),
            closed: false,
            lines_per_s,
            second: Mutex::new(Second { started: Instant::now(), lines: 0, dropped: 0 }),
            dropped: AtomicU64::new(0),
        }
    }

    /// One that nothing passes.
    pub(super) fn closed(plugin: &str) -> Self {
        Self { closed: true, ..Self::new(plugin, 0) }
    }

    /// Lines that were dropped since the plugin was loaded.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn admit(&self) -> bool {
        if self.closed {
            return false;
        }
        let mut second = self.second.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if second.started.elapsed() >= Duration::from_secs(1) {
            if second.dropped > 0 {
                tracing::warn!(
                    plugin = self.plugin,
                    dropped = second.dropped,
                    "log lines dropped: the plugin logs more than {} a second (limits.log_lines_per_s)",
                    self.lines_per_s
                );
            }
            *second = Second { started: Instant::now(), lines: 0, dropped: 0 };
        }
        if second.lines < self.lines_per_s {
            second.lines += 1;
            true
        } else {
            second.dropped += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            false
        }
    }
}

// === impl Output ===

impl Output {
    pub(super) fn new(gate: Arc<LogGate>) -> Self {
        Self {
            gate,
            lines: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            last_words: Vec::new(),
        }
    }

    /// Forgets what the call before said.
    pub(super) fn begin(&mut self) {
        self.last_words.clear();
    }

    /// Takes a line, cut to [`PLUGIN_LOG_LINE_BYTES`].
    pub(super) fn line(&mut self, source: Source, message: Option<usize>, text: &[u8]) {
        if self.gate.admit() {
            let text = &text[..text.len().min(PLUGIN_LOG_LINE_BYTES)];
            let text = String::from_utf8_lossy(text).trim_end().to_owned();
            self.lines.push(Line { source, message, text });
        }
    }

    pub(super) fn stdout(&mut self, bytes: &[u8]) {
        let mut pending = std::mem::take(&mut self.stdout);
        self.split(Source::Stdout, &mut pending, bytes);
        self.stdout = pending;
    }

    pub(super) fn stderr(&mut self, bytes: &[u8]) {
        self.remember(bytes);
        let mut pending = std::mem::take(&mut self.stderr);
        self.split(Source::Stderr, &mut pending, bytes);
        self.stderr = pending;
    }

    fn split(&mut self, source: Source, pending: &mut Vec<u8>, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = PLUGIN_LOG_LINE_BYTES.saturating_sub(pending.len());
            pending.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                if !pending.trim_ascii().is_empty() {
                    self.line(source, None, pending);
                }
                pending.clear();
            }
        }
    }

    /// Keeps a panic's beginning where there is one, else the end of what was said.
    fn remember(&mut self, bytes: &[u8]) {
        let words = &mut self.last_words;
        words.extend_from_slice(&bytes[bytes.len().saturating_sub(PLUGIN_LOG_LINE_BYTES * 4)..]);
        if words.len() > PLUGIN_LOG_LINE_BYTES {
            let start = words.windows(PANIC.len()).position(|part| part == PANIC);
            match start {
                Some(start) => drop(words.drain(..start)),
                None => drop(words.drain(..words.len() - PLUGIN_LOG_LINE_BYTES)),
            }
            words.truncate(PLUGIN_LOG_LINE_BYTES);
        }
    }

    /// A panic's place and message, on one line: `panicked at src/lib.rs:12:5: boom`.
    pub(super) fn panic(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.last_words);
        let start = said.rfind("panicked at ")?;
        let said = &said[start..];
        let said = said.split("\nnote: ").next().unwrap_or(said).trim_end();
        Some(match said.split_once(":\n") {
            Some((place, message)) => format!("{place}: {message}"),
            None => said.to_owned(),
        })
    }

    /// The last line of stderr.
    pub(super) fn last_line(&self) -> Option<String> {
        let said = String::from_utf8_lossy(&self.last_words);
        said.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    }

    /// Hands the lines on, each with the message that it is about.
    pub(super) fn flush(&mut self, batch: Option<&Batch<'_>>) {
        for (source, pending) in [
            (Source::Stdout, std::mem::take(&mut self.stdout)),
            (Source::Stderr, std::mem::take(&mut self.stderr)),
        ] {
            if !pending.trim_ascii().is_empty() {
                self.line(source, None, &pending);
            }
        }
        for line in self.lines.drain(..) {
            emit(&self.gate.plugin, &line, batch);
        }
    }
}

fn emit(plugin: &str, line: &Line, batch: Option<&Batch<'_>>) {
    let input = line.message.and_then(|at| batch?.messages.get(at));
    let id = input.and_then(|input| input.properties.message_id.as_deref());
    let routing_key = input.map(|input| input.routing_key);
    let (text, message) = (&line.text, line.message);
    let (level, stream) = match line.source {
        Source::Log(level) => (level, None),
        Source::Stdout => (tracing::Level::INFO, Some("stdout")),
        Source::Stderr => (tracing::Level::WARN, Some("stderr")),
    };
    macro_rules! at {
        ($level:ident) => {
            tracing::event!(
                target: "sluicegate::plugin",
                tracing::Level::$level,
                plugin, message, id, routing_key, stream, "{text}"
            )
        };
    }
    match level {
        tracing::Level::ERROR => at!(ERROR),
        tracing::Level::WARN => at!(WARN),
        tracing::Level::INFO => at!(INFO),
        tracing::Level::DEBUG => at!(DEBUG),
        tracing::Level::TRACE => at!(TRACE),
    }
}

#[cfg(test)]
mod tests;
