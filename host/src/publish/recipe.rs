//! From a record to a message: which templates fill what, and how the record becomes a body.

use bytes::Bytes;
use serde_json::Value as Json;

use super::RecordError;
use super::exported;
use super::record::{Content, Format, Record};
use super::template::{Scope, Template};
use crate::broker::Outgoing;
use crate::limits;
use crate::message::{FieldValue, Message, Properties};

/// How a record becomes a message.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The exchange; empty is the default exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: Template,
    /// Headers.
    pub headers: Vec<Header>,
    /// The `type` property.
    pub kind: Option<Template>,
    /// The `message_id` property.
    pub message_id: Option<Template>,
    /// The `content_type` property; `None` goes by what the body is.
    pub content_type: Option<String>,
    /// The `priority` property.
    pub priority: Option<u8>,
    /// The `expiration` property, in milliseconds.
    pub expiration_ms: Option<u64>,
    /// Whether a broker keeps it over a restart.
    pub persistent: bool,
    /// Fields computed before the rest.
    pub times: Vec<Time>,
    /// The body; `None` is the record itself.
    pub body: Option<Template>,
    /// What bodies are written in.
    pub body_kind: BodyKind,
    /// Each record is a whole message, as exports write them; what is said here goes before what it says.
    pub exported: bool,
}

/// A header and its value.
#[derive(Clone, Debug)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Template,
    /// Numbers, booleans and null keep their types; otherwise every value is text.
    pub typed: bool,
}

/// A field that holds an RFC 3339 time, computed from others.
#[derive(Clone, Debug)]
pub struct Time {
    /// Its name in templates.
    pub name: String,
    /// Where the time is.
    pub source: Template,
    /// How it is written there, in `strptime`'s words; without a zone it is UTC.
    pub format: String,
}

/// What bodies are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BodyKind {
    /// JSON.
    Json,
    /// MessagePack.
    Msgpack,
    /// Text.
    Text,
}

// === impl BodyKind ===

impl BodyKind {
    /// What records of that format become unless somebody says otherwise.
    #[must_use]
    pub const fn natural(format: Format) -> Self {
        match format {
            Format::Jsonl | Format::Csv => Self::Json,
            Format::Msgpack => Self::Msgpack,
            Format::Lines => Self::Text,
        }
    }

    /// Its MIME type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Msgpack => "application/msgpack",
            Self::Text => "text/plain",
        }
    }
}

// === impl Recipe ===

impl Recipe {
    /// Whether somebody looks into the records, read as `format`.
    #[must_use]
    pub fn needs_fields(&self, format: Format) -> bool {
        let templates = [
            Some(&self.routing_key),
            self.kind.as_ref(),
            self.message_id.as_ref(),
            self.body.as_ref(),
        ];
        templates.into_iter().flatten().any(Template::names_fields)
            || self.headers.iter().any(|header| header.value.names_fields())
            || self.times.iter().any(|time| time.source.names_fields())
            || self.body.is_none() && self.body_kind != BodyKind::natural(format)
    }

    /// The message of one copy of a record.
    ///
    /// # Errors
    /// What the record lacks, or what the broker's limits forbid; never fatal.
    pub fn message(
        &self,
        record: &Record,
        seq: u64,
        copy: u64,
        pass: u64,
    ) -> Result<Outgoing, RecordError> {
        let mut scope = Scope { record, computed: &[], seq, copy, pass };
        let computed = self.computed(&scope).map_err(|text| bad(record, text))?;
        scope.computed = &computed;
        let given = self.given(record)?;
        let mut routing_key = render("--routing-key", &self.routing_key, &scope)?;
        if routing_key.is_empty() {
            routing_key = given.routing_key;
        }
        let message_id =
            self.message_id.as_ref().map(|t| render("--message-id", t, &scope)).transpose()?;
        let kind = self.kind.as_ref().map(|t| render("--type", t, &scope)).transpose()?;
        for (option, text) in [
            ("--routing-key", Some(&routing_key)),
            ("--message-id", message_id.as_ref()),
            ("--type", kind.as_ref()),
        ] {
            if let Some(text) = text.filter(|text| text.len() > limits::SHORT_STRING_BYTES) {
                return Err(bad(
                    record,
                    format!(
                        "{option} gives {} bytes; AMQP allows {}",
                        text.len(),
                        limits::SHORT_STRING_BYTES
                    ),
                ));
            }
        }
        let mut headers = given.properties.headers;
        for header in &self.headers {
            let text = render(&format!("--header {}", header.name), &header.value, &scope)?;
            headers.set(header.name.as_str(), if header.typed { typed(text) } else { text.into() });
        }
        let body = if self.exported { given.body } else { self.body(record, &scope)? };
        publishable(record, &body)?;
        let usual = || (!self.exported).then(|| self.body_kind.content_type().to_owned());
        let content_type =
            self.content_type.clone().or(given.properties.content_type).or_else(usual);
        Ok(Outgoing {
            exchange: self.exchange.clone(),
            routing_key,
            properties: Properties {
                content_type: content_type.filter(|it| !it.is_empty()),
                headers,
                delivery_mode: Some(if self.persistent { 2 } else { 1 }),
                priority: self.priority.or(given.properties.priority),
                expiration: self.expiration_ms.map(|ms| ms.to_string()),
                message_id: message_id.or(given.properties.message_id).filter(|id| !id.is_empty()),
                kind: kind.or(given.properties.kind),
                ..given.properties
            },
            body,
        })
    }

    /// What the record itself says of its message.
    fn given(&self, record: &Record) -> Result<Message, RecordError> {
        match &record.content {
            _ if !self.exported => Ok(Message::default()),
            Content::Json(line) => {
                exported::message(line, &record.raw).map_err(|text| bad(record, text))
            }
            _ => Err(bad(record, "an exported message is a line of JSON".to_owned())),
        }
    }

    fn computed(&self, scope: &Scope<'_>) -> Result<Vec<(String, String)>, String> {
        self.times.iter().map(|time| Ok((time.name.clone(), time.read(scope)?))).collect()
    }

    fn body(&self, record: &Record, scope: &Scope<'_>) -> Result<Bytes, RecordError> {
        let body = match (&self.body, self.body_kind) {
            (Some(template), BodyKind::Msgpack) => {
                let json = render("--body", template, scope)?;
                messagepack(&json).map_err(|text| bad(record, text))?
            }
            (Some(template), _) => render("--body", template, scope)?.into_bytes(),
            (None, kind) => record_body(record, kind).map_err(|text| bad(record, text))?,
        };
        Ok(body.into())
    }
}

fn publishable(record: &Record, body: &[u8]) -> Result<(), RecordError> {
    let (bytes, most) = (body.len(), limits::PUBLISH_BYTES);
    if bytes <= most {
        return Ok(());
    }
    let text = format!("its body has {bytes} bytes; the most that can be published is {most}");
    Err(bad(record, text))
}

/// A record as a body, where no template says otherwise.
fn record_body(record: &Record, kind: BodyKind) -> Result<Vec<u8>, String> {
    let packed = |json: &Json| rmp_serde::to_vec(json).map_err(|error| error.to_string());
    Ok(match (&record.content, kind) {
        (Content::Cells(cells), BodyKind::Msgpack) => messagepack(&cells.to_json())?,
        (Content::Cells(cells), BodyKind::Json | BodyKind::Text) => cells.to_json().into_bytes(),
        (Content::Json(json), BodyKind::Msgpack) => packed(json)?,
        (Content::Packed(Some(json)), BodyKind::Json | BodyKind::Text) => {
            json.to_string().into_bytes()
        }
        (Content::Text(text), BodyKind::Json) => Json::from(text.as_str()).to_string().into_bytes(),
        (Content::Text(text), BodyKind::Msgpack) => packed(&Json::from(text.as_str()))?,
        (Content::Json(_) | Content::Packed(_) | Content::Text(_), _) => record.raw.clone(),
    })
}

/// JSON as MessagePack.
fn messagepack(json: &str) -> Result<Vec<u8>, String> {
    let value: Json = serde_json::from_str(json).map_err(|error| error.to_string())?;
    rmp_serde::to_vec(&value).map_err(|error| error.to_string())
}

/// A header's value with the type that its JSON has; what isn't a scalar of JSON is text.
fn typed(text: String) -> FieldValue {
    match serde_json::from_str(&text) {
        Ok(Json::Null) => FieldValue::Void,
        Ok(Json::Bool(value)) => value.into(),
        Ok(Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(real)) => real.into(),
            (None, None) => text.into(),
        },
        _ => text.into(),
    }
}

fn render(option: &str, template: &Template, scope: &Scope<'_>) -> Result<String, RecordError> {
    let mut out = String::new();
    template
        .render(scope, &mut out)
        .map_err(|text| bad(scope.record, format!("{option}: {text}")))?;
    Ok(out)
}

fn bad(record: &Record, text: String) -> RecordError {
    RecordError { place: record.place.clone(), text, fatal: false }
}

// === impl Time ===

impl Time {
    fn read(&self, scope: &Scope<'_>) -> Result<String, String> {
        let mut text = String::new();
        self.source
            .render(scope, &mut text)
            .map_err(|why| format!("--time {}: {why}", self.name))?;
        let read = || {
            let parsed = jiff::fmt::strtime::parse(&self.format, &text)?;
            parsed.to_timestamp().or_else(|_| {
                Ok(parsed.to_datetime()?.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp())
            })
        };
        read().map(|at: jiff::Timestamp| at.to_string()).map_err(|error: jiff::Error| {
            format!("--time {}: '{text}' isn't written as '{}': {error}", self.name, self.format)
        })
    }
}

#[cfg(test)]
mod tests;
