//! What a plugin can do besides deciding: emit messages, write log lines.

use std::fmt::Display;

use crate::emission::Emission;
use crate::layout::Decisions;
use crate::message::Message;

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

/// The surroundings of one message: its emissions and its log lines.
pub struct Context<'c> {
    pub(crate) decisions: &'c mut Decisions,
    pub(crate) position: u32,
    pub(crate) log: &'c mut dyn FnMut(Level, u32, &str),
}

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
