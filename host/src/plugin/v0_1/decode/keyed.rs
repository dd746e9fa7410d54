//! What an answer does to what keys have: their state, and timers that it sets and cancels.

use bytes::Bytes;

use super::{Answer, Broken, Expected, to_usize};
use crate::limits;
use crate::plugin::{StateChange, TimerChange};
use crate::verdict::{Decision, Verdict};

const SLOT_WORDS: usize = 3;
const TIMER_WORDS: usize = 5;

impl Answer {
    /// What became of each key's state.
    pub(super) fn states(
        &mut self,
        expected: usize,
        limit: usize,
    ) -> Result<Vec<StateChange>, Broken> {
        let records = self.records(10, SLOT_WORDS, "state slots")?;
        if records.count != expected {
            return Err(Broken::new(format!(
                "{} state slots where the batch has {expected}",
                records.count
            )));
        }
        let mut states = Vec::with_capacity(expected);
        for at in 0..records.count {
            let [kind, start, length] = self.record(records, at)?;
            states.push(match kind {
                0 => StateChange::Unchanged,
                1 => self
                    .state(start, length, limit)
                    .map_err(|broken| broken.at(format_args!("state slot {at}")))?,
                2 => StateChange::Cleared,
                other => {
                    return Err(Broken::new(format!(
                        "state slot {at} has change {other}; there are 0 to 2"
                    )));
                }
            });
        }
        Ok(states)
    }

    fn state(&mut self, start: u32, length: u32, limit: usize) -> Result<StateChange, Broken> {
        let Some(bytes) = self.span(start, length, "state")? else {
            return Err(Broken::new("it is set, to nothing"));
        };
        if bytes.len() > limit {
            return Err(Broken::new(format!(
                "a state of {} bytes where {limit} are allowed; keep less per key, or raise the \
                 plugin's limits.state",
                bytes.len()
            )));
        }
        self.budget.take(bytes.len())?;
        // Copied, since state outlives the answer that it came in by far.
        Ok(StateChange::Set(Bytes::copy_from_slice(&bytes)))
    }

    /// The changes in the order in which they take effect.
    pub(super) fn timers(
        &mut self,
        messages: &[Decision],
        expected: Expected<'_>,
    ) -> Result<Vec<TimerChange>, Broken> {
        let records = self.records(13, TIMER_WORDS, "timers")?;
        let mut changes: Vec<TimerChange> = Vec::new();
        let mut of_input = 0;
        for at in 0..records.count {
            let [input, name, length, low, high] = self.record(records, at)?;
            let input = to_usize(input);
            let last = changes.last().map(|change| change.input);
            of_input = if last == Some(input) { of_input + 1 } else { 1 };
            let place = |broken: Broken| broken.at(format_args!("timer {at}"));
            check_input(input, last, messages, expected).map_err(place)?;
            if of_input > limits::TIMER_CHANGES {
                return Err(place(Broken::new(format!(
                    "message {input} sets or cancels more than {} timers",
                    limits::TIMER_CHANGES
                ))));
            }
            let name = self.timer_name(name, length).map_err(place)?;
            let due_us = due_us([low, high], expected.now_us)
                .map_err(|broken| broken.at(format_args!("timer '{name}'")))?;
            changes.push(TimerChange { input, name, due_us });
        }
        Ok(changes)
    }

    fn timer_name(&mut self, start: u32, length: u32) -> Result<String, Broken> {
        let name = self.short(start, length, "name")?.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Broken::new("it has no name"))?;
        if name.len() > limits::TIMER_NAME_BYTES {
            return Err(Broken::new(format!(
                "a name of {} bytes; {} are allowed",
                name.len(),
                limits::TIMER_NAME_BYTES
            )));
        }
        self.budget.take(size_of::<TimerChange>())?;
        Ok(name)
    }
}

/// The input is there, keeps its effects, has a key, and comes in order.
fn check_input(
    input: usize,
    last: Option<usize>,
    messages: &[Decision],
    expected: Expected<'_>,
) -> Result<(), Broken> {
    let (Some(decision), Some(of)) = (messages.get(input), expected.inputs.get(input)) else {
        return Err(Broken::new(format!(
            "it is for message {input} of a batch of {}",
            messages.len()
        )));
    };
    if last.is_some_and(|last| input < last) {
        return Err(Broken::new(format!(
            "it is for message {input}, after one for a later message; they come in the order of the \
             messages"
        )));
    }
    if matches!(decision.verdict, Verdict::Retry { .. } | Verdict::Reject { .. }) {
        return Err(Broken::new(format!(
            "it is for message {input}, which is retried or rejected"
        )));
    }
    if of.slot.is_none() {
        return Err(Broken::new(format!(
            "it is for message {input}, which has no state slot; timers belong to a key and come with \
             its state, of a plugin that describes a state version"
        )));
    }
    Ok(())
}

/// When it is due, kept within what a host waits for; `None` cancels.
fn due_us([low, high]: [u32; 2], now_us: u64) -> Result<Option<u64>, Broken> {
    let due_us = u64::from(low) | u64::from(high) << 32;
    if due_us == u64::MAX {
        return Ok(None);
    }
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    if due_us > now_us.saturating_add(micros(limits::TIMER_AHEAD_MAX)) {
        return Err(Broken::new(format!(
            "it is due in more than {} days",
            limits::TIMER_AHEAD_MAX.as_secs() / 86_400
        )));
    }
    Ok(Some(due_us.max(now_us.saturating_add(micros(limits::TIMER_AHEAD_MIN)))))
}
