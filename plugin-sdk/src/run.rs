//! One `process` call: every message and due timer of a batch, in order, with its key's state.

use std::collections::HashSet;
use std::time::Duration;

use crate::FixedHash;
use crate::context::{Context, Level, Timers};
use crate::layout::{Batch, Decisions, Malformed, NONE, Reason, Record};
use crate::message::Message;
use crate::plugin::Plugin;
use crate::timer::Timer;
use crate::value::{length, write_field};
use crate::verdict::{Change, Decision, Failure, Verdict};

/// What a call sends to the host's log: level, position in the batch, line.
pub(crate) type Log<'l> = &'l mut dyn FnMut(Level, u32, &str);

/// Why a call can't be answered. The guest panics with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RunError {
    /// The batch breaks the layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A key's state doesn't decode into the author's type.
    #[error("can't decode the state of key '{key}': {text}; raise STATE_VERSION and migrate it")]
    State {
        /// Whose state it is.
        key: String,
        /// What the decoder said.
        text: String,
    },
    /// The author's state has no form in MessagePack.
    #[error("can't encode the state: {0}")]
    Encode(String),
}

/// Whether a plugin is handed what belongs to keys. `()` and other types without fields are no state.
pub(crate) const fn is_stateful<P: Plugin>() -> bool {
    size_of::<P::State>() > 0 || P::TIMERS
}

pub(crate) fn process<P: Plugin>(
    plugin: &P,
    now_us: u64,
    arena: &[u8],
    index: &[u32],
    log: Log<'_>,
) -> Result<Decisions, RunError> {
    let batch = Batch::read(arena, index)?;
    let mut states: Vec<Option<P::State>> = vec![None; batch.slots()];
    let mut decisions = Decisions::default();
    for position in 0..batch.messages() {
        let subject = Subject::new(batch.record(position)?, Duration::from_micros(now_us));
        let (emitted, timers) = (decisions.emissions.len(), decisions.timers.len());
        let mut ctx = Context {
            decisions: &mut decisions,
            position: u32::try_from(position).unwrap_or(NONE),
            now: Duration::from_micros(now_us),
            timers: if !is_stateful::<P>() {
                Timers::Undeclared
            } else if subject.key().is_none() {
                Timers::NoKey
            } else {
                Timers::Allowed
            },
            refused: None,
            log: &mut *log,
        };
        let decision = match subject.slot() {
            _ if !is_stateful::<P>() => subject.decide(plugin, &mut P::State::default(), &mut ctx),
            None => subject.decide_keyless(plugin, &mut ctx),
            Some(slot) => {
                let before = match states[slot].take() {
                    Some(state) => state,
                    None => decode::<P>(batch.state(slot)?, subject.key())?,
                };
                let mut state = before.clone();
                let decision = subject.decide(plugin, &mut state, &mut ctx);
                states[slot] = Some(if decision.is_ok() { state } else { before });
                decision
            }
        };
        if decision.is_err() {
            decisions.emissions.truncate(emitted);
            decisions.timers.truncate(timers);
        }
        write_verdict(&mut decisions, &subject, decision);
    }
    write_states::<P>(&mut decisions, &batch, states)?;
    Ok(decisions)
}

/// What a plugin decides about.
enum Subject<'a> {
    Message(Message<'a>),
    Timer(Timer<'a>),
}

impl<'a> Subject<'a> {
    fn new(record: Record<'a>, now: Duration) -> Self {
        match record.due_us {
            Some(due_us) => Self::Timer(Timer::new(record, Duration::from_micros(due_us), now)),
            None => Self::Message(Message::new(record, now)),
        }
    }

    fn slot(&self) -> Option<usize> {
        match self {
            Self::Message(message) => message.slot(),
            Self::Timer(timer) => timer.slot(),
        }
    }

    fn key(&self) -> Option<&'a str> {
        match self {
            Self::Message(message) => message.key(),
            Self::Timer(timer) => Some(timer.key()),
        }
    }

    /// What can't be done with timers fails what tried to.
    fn decide<P: Plugin>(
        &self,
        plugin: &P,
        state: &mut P::State,
        ctx: &mut Context<'_>,
    ) -> Decision {
        let decision = match self {
            Self::Message(message) => plugin.process(message, state, ctx),
            Self::Timer(timer) => match plugin.on_timer(timer, state, ctx) {
                Ok(Verdict::Next(change)) if change == Change::default() => Ok(Verdict::Done),
                Ok(Verdict::Next(_)) => {
                    let text = "a timer has no next stage that a change could be for; emit instead";
                    Err(Failure::reject("no_next_stage", text))
                }
                decision => decision,
            },
        };
        decision.and_then(|verdict| ctx.refused.take().map_or(Ok(verdict), Err))
    }

    fn decide_keyless<P: Plugin>(&self, plugin: &P, ctx: &mut Context<'_>) -> Decision {
        let decision = match self {
            Self::Message(message) => plugin.process_keyless(message, ctx),
            Self::Timer(timer) => plugin.on_timer(timer, &mut P::State::default(), ctx),
        };
        decision.and_then(|verdict| ctx.refused.take().map_or(Ok(verdict), Err))
    }
}

fn decode<P: Plugin>(bytes: Option<&[u8]>, key: Option<&str>) -> Result<P::State, RunError> {
    let Some(bytes) = bytes else { return Ok(P::State::default()) };
    rmp_serde::from_slice(bytes).map_err(|error| RunError::State {
        key: key.unwrap_or_default().to_owned(),
        text: error.to_string(),
    })
}

fn write_verdict(decisions: &mut Decisions, subject: &Subject<'_>, decision: Decision) {
    let (verdict, reason) = match decision {
        Ok(Verdict::Next(change)) if change == Change::default() => {
            return decisions.verdicts.push([0, 0]);
        }
        Ok(Verdict::Next(change)) => {
            let which = u32::try_from(decisions.replacements.len()).unwrap_or(NONE);
            if let Subject::Message(message) = subject {
                write_replacement(decisions, message, &change);
            }
            return decisions.verdicts.push([1, which]);
        }
        Ok(Verdict::Done) => return decisions.verdicts.push([2, 0]),
        Ok(Verdict::Drop(text)) => (3, Reason { code: String::new(), text, after_ms: None }),
        Err(failure) => {
            let after_ms = failure.after.filter(|_| failure.retry);
            let after_ms = after_ms.map(|after| after.as_millis().try_into().unwrap_or(u64::MAX));
            let reason = Reason { code: failure.code, text: failure.text, after_ms };
            (if failure.retry { 4 } else { 5 }, reason)
        }
    };
    let which = u32::try_from(decisions.reasons.len()).unwrap_or(NONE);
    decisions.reasons.push(reason);
    decisions.verdicts.push([verdict, which]);
}

fn write_replacement(decisions: &mut Decisions, message: &Message<'_>, change: &Change) {
    let body = decisions.put_optional(change.body.as_deref());
    let content_type = decisions.put_optional(change.content_type.as_deref().map(str::as_bytes));
    let headers = if change.headers.fields().is_empty() && change.removed.is_empty() {
        [NONE, 0]
    } else {
        let merged = merged_headers(message, change);
        let start = decisions.arena.len();
        decisions.arena.extend(length(&merged).to_be_bytes());
        decisions.arena.extend(merged);
        decisions.since(start)
    };
    let [body, content_type, headers] = [body, content_type, headers];
    decisions.replacements.push([
        body[0],
        body[1],
        content_type[0],
        content_type[1],
        headers[0],
        headers[1],
    ]);
}

/// The message's headers without those that are set or removed, then those that are set.
fn merged_headers(message: &Message<'_>, change: &Change) -> Vec<u8> {
    let set: Names<'_> = change.headers.fields().iter().map(|(name, _)| name).collect();
    let removed = |name: &str| change.removed.iter().any(|removed| removed == name);
    let mut merged = Vec::new();
    for (name, value) in message.headers().iter() {
        if !set.contains(name) && !removed(name) {
            write_field(&mut merged, name, &value);
        }
    }
    merged.extend(change.headers.bytes());
    merged
}

type Names<'n> = HashSet<&'n str, FixedHash>;

fn write_states<P: Plugin>(
    decisions: &mut Decisions,
    batch: &Batch<'_>,
    states: Vec<Option<P::State>>,
) -> Result<(), RunError> {
    let encode = |state: &P::State, to: &mut Vec<u8>| {
        to.clear();
        rmp_serde::encode::write(to, state).map_err(|error| RunError::Encode(error.to_string()))
    };
    let (mut default, mut bytes) = (Vec::new(), Vec::new());
    encode(&P::State::default(), &mut default)?;
    for (slot, state) in states.into_iter().enumerate() {
        let before = batch.state(slot)?;
        let word = match state {
            None => [0, NONE, 0],
            Some(state) => {
                encode(&state, &mut bytes)?;
                if before.unwrap_or(&default) == bytes {
                    [0, NONE, 0]
                } else if bytes == default {
                    [2, NONE, 0]
                } else {
                    let [offset, length] = decisions.put(&bytes);
                    [1, offset, length]
                }
            }
        };
        decisions.slots.push(word);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
