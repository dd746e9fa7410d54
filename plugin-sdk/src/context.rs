//! What a plugin can do besides deciding: emit messages, set timers, write log lines.

use std::fmt::Display;
use std::time::Duration;

use crate::emission::Emission;
use crate::layout::{Decisions, NONE};
use crate::message::Message;
use crate::verdict::Failure;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is wrong.
    Error,
    /// Something may go wrong.
    Warn,
    /// Worth knowing.
    Info,
    /// For finding faults.
    Debug,
    /// For finding faults, in every detail.
    Trace,
}

/// Whether timers can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timers {
    Allowed,
    /// There is no key that they could be of.
    NoKey,
    /// The plugin is sent nothing of keys.
    Undeclared,
}

/// The surroundings of one message or due timer: its emissions, its timers, its log lines.
pub struct Context<'c> {
    pub(crate) decisions: &'c mut Decisions,
    pub(crate) position: u32,
    pub(crate) now: Duration,
    pub(crate) timers: Timers,
    /// Why a timer couldn't be set; fails the message.
    pub(crate) refused: Option<Failure>,
    pub(crate) log: &'c mut dyn FnMut(Level, u32, &str),
}

/// Bytes of a timer's name, as `wit/v0.1/LAYOUT.md` has it.
const TIMER_NAME_BYTES: usize = 128;
/// The longest time that the host lets a timer be set ahead.
const TIMER_AHEAD_MAX: Duration = Duration::from_secs(3653 * 24 * 60 * 60);

impl Context<'_> {
    /// Starts an emission to one of the outputs that the pipeline's config declares. As it is, it
    /// forwards the message's body and routing key; set what should differ.
    ///
    /// ```
    /// # use sluicegate_sdk::{Context, EncodeError};
    /// # fn alert(ctx: &mut Context) -> Result<(), EncodeError> {
    /// ctx.emit("alerts").routing_key("alert.critical").priority(9).json(&["too hot"])?;
    /// # Ok(()) }
    /// ```
    pub fn emit(&mut self, output: &str) -> Emission<'_> {
        Emission::new(self.decisions, self.position, output)
    }

    /// Starts an emission that forwards the message as this stage sees it: body, routing key, headers
    /// and what else its producer set, but for its id (the copy has one of its own, derived from it),
    /// its expiration, and what only hosts and brokers write. Set what should differ.
    ///
    /// ```
    /// # use sluicegate_sdk::{Context, Message};
    /// # fn route(message: &Message, ctx: &mut Context) {
    /// ctx.forward("orders", message).header("checked", true);
    /// # }
    /// ```
    pub fn forward(&mut self, output: &str, message: &Message<'_>) -> Emission<'_> {
        self.emit(output).like(message.properties())
    }

    /// Has [`Plugin::on_timer`](crate::Plugin::on_timer) called when that time has passed, with the state
    /// that this message's key has then. A key has one timer of a name: setting it again replaces it. It
    /// is kept with the state, outlives restarts, and may come late: [`Timer::late`](crate::Timer::late).
    ///
    /// A plugin without state declares [`Plugin::TIMERS`](crate::Plugin::TIMERS). A message without a key
    /// fails as `no_key`; a name of no or more than 128 bytes, and a time of more than ten years, as
    /// `bad_timer`. The least that a timer waits is 10 ms.
    ///
    /// ```
    /// # use {sluicegate_sdk::Context, std::time::Duration};
    /// # fn on_reading(ctx: &mut Context) {
    /// ctx.set_timer("silent", Duration::from_secs(15 * 60));
    /// # }
    /// ```
    pub fn set_timer(&mut self, name: &str, after: Duration) {
        self.set_timer_at(name, self.now.saturating_add(after));
    }

    /// [`Context::set_timer`] at a time, since 1970-01-01 UTC. One that has passed is due at once.
    pub fn set_timer_at(&mut self, name: &str, due: Duration) {
        let due_us = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        if due > self.now.saturating_add(TIMER_AHEAD_MAX) || due_us == u64::MAX {
            let text = format!("timer '{name}' would be due in more than ten years");
            self.refuse(Failure::reject("bad_timer", text));
            return;
        }
        self.change_timer(name, due_us.max(1));
    }

    /// Takes back a timer of this key that is set; does nothing where none of that name is.
    pub fn cancel_timer(&mut self, name: &str) {
        self.change_timer(name, u64::MAX);
    }

    fn change_timer(&mut self, name: &str, due_us: u64) {
        match self.timers {
            Timers::Allowed => {}
            Timers::NoKey => {
                let text = format!("timer '{name}' belongs to a key, and the message has none");
                return self.refuse(Failure::reject("no_key", text));
            }
            Timers::Undeclared => {
                let text = format!(
                    "timer '{name}': a plugin without state says that it sets timers, with \
                     `const TIMERS: bool = true;`"
                );
                return self.refuse(Failure::reject("bad_timer", text));
            }
        }
        if name.is_empty() || name.len() > TIMER_NAME_BYTES {
            let text = format!("a timer's name of {} bytes; it has 1 to 128", name.len());
            self.refuse(Failure::reject("bad_timer", text));
            return;
        }
        let [offset, length] = self.decisions.put(name.as_bytes());
        let word = |n: u64| u32::try_from(n & u64::from(NONE)).unwrap_or(NONE);
        let [low, high] = [word(due_us), word(due_us >> 32)];
        self.decisions.timers.push([self.position, offset, length, low, high]);
    }

    fn refuse(&mut self, failure: Failure) {
        self.refused.get_or_insert(failure);
    }

    /// Writes to the host's log, tagged there with plugin and message.
    pub fn log(&mut self, level: Level, line: impl Display) {
        (self.log)(level, self.position, &line.to_string());
    }

    /// [`Context::log`] at [`Level::Error`].
    pub fn error(&mut self, line: impl Display) {
        self.log(Level::Error, line);
    }

    /// [`Context::log`] at [`Level::Warn`].
    pub fn warn(&mut self, line: impl Display) {
        self.log(Level::Warn, line);
    }

    /// [`Context::log`] at [`Level::Info`].
    pub fn info(&mut self, line: impl Display) {
        self.log(Level::Info, line);
    }

    /// [`Context::log`] at [`Level::Debug`].
    pub fn debug(&mut self, line: impl Display) {
        self.log(Level::Debug, line);
    }
}
