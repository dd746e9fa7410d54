//! What a call does to its keys' timers: those that were due are gone, others are set or cancelled.

use std::sync::Arc;

use super::progress::Progress;
use super::{Outcome, Runner};
use crate::limits::TIMERS_PER_KEY;
use crate::plugin::TimerChange;
use crate::state::{Changes, Entry, Timer};
use crate::verdict::{Failure, FailureClass};

/// Each input's slot, and what each slot's key has.
type Slots<'s> = (&'s [Option<u32>], &'s [(Arc<str>, Entry)]);

impl Runner<'_> {
    /// Notes it in the changes. An input that would leave its key with too many timers fails,
    /// and one whose key would be one too many to have any.
    pub(super) fn retime(
        &self,
        stage: usize,
        (running, seen): (&mut [Progress<'_>], &[usize]),
        (slots, handed): Slots<'_>,
        changes: &[TimerChange],
        delta: &mut Changes,
    ) {
        let mut alter = |at: usize, change: &dyn Fn(&mut Entry)| {
            let Some(place) = slots.get(at).copied().flatten() else { return (0, false) };
            let Some((key, before)) = handed.get(place as usize) else { return (0, false) };
            let mut entry = delta.get(key, stage).unwrap_or(before).clone();
            change(&mut entry);
            let count = entry.timers().len();
            delta.set(key, stage, entry);
            (count, before.timers().is_empty() && count > 0)
        };
        for (at, &of) in seen.iter().enumerate() {
            let progress = &running[of];
            let failed = matches!(progress.outcome, Some(Outcome::Failed(_)));
            if progress.job.timer.is_some() && !failed {
                let _left = alter(at, &|entry| {
                    entry.cancel_timer(&progress.job.message.routing_key);
                });
            }
        }
        for TimerChange { input, name, due_us } in changes {
            let Some(&of) = seen.get(*input) else { continue };
            if matches!(running[of].outcome, Some(Outcome::Failed(_))) {
                continue;
            }
            let (count, first) = alter(*input, &|entry| match *due_us {
                Some(due_us) => {
                    entry.set_timer(Timer { name: name.as_str().into(), due_us, attempt: 0 });
                }
                None => entry.cancel_timer(name),
            });
            let failure = if count > TIMERS_PER_KEY {
                let text = format!(
                    "timer '{name}' would be one more than the {TIMERS_PER_KEY} that a key has at a stage"
                );
                self.untimed(stage, FailureClass::Malformed, "too_many_timers", text)
            } else if first && self.setting.timers_full {
                let text = format!(
                    "timer '{name}' would be of one key more than have timers; `state.timers` bounds them"
                );
                self.untimed(stage, FailureClass::Memory, "timers_full", text)
            } else {
                continue;
            };
            // Its state is tainted too, as where it emits to an output that there isn't.
            running[of].fail(stage, failure);
            running[of].tainted = stage + 1;
        }
    }

    fn untimed(&self, stage: usize, class: FailureClass, code: &str, text: String) -> Failure {
        Failure {
            class,
            code: code.to_owned(),
            text,
            stage: Some(self.failed_stage(stage)),
            backtrace: Vec::new(),
            retry_after: None,
        }
    }
}

#[cfg(test)]
mod tests;
