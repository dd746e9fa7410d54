//! A plugin's answer becomes decisions. Everything it says is hostile until checked.

mod keyed;

use std::time::Duration;

use bytes::Bytes;

use super::wire::{Broken, Budget, check_emitted, text};
use super::{HEADER_WORDS, LAYOUT_VERSION, NONE, guest, properties, table};
use crate::config::PluginLimits;
use crate::limits;
use crate::plugin::{Decisions, Input};
use crate::verdict::{Decision, Emission, Replacement, Verdict};

const VERDICT_WORDS: usize = 2;
const REPLACEMENT_WORDS: usize = 6;
const EMISSION_WORDS: usize = 9;

/// What the answer is checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) inputs: &'a [Input<'a>],
    pub(super) slots: usize,
    pub(super) now_us: u64,
    pub(super) limits: &'a PluginLimits,
}

/// Checks the answer and takes it over.
pub(super) fn decode(
    answer: guest::Decisions,
    expected: Expected<'_>,
) -> Result<Decisions, Broken> {
    let unfolded = expected.limits.output_bytes.saturating_mul(limits::PLUGIN_UNFOLDED_FACTOR);
    let mut answer = Answer {
        arena: answer.arena.into(),
        index: answer.index,
        reasons: answer.reasons,
        budget: Budget::new(unfolded),
    };
    answer.check_size(expected.limits.output_bytes)?;
    let [version, ..] = answer.index[..] else {
        return Err(Broken::new("the index is empty; it starts with a header of 16 words"));
    };
    if version != LAYOUT_VERSION {
        return Err(Broken::new(format!(
            "layout version {version} where this host reads {LAYOUT_VERSION}"
        )));
    }
    let messages = answer.verdicts(expected.inputs)?;
    let messages = answer.emissions(messages, expected.limits)?;
    let states = answer.states(expected.slots, expected.limits.state_bytes)?;
    let timers = answer.timers(&messages, expected)?;
    Ok(Decisions { messages, states, timers })
}

struct Answer {
    arena: Bytes,
    index: Vec<u32>,
    reasons: Vec<guest::Reason>,
    budget: Budget,
}

/// Where a table's records are, checked to lie within the index.
#[derive(Clone, Copy)]
struct Records {
    position: usize,
    count: usize,
    size: usize,
}

impl Answer {
    fn check_size(&self, limit: usize) -> Result<(), Broken> {
        let reasons: usize = self.reasons.iter().map(|r| r.code.len() + r.text.len()).sum();
        let bytes = self.arena.len() + self.index.len() * size_of::<u32>() + reasons;
        if bytes <= limit {
            return Ok(());
        }
        Err(Broken::new(format!(
            "the answer has {bytes} bytes where {limit} are allowed; return less, or raise the \
             plugin's limits.output"
        )))
    }

    fn verdicts(&mut self, inputs: &[Input<'_>]) -> Result<Vec<Decision>, Broken> {
        let expected = inputs.len();
        let records = self.records(1, VERDICT_WORDS, "verdicts")?;
        if records.count != expected {
            return Err(Broken::new(format!(
                "{} verdicts for {expected} messages; each message gets one",
                records.count
            )));
        }
        let replacements = self.records(4, REPLACEMENT_WORDS, "replacements")?;
        let mut messages = Vec::with_capacity(expected);
        for (at, input) in inputs.iter().enumerate() {
            let [kind, which] = self.record(records, at)?;
            // Nearly every verdict is one of these two, and nothing needs to be looked at.
            if kind == 0 && input.due_us.is_none() {
                messages.push(Decision::from(Verdict::Next(None)));
                continue;
            }
            if kind == 2 {
                messages.push(Decision::from(Verdict::Done));
                continue;
            }
            let verdict = self
                .verdict(kind, which, replacements)
                .map_err(|broken| broken.at(format_args!("verdict of message {at}")))?;
            if input.due_us.is_some() && matches!(verdict, Verdict::Next(_)) {
                return Err(Broken::new(format!(
                    "verdict of timer '{}': next; a timer has no next stage",
                    input.routing_key
                )));
            }
            messages.push(Decision::from(verdict));
        }
        Ok(messages)
    }

    fn verdict(&mut self, kind: u32, which: u32, replacements: Records) -> Result<Verdict, Broken> {
        Ok(match kind {
            0 => Verdict::Next(None),
            1 => Verdict::Next(Some(self.replacement(replacements, which)?.into())),
            2 => Verdict::Done,
            3 => Verdict::Drop { reason: self.reason(which)?.text },
            4 => {
                let guest::Reason { code, text, after_ms } = self.failing(which)?;
                Verdict::Retry { code, text, after: after_ms.map(Duration::from_millis) }
            }
            5 => {
                let guest::Reason { code, text, .. } = self.failing(which)?;
                Verdict::Reject { code, text }
            }
            other => return Err(Broken::new(format!("verdict {other}; there are 0 to 5"))),
        })
    }

    fn replacement(&mut self, records: Records, which: u32) -> Result<Replacement, Broken> {
        if to_usize(which) >= records.count {
            return Err(Broken::new(format!(
                "replacement {which} where there are {}",
                records.count
            )));
        }
        let [body, body_len, kind, kind_len, headers, headers_len] =
            self.record(records, to_usize(which))?;
        let headers = self.span(headers, headers_len, "headers")?;
        Ok(Replacement {
            body: self.span(body, body_len, "body")?,
            content_type: self.short(kind, kind_len, "content type")?,
            headers: match headers {
                Some(bytes) => Some(self.headers(&bytes).map_err(|broken| broken.at("headers"))?),
                None => None,
            },
        })
    }

    fn headers(&mut self, bytes: &Bytes) -> Result<crate::message::Table, Broken> {
        check_headers(bytes.len())?;
        self.budget.take(bytes.len())?;
        table::decode(bytes, &mut self.budget)
    }

    /// A reason with its text cut to what a failure report holds.
    fn reason(&mut self, which: u32) -> Result<guest::Reason, Broken> {
        let Some(reason) = self.reasons.get(to_usize(which)) else {
            return Err(Broken::new(format!(
                "reason {which} where there are {}",
                self.reasons.len()
            )));
        };
        if reason.code.len() > limits::SHORT_STRING_BYTES {
            return Err(Broken::new(format!(
                "a reason's code of {} bytes; it is a label for metrics, of at most {}",
                reason.code.len(),
                limits::SHORT_STRING_BYTES
            )));
        }
        let end = reason.text.floor_char_boundary(limits::FAILURE_TEXT_BYTES);
        let text = &reason.text[..end];
        self.budget.take(reason.code.len() + text.len())?;
        Ok(guest::Reason {
            code: reason.code.clone(),
            text: text.to_owned(),
            after_ms: reason.after_ms,
        })
    }

    fn failing(&mut self, which: u32) -> Result<guest::Reason, Broken> {
        let reason = self.reason(which)?;
        if reason.code.is_empty() {
            return Err(Broken::new("a retry or reject whose reason has no code"));
        }
        Ok(reason)
    }

    fn emissions(
        &mut self,
        mut messages: Vec<Decision>,
        limits: &PluginLimits,
    ) -> Result<Vec<Decision>, Broken> {
        let records = self.records(7, EMISSION_WORDS, "emissions")?;
        let (mut last, mut bytes) = (0, 0_usize);
        for at in 0..records.count {
            let words = self.record(records, at)?;
            let position = to_usize(words[0]);
            if position < last {
                return Err(Broken::new(format!(
                    "emission {at} is for message {position}, after one for message {last}; \
                     they come in the order of the messages"
                )));
            }
            bytes = if position == last { bytes } else { 0 };
            last = position;
            let count = messages.len();
            let Some(decision) = messages.get_mut(position) else {
                return Err(Broken::new(format!(
                    "emission {at} is for message {position} of a batch of {count}"
                )));
            };
            if matches!(decision.verdict, Verdict::Retry { .. } | Verdict::Reject { .. }) {
                return Err(Broken::new(format!(
                    "emission {at} is for message {position}, which is retried or rejected"
                )));
            }
            if decision.emissions.len() >= limits.emissions {
                return Err(Broken::new(format!(
                    "message {position} has more than {} emissions; emit fewer, or raise the \
                     plugin's limits.emissions",
                    limits.emissions
                )));
            }
            let emission =
                self.emission(&words).map_err(|broken| broken.at(format_args!("emission {at}")))?;
            bytes = bytes.saturating_add([2, 4, 6, 8].map(|at| to_usize(words[at])).iter().sum());
            check_emitted(position, bytes, limits.emission_bytes)?;
            if decision.emissions.is_empty() {
                // Mostly there is one, and a vector that grows by itself makes room for four.
                decision.emissions.reserve_exact(1);
            }
            decision.emissions.push(emission);
        }
        Ok(messages)
    }

    fn emission(&mut self, words: &[u32; EMISSION_WORDS]) -> Result<Emission, Broken> {
        let &[_, output, output_len, key, key_len, props, props_len, body, body_len] = words;
        self.budget.take(size_of::<Emission>())?;
        let output = self
            .short(output, output_len, "output")?
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Broken::new("it names no output"))?;
        let properties = match self.span(props, props_len, "properties")? {
            Some(bytes) => {
                check_headers(bytes.len())?;
                properties::decode(&bytes, &mut self.budget)
                    .map_err(|broken| broken.at("properties"))?
            }
            None => Default::default(),
        };
        if let Some(expiration) = &properties.expiration
            && expiration.parse::<u32>().is_err()
        {
            return Err(Broken::new(format!(
                "expiration '{expiration}'; AMQP has it as a decimal number of milliseconds"
            )));
        }
        Ok(Emission {
            output,
            routing_key: self.short(key, key_len, "routing key")?,
            properties,
            body: self.span(body, body_len, "body")?,
        })
    }

    /// The table that three words of the header describe.
    fn records(&self, header: usize, words: usize, what: &str) -> Result<Records, Broken> {
        let Some(&[position, count, size]) =
            self.index.get(..HEADER_WORDS).and_then(|index| index.get(header..header + 3))
        else {
            return Err(Broken::new(format!(
                "an index of {} words; its header has {HEADER_WORDS}",
                self.index.len()
            )));
        };
        let records =
            Records { position: to_usize(position), count: to_usize(count), size: to_usize(size) };
        if records.count == 0 {
            return Ok(records);
        }
        if records.size < words {
            return Err(Broken::new(format!(
                "{what} of {size} words each; they have at least {words}"
            )));
        }
        let end = records
            .count
            .checked_mul(records.size)
            .and_then(|length| length.checked_add(records.position));
        match end {
            Some(end) if end <= self.index.len() => Ok(records),
            _ => Err(Broken::new(format!(
                "{count} {what} of {size} words at {position} leave the index of {} words",
                self.index.len()
            ))),
        }
    }

    fn record<const N: usize>(&self, records: Records, at: usize) -> Result<[u32; N], Broken> {
        let start = records.position + at * records.size;
        self.index
            .get(start..)
            .and_then(|words| words.first_chunk::<N>())
            .copied()
            .ok_or_else(|| Broken::new(format!("a record at {start} leaves the index")))
    }

    /// The bytes of a span, shared with the arena; `None` is an absent one.
    fn span(&self, start: u32, length: u32, what: &str) -> Result<Option<Bytes>, Broken> {
        if start == NONE {
            return Ok(None);
        }
        let (start, length) = (to_usize(start), to_usize(length));
        match start.checked_add(length) {
            Some(end) if end <= self.arena.len() => Ok(Some(self.arena.slice(start..end))),
            _ => Err(Broken::new(format!(
                "{what} of {length} bytes at {start} leaves the arena of {} bytes",
                self.arena.len()
            ))),
        }
    }

    /// A span of text that AMQP carries as a short string.
    fn short(&mut self, start: u32, length: u32, what: &str) -> Result<Option<String>, Broken> {
        let Some(bytes) = self.span(start, length, what)? else {
            return Ok(None);
        };
        if bytes.len() > limits::SHORT_STRING_BYTES {
            return Err(Broken::new(format!(
                "{what} of {} bytes; AMQP allows {}",
                bytes.len(),
                limits::SHORT_STRING_BYTES
            )));
        }
        self.budget.take(bytes.len())?;
        let text = text(&bytes).map_err(|broken| broken.at(what))?;
        Ok(Some(text.to_owned()))
    }
}

fn check_headers(bytes: usize) -> Result<(), Broken> {
    if bytes <= limits::HEADERS_BYTES {
        return Ok(());
    }
    Err(Broken::new(format!(
        "headers of {bytes} bytes; {} are allowed, so that they fit in a frame",
        limits::HEADERS_BYTES
    )))
}

fn to_usize(word: u32) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
