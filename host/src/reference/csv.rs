//! Comma-separated values: the first line names the columns.
//!
//! A column whose every value is a number is one of numbers, one whose every value is `true` or `false`
//! one of booleans; any other one is text. An empty value is null, and speaks for nothing. The key is text.

use csv::{Reader, ReaderBuilder, StringRecord};

use super::Table;

/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Empty,
    Bool,
    Integer,
    Float,
    Text,
}

/// Adds the file's rows to a table.
pub(super) fn read(bytes: &[u8], key: &str, table: &mut Table) -> Result<(), String> {
    let mut columns = Vec::new();
    let names = header(&mut reader(bytes))?;
    let Some(key_at) = names.iter().position(|name| name == key) else {
        let there: Vec<&str> = names.iter().collect();
        return Err(format!(
            "there is no column '{key}', which `key` names; the first line has: {}",
            there.join(", ")
        ));
    };
    each(bytes, |_, record| {
        columns.resize(names.len(), Kind::Empty);
        for (kind, value) in columns.iter_mut().zip(record) {
            *kind = kind.with(value);
        }
        Ok(())
    })?;
    if let Some(kind) = columns.get_mut(key_at) {
        *kind = Kind::Text;
    }
    each(bytes, |line, record| {
        let key = record.get(key_at).unwrap_or_default();
        table.add(line, key, |to| {
            pack(to, &names, &columns, record).map_err(|error| error.to_string())
        })
    })
}

fn reader(bytes: &[u8]) -> Reader<&[u8]> {
    // Spreadsheets put a mark in front that says UTF-8.
    ReaderBuilder::new().from_reader(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

fn header(reader: &mut Reader<&[u8]>) -> Result<StringRecord, String> {
    reader.headers().cloned().map_err(|error| said(&error))
}

fn each(
    bytes: &[u8],
    mut row: impl FnMut(u64, &StringRecord) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = reader(bytes);
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => row(record.position().map_or(0, csv::Position::line), &record)?,
            Ok(false) => return Ok(()),
            Err(error) => return Err(said(&error)),
        }
    }
}

fn said(error: &csv::Error) -> String {
    format!("this isn't CSV as it should be: {error}")
}

fn pack(
    to: &mut Vec<u8>,
    names: &StringRecord,
    columns: &[Kind],
    record: &StringRecord,
) -> Result<(), rmp_serde::encode::Error> {
    use serde::Serializer as _;
    use serde::ser::SerializeMap as _;
    let mut to = rmp_serde::Serializer::new(to);
    let mut map = to.serialize_map(Some(names.len()))?;
    for ((name, kind), value) in names.iter().zip(columns).zip(record) {
        match (value, kind) {
            ("", _) => map.serialize_entry(name, &())?,
            (value, Kind::Bool) => map.serialize_entry(name, &(value == "true"))?,
            (value, Kind::Integer) => map.serialize_entry(name, &value.parse::<i64>().ok())?,
            (value, Kind::Float) => map.serialize_entry(name, &value.parse::<f64>().ok())?,
            (value, Kind::Text | Kind::Empty) => map.serialize_entry(name, value)?,
        }
    }
    map.end()
}

impl Kind {
    /// What a column is whose next value is this.
    fn with(self, value: &str) -> Self {
        let kind = match value {
            "" => return self,
            "true" | "false" => Self::Bool,
            _ if is_integer(value) => Self::Integer,
            _ if is_float(value) => Self::Float,
            _ => Self::Text,
        };
        match (self, kind) {
            (Self::Empty, kind) => kind,
            (Self::Integer, Self::Float) | (Self::Float, Self::Integer) => Self::Float,
            (before, kind) if before == kind => kind,
            _ => Self::Text,
        }
    }
}

/// A number as people write one; `007` is none, for its zeros mean something.
fn is_integer(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let padded = digits.len() > 1 && digits.starts_with('0');
    !padded && digits.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<i64>().is_ok()
}

fn is_float(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let padded =
        digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let known =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let starts = digits.starts_with(|first: char| first.is_ascii_digit());
    starts && !padded && digits.bytes().all(known) && value.parse().is_ok_and(f64::is_finite)
}
