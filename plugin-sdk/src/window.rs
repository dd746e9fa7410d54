//! Tumbling windows: what happened in each quarter of an hour, by the time that the messages say.

use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::downtime::{OVERDUE, catch_up, micros};
use crate::timer::Timer;
use crate::verdict::Failure;

/// Windows of one size, one behind the other: each message belongs to the one that its time lies in, and
/// changes that one's aggregate in [`Windows`], which is a key's state or a part of it.
///
/// A key's time is the latest that its messages said, and goes on with the host's clock while it is
/// silent. When it has passed a window's end by the [`lateness`](Tumbling::lateness) the window closes: a
/// timer hands its aggregate over, once. What comes for it then is late.
///
/// A message from the future moves no key's time past the host's clock, so that one device whose clock is
/// wrong doesn't close the windows of its better messages. A window that should have closed while the host was down
/// stays open for the lateness again, and a minute at least: the queue may hold what belongs to it.
///
/// ```
/// use std::time::Duration;
///
/// use sluicegate_sdk::{Context, Decision, Message, Plugin, Timer, Tumbling, Verdict, Windows};
///
/// const HOURS: Tumbling =
///     Tumbling::of(Duration::from_secs(3600)).lateness(Duration::from_secs(300));
///
/// #[derive(serde::Deserialize)]
/// struct Hourly {}
///
/// impl Plugin for Hourly {
///     type State = Windows<f64>; // the sum of each hour
///
///     fn process(&self, message: &Message, hours: &mut Windows<f64>, ctx: &mut Context) -> Decision {
///         let (at, kwh): (u64, f64) = message.decode()?;
///         *HOURS.open(hours, Duration::from_secs(at), ctx)? += kwh; // `late` ones are rejected
///         Ok(Verdict::next())
///     }
///
///     fn on_timer(&self, timer: &Timer, hours: &mut Windows<f64>, ctx: &mut Context) -> Decision {
///         for (hour, kwh) in HOURS.close(hours, timer, ctx) {
///             ctx.emit("hourly").json(&(timer.key(), hour.start.as_secs(), kwh))?;
///         }
///         Ok(Verdict::done())
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size_us: u64,
    lateness_us: u64,
    offset_us: u64,
    timer: &'static str,
}

/// A span of time: from its start up to its end, which is the next one's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// Since 1970-01-01 UTC.
    pub start: Duration,
    /// Since 1970-01-01 UTC.
    pub end: Duration,
}

/// A key's open windows, each with its aggregate: of [`Tumbling`], kept as [`Plugin::State`](crate::Plugin::State).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Windows<A> {
    /// The key's time: the latest of its messages, no later than the host's clock was then.
    time_us: u64,
    /// What the host's clock said when that came.
    seen_us: u64,
    /// Windows that end by then are closed.
    closed_us: u64,
    /// When the timer is due that was set last.
    due_us: u64,
    /// Whether that is a time given to the queue, after a downtime.
    waiting: bool,
    /// By end, then by start: sizes may have been others.
    open: Vec<Kept<A>>,
}

/// A window as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept<A> {
    end_us: u64,
    start_us: u64,
    aggregate: A,
}

/// Why a time has no open window. As a [`Failure`], by `?`, it rejects the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outside {
    /// Its window has closed. Code `late`.
    #[error("its window has closed")]
    Late,
    /// It lies more than 64 windows ahead of the host's clock. Code `ahead`.
    #[error("its time lies too far ahead")]
    Ahead,
}

/// Windows ahead of the host's clock that can be open.
const AHEAD: u64 = 64;

// === impl Tumbling ===

impl Tumbling {
    /// Windows of that size, a millisecond at least, counted from 1970-01-01 UTC.
    #[must_use]
    pub const fn of(size: Duration) -> Self {
        let size_us = micros(size);
        let size_us = if size_us < 1000 { 1000 } else { size_us };
        Self { size_us, lateness_us: 0, offset_us: 0, timer: "window" }
    }

    /// How long after its end, in the key's time, a window stays open for what comes late. Usually not at all.
    #[must_use]
    pub const fn lateness(self, lateness: Duration) -> Self {
        Self { lateness_us: micros(lateness), ..self }
    }

    /// Shifts where windows begin: days that begin at 23:00 UTC have an offset of 23 hours.
    #[must_use]
    pub const fn offset(self, offset: Duration) -> Self {
        Self { offset_us: micros(offset) % self.size_us, ..self }
    }

    /// The timer's name, `window` unless it is said: a key with several kinds of windows needs several.
    #[must_use]
    pub const fn timer(self, name: &'static str) -> Self {
        Self { timer: name, ..self }
    }

    /// The window that a time lies in, open or not.
    #[must_use]
    pub fn window(&self, time: Duration) -> Window {
        let time_us = micros(time);
        let elapsed = (time_us % self.size_us + self.size_us - self.offset_us) % self.size_us;
        let end_us = time_us.saturating_add(self.size_us - elapsed);
        Window::new(end_us.saturating_sub(self.size_us), end_us)
    }

    /// The aggregate of the window that a message's time lies in, its default at first.
    ///
    /// # Errors
    /// There is no open window for that time; by `?` the message is rejected as `late` or `ahead`.
    pub fn open<'w, A: Default>(
        &self,
        windows: &'w mut Windows<A>,
        time: Duration,
        ctx: &mut Context<'_>,
    ) -> Result<&'w mut A, Outside> {
        let now_us = micros(ctx.now);
        let ahead_us = self.size_us.saturating_mul(AHEAD);
        if micros(time) > now_us.saturating_add(ahead_us) {
            return Err(Outside::Ahead);
        }
        let window = self.window(time);
        let (start_us, end_us) = (micros(window.start), micros(window.end));
        if end_us <= windows.closed_us {
            return Err(Outside::Late);
        }
        windows.see(micros(time), now_us);
        windows.close_by(windows.time_us.saturating_sub(self.lateness_us));
        let place = |kept: &Kept<A>| (kept.end_us, kept.start_us);
        let found = windows.open.binary_search_by_key(&(end_us, start_us), place);
        let at = found.unwrap_or_else(|at| {
            windows.open.insert(at, Kept { end_us, start_us, aggregate: A::default() });
            at
        });
        self.arm(windows, now_us, true, ctx);
        Ok(&mut windows.open[at].aggregate)
    }

    /// The windows that have closed, with their aggregates, in order. For
    /// [`Plugin::on_timer`](crate::Plugin::on_timer); another timer closes none.
    pub fn close<A>(
        &self,
        windows: &mut Windows<A>,
        timer: &Timer<'_>,
        ctx: &mut Context<'_>,
    ) -> Vec<(Window, A)> {
        if timer.name() != self.timer {
            return Vec::new();
        }
        let now_us = micros(ctx.now);
        let mut closed = windows.take_closed();
        let due_us = self.due_us(windows);
        if due_us.is_some_and(|due_us| due_us <= now_us && !windows.must_wait(due_us, now_us)) {
            windows.waiting = false;
            let time_us = now_us.saturating_sub(windows.seen_us).saturating_add(windows.time_us);
            windows.close_by(time_us.saturating_sub(self.lateness_us));
            closed.extend(windows.take_closed());
        }
        self.arm(windows, now_us, false, ctx);
        closed
    }

    /// When the first window that messages haven't closed does so, by the host's clock.
    fn due_us<A>(&self, windows: &Windows<A>) -> Option<u64> {
        let first = windows.open.first()?;
        if windows.waiting {
            return Some(windows.due_us);
        }
        let closes_us = first.end_us.saturating_add(self.lateness_us);
        let left_us = closes_us.saturating_sub(windows.time_us);
        Some(windows.seen_us.saturating_add(left_us))
    }

    /// Sets the timer at which the first window closes. One that is set for that time already stays: setting it
    /// again, as often as messages come, would put it off for ever.
    fn arm<A>(&self, windows: &mut Windows<A>, now_us: u64, set: bool, ctx: &mut Context<'_>) {
        let before_us = windows.due_us;
        let fresh = set && now_us.saturating_sub(before_us) <= OVERDUE;
        let Some(first) = windows.open.first() else {
            windows.due_us = 0;
            return;
        };
        if first.end_us <= windows.closed_us {
            windows.due_us = if fresh { before_us.min(now_us) } else { now_us };
        } else if let Some(due_us) = self.due_us(windows) {
            windows.due_us = due_us;
            if windows.must_wait(due_us, now_us) {
                windows.waiting = true;
                windows.due_us = now_us.saturating_add(catch_up(self.lateness_us));
            }
        }
        if !fresh || windows.due_us != before_us {
            ctx.set_timer_at(self.timer, Duration::from_micros(windows.due_us));
        }
    }
}

// === impl Windows ===

impl<A> Windows<A> {
    /// Takes the windows that this key's own messages have closed, which the timer would hand over in a moment.
    /// For a plugin whose state would grow large where a key catches up on much at once.
    pub fn take_closed(&mut self) -> Vec<(Window, A)> {
        let count = self.open.partition_point(|kept| kept.end_us <= self.closed_us);
        let behind = self.open.split_off(count);
        let closed = mem::replace(&mut self.open, behind).into_iter();
        closed.map(|kept| (Window::new(kept.start_us, kept.end_us), kept.aggregate)).collect()
    }

    /// Moves the key's time to a message's, where that is later.
    fn see(&mut self, time_us: u64, now_us: u64) {
        // A clock that was put back goes on from where it is.
        self.seen_us = self.seen_us.min(now_us);
        let time_us = time_us.min(now_us);
        if time_us >= self.time_us {
            (self.time_us, self.seen_us, self.waiting) = (time_us, now_us, false);
        }
    }

    fn close_by(&mut self, time_us: u64) {
        self.closed_us = self.closed_us.max(time_us);
    }

    /// Whether nobody was there when it was due, and it wasn't waited yet.
    fn must_wait(&self, due_us: u64, now_us: u64) -> bool {
        !self.waiting && now_us.saturating_sub(due_us) > OVERDUE
    }
}

impl<A> Default for Windows<A> {
    fn default() -> Self {
        let open = Vec::new();
        Self { time_us: 0, seen_us: 0, closed_us: 0, due_us: 0, waiting: false, open }
    }
}

// === impl Window ===

impl Window {
    fn new(start_us: u64, end_us: u64) -> Self {
        Self { start: Duration::from_micros(start_us), end: Duration::from_micros(end_us) }
    }
}

// === impl Outside ===

impl From<Outside> for Failure {
    fn from(outside: Outside) -> Self {
        let code = match outside {
            Outside::Late => "late",
            Outside::Ahead => "ahead",
        };
        Self::reject(code, outside.to_string())
    }
}

#[cfg(test)]
mod tests;
