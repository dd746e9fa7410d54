//! Absence: a key from which nothing comes any more.

use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::downtime::{OVERDUE, catch_up, micros};
use crate::timer::Timer;

/// Finds keys that fell silent: tells once that one did, and once that it is back. A timer of the key does it,
/// which each message sets anew; [`Presence`] is the key's state, or a part of it.
///
/// A key counts as silent when nothing was heard of it for that time and the [`lateness`](Absence::lateness). If
/// that falls due while the host is down the key is given the lateness again, and a minute at least: the queue may hold
/// what came meanwhile. A silence that was over before anybody noticed isn't told.
///
/// ```
/// use std::time::Duration;
///
/// use sluicegate_sdk::{Absence, Context, Decision, Message, Plugin, Presence, Timer, Verdict};
///
/// const ABSENCE: Absence = Absence::after(Duration::from_secs(900));
///
/// #[derive(serde::Deserialize)]
/// struct Silent {}
///
/// impl Plugin for Silent {
///     type State = Presence;
///
///     fn process(&self, message: &Message, meter: &mut Presence, ctx: &mut Context) -> Decision {
///         if let Some(silence) = ABSENCE.heard(meter, message.now(), ctx) {
///             ctx.emit("alerts").kind("back").json(&silence.since.as_secs())?;
///         }
///         Ok(Verdict::next())
///     }
///
///     fn on_timer(&self, timer: &Timer, meter: &mut Presence, ctx: &mut Context) -> Decision {
///         if let Some(silence) = ABSENCE.silent(meter, timer, ctx) {
///             ctx.emit("alerts").kind("silent").json(&(timer.key(), silence.since.as_secs()))?;
///         }
///         Ok(Verdict::done())
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    after_us: u64,
    lateness_us: u64,
    timer: &'static str,
}

/// When a key was last heard of: of [`Absence`], kept as [`Plugin::State`](crate::Plugin::State).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    heard_us: u64,
    silent: bool,
    /// Until when it is waited for what came while the host was down; 0 is not.
    wait_us: u64,
}

/// A key's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// When the key was last heard of, since 1970-01-01 UTC.
    pub since: Duration,
}

// === impl Absence ===

impl Absence {
    /// Keys are silent when nothing was heard of them for that long.
    #[must_use]
    pub const fn after(time: Duration) -> Self {
        Self { after_us: micros(time), lateness_us: 0, timer: "absence" }
    }

    /// How long messages may be under way, where their own time is what counts. Usually not at all.
    #[must_use]
    pub const fn lateness(self, lateness: Duration) -> Self {
        Self { lateness_us: micros(lateness), ..self }
    }

    /// The timer's name, `absence` unless it is said: a key that is watched twice needs two.
    #[must_use]
    pub const fn timer(self, name: &'static str) -> Self {
        Self { timer: name, ..self }
    }

    /// A sign of life, at the time that the message says, or at [`Message::now`](crate::Message::now). One that is older than the
    /// lateness counts as that old: while a backlog is worked off nothing is silent. Answers the silence
    /// that it ends, where that was told.
    pub fn heard(
        &self,
        presence: &mut Presence,
        time: Duration,
        ctx: &mut Context<'_>,
    ) -> Option<Silence> {
        let now_us = micros(ctx.now);
        let time_us = micros(time).clamp(now_us.saturating_sub(self.lateness_us), now_us);
        let silence = mem::take(&mut presence.silent).then(|| presence.silence());
        // A clock that was put back goes on from where it is.
        presence.heard_us = presence.heard_us.min(now_us).max(time_us);
        presence.wait_us = 0;
        self.arm(presence, ctx);
        silence
    }

    /// The silence that began, where one did. For [`Plugin::on_timer`](crate::Plugin::on_timer); another timer
    /// says nothing.
    pub fn silent(
        &self,
        presence: &mut Presence,
        timer: &Timer<'_>,
        ctx: &mut Context<'_>,
    ) -> Option<Silence> {
        if timer.name() != self.timer || presence.silent {
            return None;
        }
        let (now_us, due_us) = (micros(ctx.now), self.due_us(presence));
        if presence.wait_us == 0 && now_us.saturating_sub(due_us) > OVERDUE {
            presence.wait_us = now_us.saturating_add(catch_up(self.lateness_us));
        }
        if now_us < self.due_us(presence) {
            self.arm(presence, ctx);
            return None;
        }
        (presence.silent, presence.wait_us) = (true, 0);
        Some(presence.silence())
    }

    fn due_us(&self, presence: &Presence) -> u64 {
        let silent_us = presence.heard_us.saturating_add(self.after_us);
        silent_us.saturating_add(self.lateness_us).max(presence.wait_us)
    }

    fn arm(&self, presence: &Presence, ctx: &mut Context<'_>) {
        ctx.set_timer_at(self.timer, Duration::from_micros(self.due_us(presence)));
    }
}

// === impl Presence ===

impl Presence {
    /// Whether the key is silent, as far as was told.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    fn silence(&self) -> Silence {
        Silence { since: Duration::from_micros(self.heard_us) }
    }
}

#[cfg(test)]
mod tests;
