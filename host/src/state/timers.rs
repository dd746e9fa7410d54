//! A key's timers at one stage: few, in order of their due times, replaced as a whole.

use std::sync::Arc;

use super::{Entry, Timer};

impl Entry {
    /// Its timers.
    #[must_use]
    pub fn timers(&self) -> &[Timer] {
        self.timers.as_deref().unwrap_or_default()
    }

    /// The timer of that name.
    #[must_use]
    pub fn timer(&self, name: &str) -> Option<&Timer> {
        self.timers().iter().find(|timer| &*timer.name == name)
    }

    /// Sets a timer, in place of one of its name.
    pub fn set_timer(&mut self, timer: Timer) {
        let mut timers = self.timers().to_vec();
        timers.retain(|other| other.name != timer.name);
        timers.push(timer);
        timers.sort_by(|a, b| (a.due_us, &a.name).cmp(&(b.due_us, &b.name)));
        self.timers = Some(timers.into());
    }

    /// Takes a timer away, if there is one of that name.
    pub fn cancel_timer(&mut self, name: &str) {
        if self.timer(name).is_none() {
            return;
        }
        let left: Arc<[Timer]> =
            self.timers().iter().filter(|other| &*other.name != name).cloned().collect();
        self.timers = (!left.is_empty()).then_some(left);
    }
}

#[cfg(test)]
mod tests;
