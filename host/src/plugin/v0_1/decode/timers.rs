//! Timers that an answer sets and cancels.

use super::{Answer, Broken, Expected, to_usize};
use crate::limits;
use crate::plugin::TimerChange;
use crate::verdict::{Decision, Verdict};

const TIMER_WORDS: usize = 5;

impl Answer {
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
