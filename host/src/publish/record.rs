//! Records of an input: JSON lines, CSV, MessagePack, or plain lines, read one at a time.
//!
//! A record keeps its bytes as they came beside what was decoded, so that what isn't changed is
//! published as it is. No record is larger than what may be published.

mod csv_cells;
mod messagepack;

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value as Json;

pub use self::csv_cells::Cells;
use self::messagepack::Values;
use super::RecordError;
use super::template::Value;
use crate::limits;

/// How an input is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON value a line.
    Jsonl,
    /// Comma-separated values under a header row.
    Csv,
    /// MessagePack values, one after the other.
    Msgpack,
    /// Plain lines; the field `text` is the line.
    Lines,
}

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its line, or its number where there are no lines; from 1.
    pub number: u64,
    /// What it is called in errors: `line 12`.
    pub place: String,
    /// The bytes as they came, without the line's end. Empty for CSV.
    pub raw: Vec<u8>,
    /// What they say.
    pub content: Content,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Content {
    /// A value of JSON.
    Json(Json),
    /// A value of MessagePack, decoded where somebody looks into it.
    Packed(Option<Json>),
    /// A row of CSV.
    Cells(Cells),
    /// A line of text.
    Text(String),
}

/// Reads an input's records.
pub struct Records {
    source: Source,
    number: u64,
    over: bool,
}

enum Source {
    Lines { input: Input, json: bool },
    Csv(Box<csv_cells::Rows>),
    MessagePack(Values),
}

/// The input's bytes, counted, and bounded per record.
struct Input {
    inner: BufReader<Box<dyn Read + Send>>,
    total: Arc<AtomicU64>,
    since_record: usize,
}

// === impl Records ===

impl Records {
    /// Reads records from an input.
    ///
    /// `delimiter` is for CSV; `None` takes what the header row suggests. MessagePack is decoded
    /// only where `fields` says that somebody looks into it. `bytes_read` is counted up.
    ///
    /// # Errors
    /// When a CSV's header row can't be read.
    pub fn new(
        input: Box<dyn Read + Send>,
        format: Format,
        delimiter: Option<u8>,
        fields: bool,
        bytes_read: Arc<AtomicU64>,
    ) -> Result<Self, RecordError> {
        let mut input = Input { inner: BufReader::new(input), total: bytes_read, since_record: 0 };
        let first = input.fill_buf().map_err(|error| unreadable("the input", &error))?;
        if first.starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
        }
        let source = match format {
            Format::Jsonl => Source::Lines { input, json: true },
            Format::Lines => Source::Lines { input, json: false },
            Format::Csv => Source::Csv(Box::new(csv_cells::Rows::new(input, delimiter)?)),
            Format::Msgpack => Source::MessagePack(Values::new(input, fields)),
        };
        Ok(Self { source, number: 0, over: false })
    }

    fn read(&mut self) -> Result<Option<Record>, RecordError> {
        match &mut self.source {
            Source::Lines { input, json } => read_line(input, *json, &mut self.number),
            Source::Csv(rows) => rows.read(),
            Source::MessagePack(values) => {
                self.number += 1;
                values.read(self.number)
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let record = self.read().transpose();
        self.over = match &record {
            None => true,
            Some(Err(error)) => error.fatal,
            Some(Ok(_)) => false,
        };
        record
    }
}

/// The next line that isn't blank.
fn read_line(
    input: &mut Input,
    json: bool,
    number: &mut u64,
) -> Result<Option<Record>, RecordError> {
    loop {
        let mut raw = Vec::new();
        *number += 1;
        let place = format!("line {number}");
        input.since_record = 0;
        input.read_until(b'\n', &mut raw).map_err(|error| unreadable(&place, &error))?;
        if raw.is_empty() {
            return Ok(None);
        }
        while matches!(raw.last(), Some(b'\n' | b'\r')) {
            raw.pop();
        }
        if json && raw.trim_ascii().is_empty() {
            continue;
        }
        let content = if json {
            Content::Json(serde_json::from_slice(&raw).map_err(|error| not_json(&place, &error))?)
        } else {
            Content::Text(String::from_utf8_lossy(&raw).into_owned())
        };
        return Ok(Some(Record { number: *number, place, raw, content }));
    }
}

fn not_json(place: &str, error: &serde_json::Error) -> RecordError {
    // serde_json counts lines within what it was given: always the first here.
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    RecordError {
        place: place.to_owned(),
        text: format!(
            "not JSON at column {}: {text}; each line must hold one whole value (--on-error skip \
             leaves such lines out, --format lines publishes them as they are)",
            error.column()
        ),
        fatal: false,
    }
}

fn unreadable(place: &str, error: &io::Error) -> RecordError {
    RecordError { place: place.to_owned(), text: format!("can't be read: {error}"), fatal: true }
}

// === impl Input ===

impl Input {
    fn count(&mut self, bytes: usize) {
        self.total.fetch_add(bytes as u64, Ordering::Relaxed);
        self.since_record += bytes;
    }

    fn check(&self) -> io::Result<()> {
        if self.since_record > limits::PUBLISH_BYTES {
            return Err(io::Error::other(format!(
                "longer than {} MiB, which is the most that can be published; is the format right?",
                limits::PUBLISH_BYTES / limits::MIB
            )));
        }
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let read = self.inner.read(buffer)?;
        self.count(read);
        Ok(read)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.count(amount);
    }
}

// === impl Record ===

impl Record {
    /// The value of a field: by its whole name, or else by a path of names with dots between them.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Value<'_>> {
        match &self.content {
            Content::Json(json) | Content::Packed(Some(json)) => {
                json_field(json, name).map(json_value)
            }
            Content::Cells(cells) => cells.get(name),
            Content::Text(text) => (name == "text").then(|| Value::Text(text.as_str().into())),
            Content::Packed(None) => None,
        }
    }

    /// The names of its fields, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match &self.content {
            Content::Json(Json::Object(fields)) | Content::Packed(Some(Json::Object(fields))) => {
                fields.keys().map(String::as_str).collect()
            }
            Content::Cells(cells) => cells.names().collect(),
            Content::Text(_) => vec!["text"],
            Content::Json(_) | Content::Packed(_) => Vec::new(),
        }
    }
}

fn json_field<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    if let Some(value) = json.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    json_field(json.get(first)?, rest)
}

fn json_value(json: &Json) -> Value<'_> {
    match json {
        Json::String(text) => Value::Text(Cow::Borrowed(text)),
        other => Value::Json(Cow::Owned(other.to_string())),
    }
}

#[cfg(test)]
mod tests;
