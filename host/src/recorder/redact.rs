//! Takes out of a capsule what may be personal: bodies, state and rows, and what was decided about them.
//!
//! A masked value keeps its shape, so that what a plugin stumbled over often still shows; it is no
//! longer the call that was made, and the capsule says so.

use bytes::Bytes;
use serde_json::Value;

use crate::config::Bodies;
use crate::plugin::StateChange;
use crate::plugin::capsule::{Capsule, Outcome, Redacted, unpacked};
use crate::verdict::Verdict;

/// Takes out what may not be kept.
pub fn redact(capsule: &mut Capsule, bodies: Bodies) {
    let (redacted, mask): (_, fn(&Bytes) -> Bytes) = match bodies {
        Bodies::Keep => return,
        Bodies::Redact => (Redacted::Masked, masked),
        Bodies::None => (Redacted::Removed, |_| Bytes::new()),
    };
    capsule.meta.redacted = redacted;
    for message in &mut capsule.batch.messages {
        message.body = mask(&message.body);
        message.row = message.row.as_ref().map(mask);
    }
    for state in &mut capsule.batch.states {
        state.bytes = state.bytes.as_ref().map(mask);
    }
    let Outcome::Decided(decisions) = &mut capsule.outcome else { return };
    for decision in &mut decisions.messages {
        if let Verdict::Next(Some(replacement)) = &mut decision.verdict {
            replacement.body = replacement.body.as_ref().map(mask);
        }
        for emission in &mut decision.emissions {
            emission.body = emission.body.as_ref().map(mask);
        }
    }
    for state in &mut decisions.states {
        if let StateChange::Set(bytes) = state {
            *bytes = mask(bytes);
        }
    }
}

/// The shape without the values: names of fields, lengths of texts and lists.
fn masked(bytes: &Bytes) -> Bytes {
    if let Ok(json) = serde_json::from_slice::<Value>(bytes) {
        return serde_json::to_vec(&without_values(json)).unwrap_or_default().into();
    }
    match unpacked(bytes) {
        Some(value @ (Value::Object(_) | Value::Array(_))) => {
            rmp_serde::to_vec(&without_values(value)).unwrap_or_default().into()
        }
        _ => vec![0; bytes.len()].into(),
    }
}

fn without_values(value: Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => Value::Bool(false),
        Value::Number(number) if number.is_f64() => Value::from(0.0),
        Value::Number(_) => Value::from(0),
        Value::String(text) => Value::String("x".repeat(text.chars().count())),
        Value::Array(items) => items.into_iter().map(without_values).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, without_values(value))).collect()
        }
    }
}
