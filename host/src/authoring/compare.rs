//! Where the answers of a case's calls differ from what was expected, and what the answers were, in the
//! words of a case.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::case::content::same;
use super::case::{
    Call, Case, Changed, Content, DueTimer, Emitted, Expected, KeyState, Props, SetTimer, Verdict,
};
use super::run::{Ended, Fired, Ran, RanCall};
use crate::message::Table;
use crate::verdict::{self, FailureClass};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: `call 2, message 1, emit 1, body`.
    pub place: String,
    /// What was expected; `None` is nothing.
    pub expected: Option<String>,
    /// What there was; `None` is nothing.
    pub got: Option<String>,
}

/// Says where a case's answers differ from what it expects; none is a case that passes.
#[must_use]
pub fn differences(case: &Case, ran: &Ran) -> Vec<Difference> {
    let mut found = Vec::new();
    for (at, (call, answered)) in case.calls.iter().zip(&ran.calls).enumerate() {
        let place = format!("call {}", at + 1);
        if answered.impure {
            found.push(Difference {
                place: place.clone(),
                expected: Some("the same answer from every instance".to_owned()),
                got: Some(
                    "impure: a second run, on a fresh instance, answered something else; state \
                     belongs in State, maps are sluicegate_sdk::Map"
                        .to_owned(),
                ),
            });
        }
        compare_call(&place, call, answered, &mut found);
    }
    found
}

fn compare_call(place: &str, call: &Call, answered: &RanCall, found: &mut Vec<Difference>) {
    for at in 0..call.timers.len().max(answered.fired.len()) {
        let mut look = Look { place: format!("{place}, timer {}", at + 1), found };
        let (expected, fired) = (call.timers.get(at), answered.fired.get(at));
        if look.same_timer(expected, fired) {
            let expected = expected.and_then(|timer| timer.expect.as_ref());
            look.ended(expected, &answered.timers[at]);
        }
    }
    let messages = call.messages.iter().map(|message| message.expect.as_ref());
    for (at, (expected, ended)) in messages.zip(&answered.messages).enumerate() {
        let mut look = Look { place: format!("{place}, message {}", at + 1), found };
        look.ended(expected, ended);
    }
    for timer in &call.set {
        let is = answered.set.get(&(timer.key.clone(), timer.name.clone())).copied().flatten();
        let wanted = timer.after.as_deref().map(duration);
        if wanted != is.map(Some) {
            let place = format!("{place}, set '{}' of '{}'", timer.name, timer.key);
            let got = is.map(|after| format!("after {}", span(after)));
            let expected = timer.after.as_ref().map(|after| format!("after {after}"));
            found.push(Difference { place, expected, got });
        }
    }
    for state in &call.state {
        let got = answered.states.get(&state.key).cloned().flatten();
        let mut look = Look { place: format!("{place}, state of '{}'", state.key), found };
        look.content("", state.value.as_ref(), got.as_ref());
    }
}

/// What a message's end is in the words of a case.
#[must_use]
pub fn observed(ended: &Ended) -> Expected {
    let decision = match ended {
        Ended::Failed(error) => {
            let verdict = match error.class {
                FailureClass::Deadline => Verdict::Deadline,
                FailureClass::Memory => Verdict::Memory,
                FailureClass::Malformed => Verdict::Malformed,
                _ => Verdict::Trap,
            };
            let text = Some(error.text.clone());
            return Expected { verdict, text, ..Expected::default() };
        }
        Ended::Decided(decision) => decision,
    };
    let emissions = decision.emissions.iter().map(emitted).collect();
    let end = Expected { emissions, ..Expected::default() };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match &decision.verdict {
        verdict::Verdict::Next(change) => {
            Expected { next: change.as_deref().and_then(changed), ..end }
        }
        verdict::Verdict::Done => Expected { verdict: Verdict::Done, ..end },
        verdict::Verdict::Drop { reason } => {
            Expected { verdict: Verdict::Drop, text: text(reason), ..end }
        }
        verdict::Verdict::Retry { code, text: said, after } => Expected {
            verdict: Verdict::Retry,
            code: Some(code.clone()),
            text: text(said),
            after: after.map(span),
            ..end
        },
        verdict::Verdict::Reject { code, text: said } => {
            Expected { verdict: Verdict::Reject, code: Some(code.clone()), text: text(said), ..end }
        }
    }
}

fn changed(change: &verdict::Replacement) -> Option<Changed> {
    let changed = Changed {
        body: change.body.as_ref().map(|body| content(body, change.content_type.as_deref())),
        content_type: change.content_type.clone(),
        headers: change.headers.as_ref().map(super::case::fields_json),
    };
    (changed != Changed::default()).then_some(changed)
}

fn emitted(emission: &verdict::Emission) -> Emitted {
    let content_type = emission.properties.content_type.as_deref();
    let headers: &Table = &emission.properties.headers;
    Emitted {
        output: emission.output.clone(),
        routing_key: emission.routing_key.clone(),
        headers: (!headers.is_empty()).then(|| super::case::fields_json(headers)),
        properties: Props::of(&emission.properties),
        body: emission.body.as_ref().map(|body| content(body, content_type)),
    }
}

/// A body whose content type isn't said is often JSON all the same.
fn content(body: &Bytes, content_type: Option<&str>) -> Content {
    Content::of(body, content_type.or(Some("application/json")))
}

/// Timers that a call set or cancelled, in the words of a case.
#[must_use]
pub fn set(answered: &RanCall) -> Vec<SetTimer> {
    let timer = |((key, name), after): (&(String, String), &Option<Duration>)| SetTimer {
        key: key.clone(),
        name: name.clone(),
        after: after.map(span),
    };
    answered.set.iter().map(timer).collect()
}

/// A time span as a case says it.
pub(super) fn span(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let unit = units.iter().find(|(_, each)| ms.is_multiple_of(*each)).unwrap_or(&units[3]);
    format!("{}{}", ms / unit.1, unit.0)
}

/// State after a call, in the words of a case.
#[must_use]
pub fn states(answered: &RanCall) -> Vec<KeyState> {
    let states = answered.states.iter();
    let state = |bytes: &Bytes| Content::of_state(bytes);
    states
        .map(|(key, bytes)| KeyState { key: key.clone(), value: bytes.as_ref().map(state) })
        .collect()
}

/// Looks at one place of a case.
struct Look<'f> {
    place: String,
    found: &'f mut Vec<Difference>,
}

impl Look<'_> {
    fn differ(&mut self, what: &str, expected: Option<String>, got: Option<String>) {
        let place = match what {
            "" => self.place.clone(),
            what => format!("{}, {what}", self.place),
        };
        self.found.push(Difference { place, expected, got });
    }

    /// Where time passes, what comes may be another timer, or come at another time, or not at all.
    fn same_timer(&mut self, expected: Option<&DueTimer>, fired: Option<&Fired>) -> bool {
        if let (Some(expected), Some(fired)) = (expected, fired)
            && (&expected.name, &expected.key) == (&fired.name, &fired.key)
            && expected.after.as_deref().is_none_or(|after| duration(after) == Some(fired.after))
        {
            return true;
        }
        let line = |name: &str, key: &str, after: Option<&str>| {
            let after = after.map(|after| format!(" after {after}")).unwrap_or_default();
            format!("timer '{name}' of '{key}'{after}")
        };
        let wanted = expected.map(|it| line(&it.name, &it.key, it.after.as_deref()));
        let got = fired.map(|it| line(&it.name, &it.key, Some(&span(it.after))));
        self.differ("", wanted, got);
        false
    }

    fn ended(&mut self, expected: Option<&Expected>, ended: &Ended) {
        match (expected, ended) {
            (Some(expected), ended) => self.input(expected, &observed(ended)),
            (None, Ended::Failed(error)) => {
                self.differ("", Some("a call that succeeds".into()), Some(error.to_string()));
            }
            (None, Ended::Decided(_)) => {}
        }
    }

    fn input(&mut self, expected: &Expected, got: &Expected) {
        if expected.verdict != got.verdict {
            self.differ("verdict", Some(summary(expected)), Some(summary(got)));
            return;
        }
        self.equal("code", expected.code.as_ref(), got.code.as_ref());
        if let Some(text) = &expected.text
            && !got.text.as_ref().is_some_and(|got| got.contains(text))
        {
            self.differ("text", Some(format!("…{text}…")), got.text.clone());
        }
        if let Some(after) = &expected.after
            && duration(after) != got.after.as_deref().and_then(duration)
        {
            self.differ("after", Some(after.clone()), got.after.clone());
        }
        if let Some(next) = &expected.next {
            let none = Changed::default();
            self.changed(next, got.next.as_ref().unwrap_or(&none));
        }
        self.emissions(&expected.emissions, &got.emissions);
    }

    /// What is expected must be there; what isn't said may be anything.
    fn equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        expected: Option<&T>,
        got: Option<&T>,
    ) {
        if expected.is_some() && expected != got {
            self.differ(what, expected.map(show), got.map(show));
        }
    }

    fn changed(&mut self, expected: &Changed, got: &Changed) {
        self.equal("next, content_type", expected.content_type.as_ref(), got.content_type.as_ref());
        self.headers("next, headers", expected.headers.as_ref(), got.headers.as_ref());
        self.said("next, body", expected.body.as_ref(), got.body.as_ref());
    }

    fn emissions(&mut self, expected: &[Emitted], got: &[Emitted]) {
        for at in 0..expected.len().max(got.len()) {
            let what = format!("emit {}", at + 1);
            match (expected.get(at), got.get(at)) {
                (Some(expected), Some(got)) => self.emission(&what, expected, got),
                (expected, got) => self.differ(&what, expected.map(line), got.map(line)),
            }
        }
    }

    fn emission(&mut self, what: &str, expected: &Emitted, got: &Emitted) {
        let within = |part: &str| format!("{what}, {part}");
        if expected.output != got.output {
            self.differ(what, Some(line(expected)), Some(line(got)));
            return;
        }
        let key = expected.routing_key.as_ref();
        self.equal(&within("routing_key"), key, got.routing_key.as_ref());
        self.headers(&within("headers"), expected.headers.as_ref(), got.headers.as_ref());
        let [wanted, found] = [&expected.properties, &got.properties].map(|properties| {
            match serde_json::to_value(properties) {
                Ok(Value::Object(fields)) => fields,
                _ => Map::new(),
            }
        });
        for (name, value) in wanted {
            self.equal(&within(&name), Some(&value), found.get(&name));
        }
        self.said(&within("body"), expected.body.as_ref(), got.body.as_ref());
    }

    fn headers(
        &mut self,
        what: &str,
        expected: Option<&Map<String, Value>>,
        got: Option<&Map<String, Value>>,
    ) {
        let Some(expected) = expected else { return };
        let (none, got) = (Map::new(), got);
        let got = got.unwrap_or(&none);
        let names = expected.keys().chain(got.keys().filter(|name| !expected.contains_key(*name)));
        for name in names {
            let alike =
                matches!((expected.get(name), got.get(name)), (Some(a), Some(b)) if same(a, b));
            if !alike {
                let [expected, got] = [expected, got].map(|it| it.get(name).map(Value::to_string));
                self.differ(&format!("{what}, '{name}'"), expected, got);
            }
        }
    }

    /// Compares with what was observed, which is in a form of its own.
    fn said(&mut self, what: &str, expected: Option<&Content>, got: Option<&Content>) {
        let Some(expected) = expected else { return };
        let got = got.and_then(|got| got.bytes().ok()).map(Bytes::from);
        self.content(what, Some(expected), got.as_ref());
    }

    fn content(&mut self, what: &str, expected: Option<&Content>, got: Option<&Bytes>) {
        let alike = match (expected, got) {
            (None, None) => true,
            (Some(expected), Some(got)) => expected.says(got).unwrap_or(false),
            _ => false,
        };
        if alike {
            return;
        }
        let shown = got.map(|got| match expected {
            Some(expected) => expected.like(got).to_string(),
            None => Content::of_state(got).to_string(),
        });
        let broken = |content: &Content| content.bytes().err().map(|error| error.to_string());
        let wanted = expected.map(|it| broken(it).unwrap_or_else(|| it.to_string()));
        self.differ(what, wanted, shown);
    }
}

fn duration(text: &str) -> Option<Duration> {
    crate::config::duration(text)
}

fn show<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?}")
}

/// A verdict in one line, with why.
#[must_use]
pub fn summary(expected: &Expected) -> String {
    let mut line = format!("{:?}", expected.verdict).to_lowercase();
    for (said, before) in
        [(&expected.code, " "), (&expected.text, ": "), (&expected.after, " after ")]
    {
        if let Some(said) = said {
            line.push_str(before);
            line.push_str(said);
        }
    }
    line
}

/// An emission in one line.
#[must_use]
pub fn line(emission: &Emitted) -> String {
    let mut line = format!("→ {}", emission.output);
    if let Some(key) = &emission.routing_key {
        line.push_str(&format!(" ({key})"));
    }
    if let Some(headers) = &emission.headers {
        line.push_str(&format!(" headers {}", Value::Object(headers.clone())));
    }
    if let Some(body) = &emission.body {
        line.push_str(&format!(" {body}"));
    }
    line
}

#[cfg(test)]
mod tests;
