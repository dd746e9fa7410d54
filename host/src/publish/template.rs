//! Templates: text with `{field}` and `{counter}` in it.
//!
//! A name in braces is a counter (`seq`, `line`, `copy`, `pass`, `uuid`, `now`) or else a field of the
//! record; `{.seq}` is the field even so, `{a.b}` looks into an object, `{copy:03}` pads with zeros,
//! `{{` is a brace. A template for JSON knows where it stands: inside a string a value is escaped,
//! outside it is a value of JSON, so that numbers stay numbers. There a brace opens a name only
//! where it can't open an object.

use std::borrow::Cow;

use super::record::Record;
use crate::limits;

/// A template, parsed.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
}

/// What a template's names are looked up in.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The record.
    pub record: &'a Record,
    /// Fields computed from the record; they hide its own.
    pub computed: &'a [(String, String)],
    /// The message's number in this run, from 1.
    pub seq: u64,
    /// Which copy of the record this is, from 1.
    pub copy: u64,
    /// Which pass over the input this is, from 1.
    pub pass: u64,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Anything else, as JSON writes it: `12.5`, `null`, `[1,2]`.
    Json(Cow<'a, str>),
}

#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Name { name: Name, width: usize, place: Place },
}

#[derive(Clone, Debug)]
enum Name {
    Seq,
    Line,
    Copy,
    Pass,
    Uuid,
    Now,
    Field(String),
}

/// Where in the result a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Text,
    JsonString,
    JsonValue,
}

// === impl Template ===

impl Template {
    /// Parses a template whose result is text.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn text(source: &str) -> Result<Self, String> {
        Self::parse(source, false)
    }

    /// Parses a template whose result is JSON.
    ///
    /// # Errors
    /// What is wrong with it, in words; also where it can't become valid JSON.
    pub fn json(source: &str) -> Result<Self, String> {
        let template = Self::parse(source, true)?;
        let mut trial = String::new();
        for part in &template.parts {
            match part {
                Part::Literal(text) => trial.push_str(text),
                Part::Name { place: Place::JsonValue, .. } => trial.push('0'),
                Part::Name { .. } => {}
            }
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(&trial) {
            Ok(_) => Ok(template),
            Err(error) => Err(format!(
                "this can't become JSON: {error}, read as {trial}; a name in braces stands for a \
                 whole value outside quotes and for text within them"
            )),
        }
    }

    /// Whether a field of the record is named.
    #[must_use]
    pub fn names_fields(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Name { name: Name::Field(_), .. }))
    }

    /// Writes the result to the end of `out`.
    ///
    /// # Errors
    /// Which name the record hasn't, and which it has.
    pub fn render(&self, scope: &Scope<'_>, out: &mut String) -> Result<(), String> {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Name { name, width, place } => {
                    write_value(&scope.value(name)?, *width, *place, out);
                }
            }
        }
        Ok(())
    }

    fn parse(source: &str, json: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let (mut in_string, mut rest) = (false, source);
        while let Some(c) = rest.chars().next() {
            if c == '{' && rest[1..].starts_with('{') && (in_string || !json) {
                literal.push('{');
                rest = &rest[2..];
            } else if c == '{' && opens_name(&rest[1..], json && !in_string) {
                let place = match (json, in_string) {
                    (false, _) => Place::Text,
                    (true, true) => Place::JsonString,
                    (true, false) => Place::JsonValue,
                };
                let end = rest.find('}').ok_or_else(|| {
                    format!("'{rest}' has no closing brace; write {{{{ for a brace of its own")
                })?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(name_part(&rest[1..end], place)?);
                rest = &rest[end + 1..];
            } else {
                if json && in_string && c == '\\' {
                    let escaped: String = rest.chars().take(2).collect();
                    literal.push_str(&escaped);
                    rest = &rest[escaped.len()..];
                    continue;
                }
                in_string ^= json && c == '"';
                literal.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }
}

/// Whether a brace before `rest` opens a name. Outside a string of JSON it may open an object: its
/// first key, or its end, follows.
fn opens_name(rest: &str, json_value: bool) -> bool {
    !json_value || rest.chars().next().is_some_and(|c| !c.is_whitespace() && c != '"' && c != '}')
}

fn name_part(inner: &str, place: Place) -> Result<Part, String> {
    let (name, width) = match inner.rsplit_once(":0") {
        Some((name, width)) if !width.is_empty() && width.bytes().all(|b| b.is_ascii_digit()) => {
            let width = width.parse().ok().filter(|w| *w <= limits::PUBLISH_PAD_WIDTH);
            (
                name,
                width.ok_or_else(|| {
                    format!("{{{inner}}}: pad to {} at most", limits::PUBLISH_PAD_WIDTH)
                })?,
            )
        }
        _ => (inner, 0),
    };
    if width > 0 && place == Place::JsonValue {
        return Err(format!(
            "{{{inner}}}: a number padded with zeros isn't JSON; put it into quotes"
        ));
    }
    let name = match name {
        "" => return Err("'{}' names nothing; write {{ for a brace of its own".to_owned()),
        "seq" => Name::Seq,
        "line" => Name::Line,
        "copy" => Name::Copy,
        "pass" => Name::Pass,
        "uuid" => Name::Uuid,
        "now" => Name::Now,
        field => Name::Field(field.strip_prefix('.').unwrap_or(field).to_owned()),
    };
    Ok(Part::Name { name, width, place })
}

fn write_value(value: &Value<'_>, width: usize, place: Place, out: &mut String) {
    let (text, is_text) = match value {
        Value::Text(text) => (text, true),
        Value::Json(json) => (json, false),
    };
    let pad = width.saturating_sub(text.chars().count());
    out.extend(std::iter::repeat_n('0', pad));
    match place {
        Place::Text => out.push_str(text),
        Place::JsonValue if !is_text => out.push_str(text),
        Place::JsonValue => {
            out.push('"');
            escape_json(text, out);
            out.push('"');
        }
        Place::JsonString => escape_json(text, out),
    }
}

/// Writes text as the inside of a JSON string.
pub(super) fn escape_json(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
}

// === impl Scope ===

impl Scope<'_> {
    fn value(&self, name: &Name) -> Result<Value<'_>, String> {
        let number = |n: u64| Value::Json(n.to_string().into());
        Ok(match name {
            Name::Seq => number(self.seq),
            Name::Line => number(self.record.number),
            Name::Copy => number(self.copy),
            Name::Pass => number(self.pass),
            Name::Uuid => Value::Text(uuid().into()),
            Name::Now => Value::Text(jiff::Timestamp::now().to_string().into()),
            Name::Field(field) => {
                let computed = self.computed.iter().find(|(name, _)| name == field);
                match computed {
                    Some((_, text)) => Value::Text(text.as_str().into()),
                    None => self.record.field(field).ok_or_else(|| self.unknown(field))?,
                }
            }
        })
    }

    fn unknown(&self, field: &str) -> String {
        let mut names: Vec<&str> = self.computed.iter().map(|(name, _)| name.as_str()).collect();
        names.extend(self.record.names());
        let fields = match names.as_slice() {
            [] => "this record has no fields".to_owned(),
            names => format!("this record has: {}", names.join(", ")),
        };
        format!("no field '{field}'; {fields}; counters are: seq, line, copy, pass, uuid, now")
    }
}

/// A random UUID, version 4.
fn uuid() -> String {
    let bits = (fastrand::u128(..) & !(0xf000 << 64) & !(0xc << 60)) | (0x4000 << 64) | (0x8 << 60);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests;
