//! MessagePack values, one after the other, with the bytes of each.

use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Content, Input, Record, RecordError, unreadable};

/// Nesting up to which a value is read.
const DEPTH_MAX: usize = 128;

/// Reads values.
pub(super) struct Values {
    input: Input,
    decode: bool,
}

/// Hands on what it reads and keeps it.
struct Tee<'a> {
    input: &'a mut Input,
    kept: Vec<u8>,
}

// === impl Values ===

impl Values {
    pub(super) fn new(input: Input, decode: bool) -> Self {
        Self { input, decode }
    }

    pub(super) fn read(&mut self, number: u64) -> Result<Option<Record>, RecordError> {
        let place = format!("value {number}");
        self.input.since_record = 0;
        if self.input.fill_buf().map_err(|error| unreadable(&place, &error))?.is_empty() {
            return Ok(None);
        }
        let tee = Tee { input: &mut self.input, kept: Vec::new() };
        let mut decoder = rmp_serde::Deserializer::new(tee);
        decoder.set_max_depth(DEPTH_MAX);
        let content = if self.decode {
            serde_json::Value::deserialize(&mut decoder).map(Some)
        } else {
            IgnoredAny::deserialize(&mut decoder).map(|_| None)
        };
        let content = content.map_err(|error| not_messagepack(&place, &error, self.decode))?;
        let raw = decoder.into_inner().kept;
        Ok(Some(Record { number, place, raw, content: Content::Packed(content) }))
    }
}

fn not_messagepack(place: &str, error: &rmp_serde::decode::Error, decode: bool) -> RecordError {
    let why = match error {
        rmp_serde::decode::Error::InvalidMarkerRead(io)
        | rmp_serde::decode::Error::InvalidDataRead(io)
            if io.kind() == io::ErrorKind::UnexpectedEof =>
        {
            "cut off: the input ends within it".to_owned()
        }
        other if decode => format!(
            "not a MessagePack value that has fields ({other}); without templates that name fields \
             values are published as they are"
        ),
        other => format!("not MessagePack: {other}"),
    };
    // Where a value ends isn't known any more.
    RecordError { place: place.to_owned(), text: why, fatal: true }
}

// === impl Tee ===

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.kept.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}
