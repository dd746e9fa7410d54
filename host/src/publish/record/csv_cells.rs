//! CSV: a header row names the fields, each row is a record.

use std::io::BufRead;
use std::sync::Arc;

use super::{Content, Input, Record, RecordError, unreadable};
use crate::publish::template::{Value, escape_json};

/// Digits up to which a cell counts as a number: beyond them a double loses some, and what is that
/// long is rather somebody's identifier.
const NUMBER_DIGITS_MAX: usize = 15;

/// What may stand between two cells, where nobody says.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// A row of CSV under its header.
#[derive(Clone, Debug)]
pub struct Cells {
    header: Arc<csv::StringRecord>,
    row: csv::StringRecord,
}

/// Reads rows.
pub(super) struct Rows {
    reader: csv::Reader<Input>,
    header: Arc<csv::StringRecord>,
}

// === impl Rows ===

impl Rows {
    pub(super) fn new(mut input: Input, delimiter: Option<u8>) -> Result<Self, RecordError> {
        let delimiter = match delimiter {
            Some(delimiter) => delimiter,
            None => guess_delimiter(input.fill_buf().map_err(|e| unreadable("line 1", &e))?),
        };
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(input);
        let header = reader.headers().map_err(|error| bad_row("line 1", &error))?.clone();
        let mut names: Vec<&str> = header.iter().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RecordError {
                place: "line 1".to_owned(),
                text: format!("the header row names '{}' twice; rename one column", twice[0]),
                fatal: true,
            });
        }
        Ok(Self { reader, header: Arc::new(header) })
    }

    pub(super) fn read(&mut self) -> Result<Option<Record>, RecordError> {
        self.reader.get_mut().since_record = 0;
        let mut row = csv::StringRecord::new();
        match self.reader.read_record(&mut row) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let number = row.position().map_or(0, csv::Position::line);
                let cells = Cells { header: Arc::clone(&self.header), row };
                Ok(Some(Record {
                    number,
                    place: format!("line {number}"),
                    raw: Vec::new(),
                    content: Content::Cells(cells),
                }))
            }
            Err(error) => {
                let line = error.position().unwrap_or(self.reader.position()).line();
                Err(bad_row(&format!("line {line}"), &error))
            }
        }
    }
}

fn bad_row(place: &str, error: &csv::Error) -> RecordError {
    let (text, fatal) = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => (
            format!(
                "{len} cells under a header of {expected_len}; is a cell unquoted, or --delimiter \
                 wrong? (--on-error skip leaves such rows out)"
            ),
            false,
        ),
        csv::ErrorKind::Utf8 { err, .. } => {
            (format!("cell {} isn't UTF-8; convert the file", err.field() + 1), false)
        }
        _ => (format!("can't be read: {error}"), true),
    };
    RecordError { place: place.to_owned(), text, fatal }
}

/// The delimiter that occurs most in the first line.
fn guess_delimiter(start: &[u8]) -> u8 {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or(start);
    let count = |delimiter: &u8| line.iter().filter(|byte| *byte == delimiter).count();
    // Of equals the last wins, so that the comma stands last.
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

// === impl Cells ===

impl Cells {
    pub(super) fn get(&self, name: &str) -> Option<Value<'_>> {
        let at = self.header.iter().position(|header| header == name)?;
        self.row.get(at).map(cell_value)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.header.iter()
    }

    /// The row as a JSON object, its cells in order.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (name, cell) in self.header.iter().zip(&self.row) {
            if out.len() > 1 {
                out.push(',');
            }
            out.push('"');
            escape_json(name, &mut out);
            out.push_str("\":");
            match cell_value(cell) {
                Value::Json(json) => out.push_str(&json),
                Value::Text(text) => {
                    out.push('"');
                    escape_json(&text, &mut out);
                    out.push('"');
                }
            }
        }
        out.push('}');
        out
    }
}

/// A cell as JSON has it: a plain decimal number is one, nothing is `null`, the rest is text. What
/// could be a name (`007`, `1e5`, more digits than a double holds) stays text.
fn cell_value(cell: &str) -> Value<'_> {
    if cell.is_empty() {
        Value::Json("null".into())
    } else if is_number(cell) {
        Value::Json(cell.into())
    } else {
        Value::Text(cell.into())
    }
}

fn is_number(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = cell.strip_prefix('-').unwrap_or(cell);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && whole.len() + fraction.map_or(0, str::len) <= NUMBER_DIGITS_MAX
}
