//! Where two answers differ, in words.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Outcome;
use crate::limits::{CAPSULE_DEPTH, DIFFERENCE_CHARS, DIFFERENCES_MAX};
use crate::plugin::{CallError, Decisions, StateChange};
use crate::verdict::FailureClass;

/// One place where two answers differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where: `message 0: verdict`.
    pub at: String,
    /// What one has there.
    pub was: String,
    /// What the other has there.
    pub is: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  was {}\n  is  {}", self.at, self.was, self.is)
    }
}

/// Where two answers to one batch differ; nowhere if they are equal to the bit.
#[must_use]
pub fn diff(was: &Decisions, is: &Decisions) -> Vec<Difference> {
    // Bits, not values: a NaN in a header equals itself here.
    if packed(was) == packed(is) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, name) in [("messages", "message"), ("states", "state"), ("timers", "timer")] {
        let [was, is] = [view(was), view(is)].map(|view| view.get(at).cloned().unwrap_or_default());
        list(name, &was, &is, &mut found);
    }
    if found.is_empty() {
        // What people are shown is the same: bytes that a text doesn't tell apart.
        let same = "equal in this view, but not to the bit".to_owned();
        found.push(Difference { at: "answer".to_owned(), was: same.clone(), is: same });
    }
    found.truncate(DIFFERENCES_MAX);
    found
}

/// The same for outcomes. What a failure says counts too, save where it tells of measured time or of
/// memory that the instance held before.
#[must_use]
pub fn diff_outcomes(was: &Outcome, is: &Outcome) -> Vec<Difference> {
    match (was, is) {
        (Outcome::Decided(was), Outcome::Decided(is)) => diff(was, is),
        (Outcome::Failed(was), Outcome::Failed(is)) => failures(was, is),
        (Outcome::Decided(was), Outcome::Failed(is)) => {
            vec![Difference { at: "call".to_owned(), was: summary(was), is: cut(&is.to_string()) }]
        }
        (Outcome::Failed(was), Outcome::Decided(is)) => {
            vec![Difference { at: "call".to_owned(), was: cut(&was.to_string()), is: summary(is) }]
        }
    }
}

fn failures(was: &CallError, is: &CallError) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut part = |at: &str, was: String, is: String| {
        if was != is {
            let [was, is] = apart(&was, &is);
            found.push(Difference { at: format!("failure: {at}"), was, is });
        }
    };
    part("class", was.class.to_string(), is.class.to_string());
    if !matches!(was.class, FailureClass::Deadline | FailureClass::Memory) || was.class != is.class
    {
        part("text", was.text.clone(), is.text.clone());
    }
    if was.class != FailureClass::Deadline {
        part("stack", was.backtrace.join(" < "), is.backtrace.join(" < "));
    }
    found
}

/// What an answer comes to: `next`, or `3 messages: next, done, drop`.
fn summary(decisions: &Decisions) -> String {
    let messages: Vec<String> = decisions.messages.iter().map(|one| short(&one.verdict)).collect();
    match messages.as_slice() {
        [only] => only.clone(),
        _ => cut(&format!("{} messages: {}", messages.len(), messages.join(", "))),
    }
}

fn short(verdict: &crate::verdict::Verdict) -> String {
    use crate::verdict::Verdict;
    match verdict {
        Verdict::Next(_) => "next".to_owned(),
        Verdict::Done => "done".to_owned(),
        Verdict::Drop { reason } => cut(&format!("drop: {reason}")),
        Verdict::Retry { code, text, .. } => cut(&format!("retry {code}: {text}")),
        Verdict::Reject { code, text } => cut(&format!("reject {code}: {text}")),
    }
}

fn list(name: &str, was: &Value, is: &Value, found: &mut Vec<Difference>) {
    let none = Vec::new();
    let [was, is] = [was, is].map(|value| value.as_array().unwrap_or(&none));
    if was.len() != is.len() {
        let count = |n: usize| n.to_string();
        let at = format!("number of {name}s");
        found.push(Difference { at, was: count(was.len()), is: count(is.len()) });
    }
    for (at, (was, is)) in was.iter().zip(is).enumerate() {
        value(&format!("{name} {at}"), was, is, found);
    }
}

/// Goes down as far as both have the same shape.
fn value(at: &str, was: &Value, is: &Value, found: &mut Vec<Difference>) {
    if was == is || found.len() >= DIFFERENCES_MAX {
        return;
    }
    match (was, is) {
        (Value::Object(was), Value::Object(is)) if was.keys().eq(is.keys()) => {
            for (key, one) in was {
                if let Some(other) = is.get(key) {
                    value(&format!("{at}: {key}"), one, other, found);
                }
            }
        }
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            for (place, (one, other)) in was.iter().zip(is).enumerate() {
                value(&format!("{at} {place}"), one, other, found);
            }
        }
        _ => {
            let [was, is] = apart(&text(was), &text(is));
            found.push(Difference { at: at.to_owned(), was, is });
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Both cut to what can be shown; a long common start is left out, so that what differs is seen.
fn apart(was: &str, is: &str) -> [String; 2] {
    let common = was.chars().zip(is.chars()).take_while(|(one, other)| one == other).count();
    let skip = if common > DIFFERENCE_CHARS / 2 { common - DIFFERENCE_CHARS / 4 } else { 0 };
    [was, is].map(|text| {
        let rest: String = text.chars().skip(skip).collect();
        if skip > 0 { format!("…{}", cut(&rest)) } else { cut(&rest) }
    })
}

fn cut(text: &str) -> String {
    if text.chars().count() <= DIFFERENCE_CHARS {
        return text.to_owned();
    }
    text.chars().take(DIFFERENCE_CHARS).chain(['…']).collect()
}

/// For people: state as what it says, where it is MessagePack.
fn view(decisions: &Decisions) -> Value {
    let mut view = serde_json::to_value(decisions).unwrap_or_default();
    for (at, state) in decisions.states.iter().enumerate() {
        if let StateChange::Set(bytes) = state
            && let Some(unpacked) = unpacked(bytes)
            && let Some(place) = view.pointer_mut(&format!("/states/{at}"))
        {
            *place = serde_json::json!({ "set": unpacked });
        }
    }
    view
}

/// What MessagePack says, in JSON; `None` where it is something else.
#[must_use]
pub fn unpacked(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    reader.set_max_depth(CAPSULE_DEPTH);
    let value = Value::deserialize(&mut reader).ok()?;
    drop(reader);
    rest.is_empty().then_some(value)
}

fn packed(decisions: &Decisions) -> Vec<u8> {
    rmp_serde::to_vec_named(decisions).unwrap_or_default()
}
