//! What a plugin decides about a message.

use std::time::Duration;

use serde::Serialize;

use crate::decode::{self, DecodeError, EncodeError};
use crate::table::Table;
use crate::value::Value;

/// What `process` answers: what becomes of the message, or why it failed.
pub type Decision = Result<Verdict, Failure>;

/// What becomes of a message that didn't fail.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// On to the next stage; after the last one the message is done.
    Next(Change),
    /// Finished here: acknowledged, no later stage sees it.
    Done,
    /// Finished on purpose without a result, for the reason given; counted apart from `Done`.
    Drop(String),
}

/// What later stages see differently. They see what isn't changed as it was.
///
/// ```
/// use sluicegate_sdk::{Change, Verdict};
///
/// let verdict = Verdict::next_with(Change::new().header("severity", "critical"));
/// # assert!(matches!(verdict, Verdict::Next(_)));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change(Option<Box<Changed>>);

/// What is changed. Most messages go on as they are, and cost nothing then.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changed {
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) content_type: Option<String>,
    pub(crate) headers: Table,
    pub(crate) removed: Vec<String>,
}

/// Why a message failed. It leaves no trace: its emissions are dropped, its key's state is what it
/// was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub(crate) retry: bool,
    pub(crate) code: String,
    pub(crate) text: String,
    pub(crate) after: Option<Duration>,
}

// === impl Verdict ===

impl Verdict {
    /// On to the next stage as it is.
    #[must_use]
    pub fn next() -> Self {
        Self::Next(Change::new())
    }

    /// On to the next stage, changed.
    #[must_use]
    pub fn next_with(change: Change) -> Self {
        Self::Next(change)
    }

    /// Finished: no later stage sees it.
    #[must_use]
    pub fn done() -> Self {
        Self::Done
    }

    /// Finished on purpose without a result.
    #[must_use]
    pub fn drop(reason: impl Into<String>) -> Self {
        Self::Drop(reason.into())
    }
}

// === impl Change ===

impl Change {
    /// No change yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is changed; `None` where nothing is.
    pub(crate) fn get(&self) -> Option<&Changed> {
        self.0.as_deref().filter(|changed| **changed != Changed::default())
    }

    fn changed(&mut self) -> &mut Changed {
        self.0.get_or_insert_default()
    }

    /// Sets a header; the others stay.
    #[must_use]
    pub fn header<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        let changed = self.changed();
        changed.headers = std::mem::take(&mut changed.headers).field(name, value);
        self
    }

    /// Takes a header away.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.changed().removed.push(name.into());
        self
    }

    /// Replaces the body; the content type stays unless it is set too.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.changed().body = Some(body.into());
        self
    }

    /// Replaces the content type.
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.changed().content_type = Some(content_type.into());
        self
    }

    /// Replaces body and content type with a value as JSON.
    ///
    /// # Errors
    /// The value has no form in JSON.
    pub fn json(self, value: &impl Serialize) -> Result<Self, EncodeError> {
        Ok(self.body(decode::json(value)?).content_type(decode::JSON))
    }

    /// Replaces body and content type with a value as MessagePack.
    ///
    /// # Errors
    /// The value has no form in MessagePack.
    pub fn msgpack(self, value: &impl Serialize) -> Result<Self, EncodeError> {
        Ok(self.body(decode::msgpack(value)?).content_type(decode::MSGPACK))
    }
}

// === impl Failure ===

impl Failure {
    /// This message will never succeed: it goes to its queue's dead-letter exchange.
    ///
    /// `code` is for metrics and grouping, so keep it to a few values (`negative_energy`); `text`
    /// is for people.
    #[must_use]
    pub fn reject(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { retry: false, code: code.into(), text: text.into(), after: None }
    }

    /// This message may succeed later: it is tried again from the first stage, as often as the
    /// pipeline allows. `code` and `text` as with [`Failure::reject`].
    #[must_use]
    pub fn retry(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { retry: true, code: code.into(), text: text.into(), after: None }
    }

    /// The delay wished for before a retry; the host rounds it up to the next one that it has.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::reject(error.code(), error.to_string())
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Self::reject("encode", error.to_string())
    }
}
