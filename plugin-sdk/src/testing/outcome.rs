//! What a plugin did with a message, read back from its decisions.

use std::time::Duration;

use super::Input;
use crate::context::Level;
use crate::layout::{Decisions, NONE};
use crate::properties::{Properties, flag};
use crate::value::{Fields, Value};

/// What became of a message.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it emitted.
    pub emissions: Vec<Emitted>,
    /// What was logged about it.
    pub log: Vec<(Level, String)>,
    verdict: u32,
    code: String,
    text: String,
    after: Option<Duration>,
    next: Emitted,
}

/// A message as an output, or the next stage, gets it.
#[derive(Clone, Debug)]
pub struct Emitted {
    /// The output's name; empty for the next stage.
    pub output: String,
    /// The routing key, inherited where the plugin set none.
    pub routing_key: String,
    /// The body, inherited where the plugin set none.
    pub body: Vec<u8>,
    content_type: Option<String>,
    properties: Vec<u8>,
}

// === impl Outcome ===

impl Outcome {
    pub(super) fn read(decisions: &Decisions, position: usize, input: &Input) -> Self {
        let [verdict, which] = decisions.verdicts[position];
        let reason = (verdict >= 3).then(|| decisions.reasons[which as usize].clone());
        let next = match verdict {
            1 => Some(decisions.replacements[which as usize]),
            _ => None,
        };
        let emissions = decisions
            .emissions
            .iter()
            .filter(|emission| emission[0] as usize == position)
            .map(|emission| Emitted::read(decisions, emission, input));
        let reason = reason.as_ref();
        Self {
            emissions: emissions.collect(),
            log: Vec::new(),
            verdict,
            code: reason.map(|reason| reason.code.clone()).unwrap_or_default(),
            text: reason.map(|reason| reason.text.clone()).unwrap_or_default(),
            after: reason.and_then(|reason| reason.after_ms).map(Duration::from_millis),
            next: Emitted::next(decisions, next, input),
        }
    }

    /// Whether it goes on to the next stage.
    #[must_use]
    pub fn is_next(&self) -> bool {
        self.verdict < 2
    }

    /// Whether it was finished here.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.verdict == 2
    }

    /// The reason for which it was dropped.
    #[must_use]
    pub fn dropped(&self) -> Option<&str> {
        (self.verdict == 3).then_some(self.text.as_str())
    }

    /// The code with which a retry was asked for.
    #[must_use]
    pub fn retried(&self) -> Option<&str> {
        (self.verdict == 4).then_some(self.code.as_str())
    }

    /// The code with which it was rejected.
    #[must_use]
    pub fn rejected(&self) -> Option<&str> {
        (self.verdict == 5).then_some(self.code.as_str())
    }

    /// The text of a retry, a rejection or a drop.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The delay wished for before a retry.
    #[must_use]
    pub fn after(&self) -> Option<Duration> {
        self.after
    }

    /// The message as the next stage sees it.
    #[must_use]
    pub fn next(&self) -> &Emitted {
        &self.next
    }
}

// === impl Emitted ===

impl Emitted {
    fn read(decisions: &Decisions, emission: &[u32; 9], input: &Input) -> Self {
        let [_, output, output_length, key, key_length, properties, length, body, body_length] =
            *emission;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text is UTF-8");
        let properties = span(decisions, properties, length).unwrap_or(vec![0, 0]);
        let list = Properties::new(&properties);
        Self {
            output: text(span(decisions, output, output_length).unwrap_or_default()),
            routing_key: span(decisions, key, key_length)
                .map_or_else(|| input.routing_key.clone(), text),
            body: span(decisions, body, body_length).unwrap_or_else(|| input.body.clone()),
            content_type: list.text(flag::CONTENT_TYPE).map(str::to_owned),
            properties,
        }
    }

    fn next(decisions: &Decisions, replacement: Option<[u32; 6]>, input: &Input) -> Self {
        let [body, body_length, content_type, type_length, headers, length] =
            replacement.unwrap_or([NONE, 0, NONE, 0, NONE, 0]);
        let mut properties = Vec::new();
        let mut draft = input.properties.clone();
        if let Some(table) = span(decisions, headers, length) {
            draft.headers = crate::Table::default();
            for (name, value) in Fields::new(&table[4..]).iter() {
                draft.headers = draft.headers.field(name, value);
            }
        }
        if let Some(content_type) = span(decisions, content_type, type_length) {
            let content_type = String::from_utf8(content_type).expect("a content type is UTF-8");
            draft.set(flag::CONTENT_TYPE, content_type);
        }
        draft.write(&mut properties);
        let list = Properties::new(&properties);
        Self {
            output: String::new(),
            routing_key: input.routing_key.clone(),
            body: span(decisions, body, body_length).unwrap_or_else(|| input.body.clone()),
            content_type: list.text(flag::CONTENT_TYPE).map(str::to_owned),
            properties,
        }
    }

    /// The body's content type.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Value<'_>> {
        self.properties().headers().get(name)
    }

    /// A header that is text.
    #[must_use]
    pub fn text_header(&self, name: &str) -> Option<&str> {
        self.properties().headers().text(name)
    }

    /// The priority.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        self.properties().octet(flag::PRIORITY)
    }

    /// The identifier.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.properties().text(flag::MESSAGE_ID)
    }

    /// The kind of message.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.properties().text(flag::KIND)
    }

    /// The body as JSON, to be compared and indexed.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body that is JSON")
    }

    /// The body as a value in MessagePack.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn msgpack<T: serde::de::DeserializeOwned>(&self) -> T {
        rmp_serde::from_slice(&self.body).expect("a body that is MessagePack")
    }

    fn properties(&self) -> Properties<'_> {
        Properties::new(&self.properties)
    }
}

fn span(decisions: &Decisions, offset: u32, length: u32) -> Option<Vec<u8>> {
    (offset != NONE).then(|| decisions.arena[offset as usize..][..length as usize].to_vec())
}
