//! A recorded call as a test case: what happened once, to be tried against a mended plugin.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::case::{Call, Case, Content, DueTimer, KeyState, Limits, Message, Props, fields_json};
use super::compare::observed;
use super::run::Ended;
use crate::digest;
use crate::plugin::StateChange;
use crate::plugin::capsule::{Capsule, Outcome, OwnedInput};

/// The case that a capsule is. What a call decided is what is expected of it again; one that failed is
/// expected to succeed, so that the case fails until the plugin is mended.
#[must_use]
pub fn case(capsule: &Capsule, about: &str) -> Case {
    let batch = &capsule.batch;
    let mut call = Call { now: time(batch.now_us), ..Call::default() };
    let ends: Vec<Option<Ended>> = match &capsule.outcome {
        Outcome::Failed(_) => vec![None; batch.messages.len()],
        Outcome::Decided(decisions) => {
            decisions.messages.iter().map(|it| Some(Ended::Decided(it.clone()))).collect()
        }
    };
    for (input, ended) in batch.messages.iter().zip(ends) {
        let expect = ended.as_ref().map(observed);
        match input.due_us {
            Some(due_us) => {
                let late = batch.now_us.saturating_sub(due_us) / 1000;
                call.timers.push(DueTimer {
                    name: input.routing_key.clone(),
                    key: input.key.clone().unwrap_or_default(),
                    after: None,
                    late: (late > 0).then(|| format!("{late}ms")),
                    attempt: input.attempt,
                    seed: Some(seed(input)),
                    row: row(input),
                    headers: fields_json(&input.properties.headers),
                    expect,
                });
            }
            None => call.messages.push(Message { expect, ..message(input) }),
        }
    }
    let keys = slots(capsule);
    let mut case = Case {
        about: Some(about.to_owned()),
        config: rmp_serde::from_slice(&capsule.meta.config).unwrap_or_default(),
        limits: Limits::of(&capsule.meta.limits),
        ..Case::default()
    };
    for (key, state) in keys.iter().zip(&batch.states) {
        if let Some(bytes) = &state.bytes {
            let value = Some(Content::of_state(bytes));
            case.state.push(KeyState { key: key.clone(), value });
        }
    }
    if let Outcome::Decided(decisions) = &capsule.outcome {
        for (key, change) in keys.iter().zip(&decisions.states) {
            let value = match change {
                StateChange::Unchanged => continue,
                StateChange::Set(bytes) => Some(Content::of_state(bytes)),
                StateChange::Cleared => None,
            };
            call.state.push(KeyState { key: key.clone(), value });
        }
    }
    case.calls.push(call);
    case
}

fn message(input: &OwnedInput) -> Message {
    let content_type = input.properties.content_type.as_deref();
    let mut properties = Props::of(&input.properties);
    let body = (!input.body.is_empty()).then(|| exact(&input.body, content_type));
    if body.as_ref().and_then(Content::content_type).is_some_and(|it| Some(it) == content_type) {
        properties.content_type = None;
    }
    Message {
        exchange: input.exchange.clone(),
        routing_key: input.routing_key.clone(),
        key: input.key.clone(),
        attempt: input.attempt,
        seed: Some(seed(input)),
        headers: fields_json(&input.properties.headers),
        properties,
        row: row(input),
        body,
        expect: None,
    }
}

/// Bytes in the form that says most and gives these very bytes.
fn exact(bytes: &[u8], content_type: Option<&str>) -> Content {
    let content = Content::of(bytes, content_type);
    match content.bytes() {
        Ok(again) if again == bytes => content,
        _ => Content::of(bytes, None),
    }
}

fn row(input: &OwnedInput) -> Map<String, Value> {
    let row = input.row.as_ref().and_then(|row| rmp_serde::from_slice(row).ok());
    row.unwrap_or_default()
}

fn seed(input: &OwnedInput) -> String {
    digest::hex(&input.seed)
}

fn time(us: u64) -> Option<String> {
    let us = i64::try_from(us).ok()?;
    Timestamp::from_microsecond(us).ok().map(|time| time.to_string())
}

/// Whose each state is.
fn slots(capsule: &Capsule) -> Vec<String> {
    let mut keys = vec![String::new(); capsule.batch.states.len()];
    let mut seen = BTreeSet::new();
    for input in &capsule.batch.messages {
        let slot = input.slot.and_then(|slot| usize::try_from(slot).ok());
        if let (Some(slot), Some(key)) = (slot, &input.key)
            && let Some(place) = keys.get_mut(slot)
            && seen.insert(slot)
        {
            place.clone_from(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests;
