//! A timer that is due, as a plugin sees it.

use std::time::Duration;

use serde::Deserialize;

use crate::decode::{self, DecodeError};
use crate::layout::{Record, Text};
use crate::message::derived_id;

/// A timer that was set with [`Context::set_timer`](crate::Context::set_timer), and whose time has come.
///
/// ```
/// use std::time::Duration;
///
/// use sluicegate_sdk::{Context, Decision, Message, Plugin, Timer, Verdict};
///
/// #[derive(serde::Deserialize)]
/// struct Silence {}
///
/// impl Plugin for Silence {
///     type State = ();
///     const TIMERS: bool = true;
///
///     fn process(&self, _: &Message, (): &mut (), ctx: &mut Context) -> Decision {
///         ctx.set_timer("silent", Duration::from_secs(900)); // each message sets it anew
///         Ok(Verdict::next())
///     }
///
///     fn on_timer(&self, timer: &Timer, (): &mut (), ctx: &mut Context) -> Decision {
///         ctx.emit("alerts").json(&serde_json::json!({ "silent": timer.key() }))?;
///         Ok(Verdict::done())
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timer<'a> {
    record: Record<'a>,
    due: Duration,
    now: Duration,
}

impl<'a> Timer<'a> {
    pub(crate) fn new(record: Record<'a>, due: Duration, now: Duration) -> Self {
        Self { record, due, now }
    }

    pub(crate) fn slot(&self) -> Option<usize> {
        self.record.slot
    }

    /// Its key's bytes, whatever they are.
    pub(crate) fn key_bytes(&self) -> &'a [u8] {
        self.record.key.map(|key| key.0).unwrap_or_default()
    }

    /// The name that it was set under.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.record.routing_key.get()
    }

    /// The key of the message that set it.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.record.key.map(Text::get).unwrap_or_default()
    }

    /// When it was due, since 1970-01-01 UTC.
    #[must_use]
    pub fn due(&self) -> Duration {
        self.due
    }

    /// The batch's time, since 1970-01-01 UTC.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// How late it is: milliseconds on a host that runs, more after one was down or paused.
    #[must_use]
    pub fn late(&self) -> Duration {
        self.now.saturating_sub(self.due)
    }

    /// 1 at the first attempt, 2 at the first retry.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.record.attempt
    }

    /// The key's row in a table, as [`Message::row`](crate::Message::row).
    ///
    /// # Errors
    /// `bad_row` where the row doesn't decode into `T`.
    pub fn row<T: Deserialize<'a>>(&self, table: &str) -> Result<Option<T>, DecodeError> {
        decode::row(self.record.row, table)
    }

    /// An id for the `n`th thing that follows from this timer, as
    /// [`Message::derived_id`](crate::Message::derived_id).
    #[must_use]
    pub fn derived_id(&self, n: u64) -> String {
        derived_id(self.record.seed, n)
    }
}

#[cfg(test)]
mod tests;
