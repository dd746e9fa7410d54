//! A live look: what plugins are handed and decide, a message a line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::limits::TAP_BODY_BYTES;
use crate::message::blob;
use crate::pipeline::observe::Called;
use crate::plugin::capsule::unpacked;
use crate::plugin::{Input, StateChange};
use crate::verdict::{Decision, Emission, Verdict};

/// What somebody wants to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TapSettings {
    /// Bodies, headers and state; without, only sizes.
    pub bodies: bool,
    /// The share of messages that is looked at.
    pub sample: f64,
    /// At most so many messages in a second.
    pub rate: u32,
    /// What is looked at is recorded too.
    pub record: bool,
}

/// Where lines go. Never waited for: what finds no room is lost and counted.
#[derive(Clone, Debug)]
pub struct Ear {
    /// Takes a line.
    pub lines: mpsc::Sender<String>,
    /// Lines that found no room.
    pub lost: Arc<AtomicU64>,
}

/// One who looks at a pipeline.
pub(super) struct Tapped {
    settings: TapSettings,
    ear: Ear,
    second: Instant,
    told: u32,
    /// Messages that were left out since the latest line, for there were too many.
    skipped: u64,
}

impl Tapped {
    pub(super) fn new(settings: TapSettings, ear: Ear) -> Self {
        Self { settings, ear, second: Instant::now(), told: 0, skipped: 0 }
    }

    /// Whether nobody listens any more.
    pub(super) fn deaf(&self) -> bool {
        self.ear.lines.is_closed()
    }

    /// Tells of a call; whether it is to be recorded.
    pub(super) fn told(&mut self, call: &Called<'_>) -> bool {
        let mut told = false;
        for at in 0..call.batch.messages.len() {
            if self.settings.sample < 1.0 && fastrand::f64() >= self.settings.sample {
                continue;
            }
            if !self.admit() {
                self.skipped += 1;
                continue;
            }
            told = true;
            let line = self.line(call, at).to_string();
            if let Err(mpsc::error::TrySendError::Full(_)) = self.ear.lines.try_send(line) {
                self.ear.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        told && self.settings.record
    }

    fn admit(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.told = 0;
        }
        self.told += u32::from(self.told < self.settings.rate.saturating_add(1));
        self.told <= self.settings.rate
    }

    fn line(&mut self, call: &Called<'_>, at: usize) -> Value {
        let input = &call.batch.messages[at];
        let mut line = self.message(input);
        let mut add = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        add("at_us", call.batch.now_us.into());
        add("pipeline", call.pipeline.into());
        add("stage", call.stage.into());
        add("plugin", call.plugin.name().into());
        add("digest", call.plugin.digest().into());
        add("batch", call.batch.messages.len().into());
        match call.result {
            Ok(decisions) => {
                if let Some(decision) = decisions.messages.get(at) {
                    add("decision", self.decision(decision));
                }
                let change = input.slot.and_then(|slot| decisions.states.get(slot as usize));
                if let Some(change) = change {
                    add("state_after", self.change(change));
                }
                add(
                    "call_us",
                    u64::try_from(call.cost.wall.as_micros()).unwrap_or(u64::MAX).into(),
                );
            }
            Err(error) => {
                add("failed", json!({ "class": error.class, "text": error.text }));
            }
        }
        let before = input.slot.and_then(|slot| call.batch.states.get(slot as usize));
        if let Some(before) = before.and_then(|state| state.bytes.as_deref()) {
            add("state_before", self.state(before));
        }
        if self.skipped > 0 {
            add("skipped", std::mem::take(&mut self.skipped).into());
        }
        Value::Object(line)
    }

    fn message(&self, input: &Input<'_>) -> Map<String, Value> {
        let properties = input.properties;
        let mut line = Map::new();
        let mut add = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        add("exchange", input.exchange.into());
        add("routing_key", input.routing_key.into());
        add("key", input.key.into());
        add("message_id", properties.message_id.clone().into());
        add("attempt", input.attempt.into());
        add("body_bytes", input.body.len().into());
        if self.settings.bodies {
            add("type", properties.kind.clone().into());
            add("headers", serde_json::to_value(&properties.headers).unwrap_or_default());
            add("body", body(input.body));
        }
        line
    }

    fn decision(&self, decision: &Decision) -> Value {
        let emissions: Vec<Value> =
            decision.emissions.iter().map(|emission| self.emission(emission)).collect();
        let mut said = match &decision.verdict {
            Verdict::Next(replacement) => {
                let mut next = json!({ "verdict": "next" });
                if let Some(new) = replacement.as_ref().and_then(|it| it.body.as_ref()) {
                    next["body_bytes"] = new.len().into();
                    if self.settings.bodies {
                        next["body"] = body(new);
                    }
                }
                next
            }
            Verdict::Done => json!({ "verdict": "done" }),
            Verdict::Drop { reason } => json!({ "verdict": "drop", "reason": reason }),
            Verdict::Retry { code, text, after } => json!({
                "verdict": "retry", "code": code, "text": text,
                "after_ms": after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            }),
            Verdict::Reject { code, text } => {
                json!({ "verdict": "reject", "code": code, "text": text })
            }
        };
        said["emissions"] = emissions.into();
        said
    }

    fn emission(&self, emission: &Emission) -> Value {
        let mut said = json!({
            "output": emission.output,
            "routing_key": emission.routing_key,
            "body_bytes": emission.body.as_ref().map(bytes::Bytes::len),
        });
        if let Some(sent) = emission.body.as_ref().filter(|_| self.settings.bodies) {
            said["body"] = body(sent);
        }
        said
    }

    fn change(&self, change: &StateChange) -> Value {
        match change {
            StateChange::Unchanged => "unchanged".into(),
            StateChange::Cleared => "cleared".into(),
            StateChange::Set(bytes) => self.state(bytes),
        }
    }

    fn state(&self, bytes: &[u8]) -> Value {
        let mut said = json!({ "bytes": bytes.len() });
        if self.settings.bodies {
            let short = bytes.len() <= TAP_BODY_BYTES;
            said["value"] = short.then(|| unpacked(bytes)).flatten().unwrap_or_else(|| body(bytes));
        }
        said
    }
}

/// As JSON where it is some, else as text; cut where it is long.
fn body(bytes: &[u8]) -> Value {
    if bytes.len() > TAP_BODY_BYTES {
        let start = String::from_utf8_lossy(&bytes[..TAP_BODY_BYTES]).into_owned();
        return format!("{start}…").into();
    }
    match serde_json::from_slice(bytes) {
        Ok(json) => json,
        Err(_) => unpacked(bytes)
            .filter(|value| value.is_object() || value.is_array())
            .unwrap_or_else(|| blob::shown(bytes).into()),
    }
}
