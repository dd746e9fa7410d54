//! One `process` call: every message and due timer of a batch, in order, with its key's state.

mod states;

use std::collections::HashSet;
use std::time::Duration;

use self::states::States;
use crate::FixedHash;
use crate::context::{Context, Level, Timers};
use crate::kept::Kept;
use crate::layout::{Batch, Decisions, Malformed, NONE, Reason, Record};
use crate::message::Message;
use crate::plugin::Plugin;
use crate::timer::Timer;
use crate::value::{length, write_field};
use crate::verdict::{Changed, Decision, Failure, Verdict};

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

/// Decides about a batch. `kept` is of this plugin alone, from one call to the next.
pub(crate) fn process<P: Plugin>(
    plugin: &P,
    kept: &mut Kept<P::State>,
    now_us: u64,
    arena: &[u8],
    index: &[u32],
    log: Log<'_>,
) -> Result<Decisions, RunError> {
    let batch = Batch::read(arena, index)?;
    let now = Duration::from_micros(now_us);
    let mut states = States::<P>::new(&batch, kept);
    let mut decisions = Decisions::default();
    decisions.verdicts.reserve_exact(batch.messages());
    for position in 0..batch.messages() {
        let subject = Subject::new(batch.record(position)?, now);
        let (emitted, timers) = (decisions.emissions.len(), decisions.timers.len());
        let mut ctx = Context {
            decisions: &mut decisions,
            position: u32::try_from(position).unwrap_or(NONE),
            now,
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
                states.with(slot, subject.key(), |state| subject.decide(plugin, state, &mut ctx))?
            }
        };
        if decision.is_err() {
            decisions.emissions.truncate(emitted);
            decisions.timers.truncate(timers);
        }
        write_verdict(&mut decisions, &subject, decision);
    }
    states.write(&mut decisions)?;
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

    fn key(&self) -> Option<&'a [u8]> {
        match self {
            Self::Message(message) => message.key_bytes(),
            Self::Timer(timer) => Some(timer.key_bytes()),
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
                Ok(Verdict::Next(change)) if change.get().is_none() => Ok(Verdict::Done),
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

fn write_verdict(decisions: &mut Decisions, subject: &Subject<'_>, decision: Decision) {
    let (verdict, reason) = match decision {
        Ok(Verdict::Next(change)) => {
            let Some(changed) = change.get() else { return decisions.verdicts.push([0, 0]) };
            let which = u32::try_from(decisions.replacements.len()).unwrap_or(NONE);
            if let Subject::Message(message) = subject {
                write_replacement(decisions, message, changed);
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

fn write_replacement(decisions: &mut Decisions, message: &Message<'_>, change: &Changed) {
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
fn merged_headers(message: &Message<'_>, change: &Changed) -> Vec<u8> {
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

#[cfg(test)]
mod tests;
