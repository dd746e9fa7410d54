//! A pipeline's failures: counted by what they were and how they ended, and logged, a few a second.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::bounded::Bounded;
use super::families::{Families, Labels};
use super::logging::clipped;
use super::outcome::Outcome;
use super::pipeline::OTHER;
use super::throttle::Throttle;
use crate::limits;
use crate::report;
use crate::verdict::{Failure, FailureClass};

/// A message that failed, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// Why.
    pub failure: &'a Failure,
    /// What becomes of it: retried, or one of the ends.
    pub then: Outcome,
    /// 1 where it was tried once.
    pub attempt: u32,
    /// The producer's identifier.
    pub message_id: Option<&'a str>,
    /// Trace context, as it came.
    pub traceparent: Option<&'a str>,
}

/// The failures of one pipeline.
#[derive(Debug)]
pub(super) struct Failures {
    /// The pipeline's queue, once that is known.
    queue: OnceLock<String>,
    counts: Bounded<Key, Counter>,
    family: Family<Labels, Counter>,
    lines: Throttle,
}

/// Class, code, plugin, what becomes of the message.
type Key = (FailureClass, String, String, &'static str);

// === impl Failures ===

impl Failures {
    pub(super) fn new(families: &Families) -> Self {
        Self {
            queue: OnceLock::new(),
            counts: Bounded::new(limits::FAILURE_SERIES_MAX),
            family: families.failures.clone(),
            lines: Throttle::per_second(limits::FAILURE_LOG_LINES_PER_S),
        }
    }

    /// The queue that the pipeline consumes: the first answer stays.
    pub(super) fn of_queue(&self, queue: &str) {
        self.queue.get_or_init(|| queue.to_owned());
    }

    pub(super) fn note(&self, pipeline: &str, failed: Failed<'_>) {
        let Failed { failure, then, .. } = failed;
        let queue = self.queue.get().map_or("", String::as_str);
        let plugin = failure.stage.as_ref().map_or("", |stage| stage.plugin.as_str());
        let then = then.as_str();
        let key = (failure.class, code_label(&failure.code), plugin.to_owned(), then);
        let overflow = || (failure.class, OTHER.to_owned(), plugin.to_owned(), then);
        let counter = self.counts.get(&key, overflow, |(class, code, plugin, then)| {
            self.family.get_or_create_owned(&vec![
                ("pipeline", pipeline.to_owned()),
                ("queue", queue.to_owned()),
                ("class", class.as_str().to_owned()),
                ("code", code.clone()),
                ("plugin", plugin.clone()),
                ("then", (*then).to_owned()),
            ])
        });
        counter.inc();
        let Some(suppressed) = self.lines.admit(Instant::now()) else { return };
        tracing::warn!(
            pipeline,
            queue,
            class = failure.class.as_str(),
            code = clipped(&failure.code, limits::FAILURE_CODE_BYTES),
            stage = failure.stage.as_ref().map(|stage| stage.index),
            plugin = failure.stage.as_ref().map(|stage| stage.plugin.as_str()),
            then,
            attempt = failed.attempt,
            fingerprint = report::fingerprint(pipeline, failure),
            message_id = failed.message_id.map(|id| clipped(id, limits::SHORT_STRING_BYTES)),
            trace_id = failed.traceparent.and_then(trace_id),
            suppressed = (suppressed > 0).then_some(suppressed),
            text = clipped(&failure.text, limits::FAILURE_TEXT_BYTES),
            "message failed"
        );
    }

    /// By class and code.
    pub(super) fn counts(&self) -> BTreeMap<(FailureClass, String), u64> {
        let mut counts = BTreeMap::new();
        for ((class, code, _, _), count) in self.counts.all() {
            *counts.entry((class, code)).or_default() += count.get();
        }
        counts
    }
}

/// The trace's id in a `traceparent`, where that is one.
fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// A plugin's code as a label: short, and of characters that need no quoting anywhere.
fn code_label(code: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.:".contains(c) { c } else { '_' };
    code.chars().take(limits::FAILURE_CODE_BYTES).map(plain).collect()
}
