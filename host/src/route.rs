//! How exchanges match: topic patterns against routing keys, header arguments against headers.
//!
//! Pure, and exactly as RabbitMQ has it, since three rooms rely on the same answer: the embedded
//! broker routes by it, pipelines choose their conditional stages by it, and topology proves by it
//! that a dead-letter exchange catches what it gets.

use crate::message::{FieldValue, Table};

/// Which of a headers binding's arguments must be met (`x-match`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersMatch {
    /// `all`, the default: every argument; those named `x-…` don't count.
    All,
    /// `any`: one argument at least; those named `x-…` don't count.
    Any,
    /// `all-with-x`: every argument but `x-match` itself.
    AllWithX,
    /// `any-with-x`: one argument at least, `x-match` itself apart.
    AnyWithX,
}

/// Whether a topic pattern takes a routing key. Words are separated by dots; `*` stands for one
/// word, `#` for any number of them, none included. An empty key has no words, so `#` takes it and
/// `*` doesn't. Allocates nothing; the time is bounded by the product of the lengths.
#[must_use]
pub fn topic_matches(pattern: &str, key: &str) -> bool {
    let (mut pattern, mut key) = (Words::of(pattern), Words::of(key));
    // Where to go on when a word fails: after the last `#`, which then takes one word more.
    let mut retry: Option<(Words<'_>, Words<'_>)> = None;
    loop {
        let (mut pattern_rest, mut key_rest) = (pattern, key);
        match (pattern_rest.next(), key_rest.next()) {
            (None, None) => return true,
            (Some("#"), _) => {
                retry = Some((pattern_rest, key));
                pattern = pattern_rest;
                continue;
            }
            (Some(wanted), Some(word)) if wanted == "*" || wanted == word => {
                (pattern, key) = (pattern_rest, key_rest);
                continue;
            }
            _ => {}
        }
        let Some((after_hash, mut taken)) = retry else { return false };
        if taken.next().is_none() {
            return false;
        }
        retry = Some((after_hash, taken));
        (pattern, key) = (after_hash, taken);
    }
}

/// Whether a headers binding with these arguments takes a message with these headers. A void
/// argument asks only that the header be there. Numbers of any width compare by value, integers
/// apart from floating point; everything else must have the same type.
#[must_use]
pub fn headers_match(arguments: &Table, headers: &Table) -> bool {
    let Some(how) = HeadersMatch::of(arguments) else { return false };
    let with_x = matches!(how, HeadersMatch::AllWithX | HeadersMatch::AnyWithX);
    let mut counted = arguments
        .iter()
        .filter(|(name, _)| if with_x { *name != "x-match" } else { !name.starts_with("x-") });
    let met = |(name, wanted): (&str, &FieldValue)| {
        headers.get(name).is_some_and(|found| *wanted == FieldValue::Void || equal(wanted, found))
    };
    match how {
        HeadersMatch::All | HeadersMatch::AllWithX => counted.all(met),
        HeadersMatch::Any | HeadersMatch::AnyWithX => counted.any(met),
    }
}

/// Equality as header matching has it: by value within integers and within floating point.
fn equal(wanted: &FieldValue, found: &FieldValue) -> bool {
    match (wanted.as_i64(), found.as_i64()) {
        (Some(wanted), Some(found)) => return wanted == found,
        (None, None) => {}
        _ => return false,
    }
    match (floating(wanted), floating(found)) {
        (Some(wanted), Some(found)) => wanted == found,
        _ => wanted == found,
    }
}

fn floating(value: &FieldValue) -> Option<f64> {
    match *value {
        FieldValue::F32(n) => Some(n.into()),
        FieldValue::F64(n) => Some(n),
        _ => None,
    }
}

/// The words that are left of a key; an empty key has none.
#[derive(Clone, Copy)]
struct Words<'a>(Option<&'a str>);

// === impl Words ===

impl<'a> Words<'a> {
    fn of(key: &'a str) -> Self {
        Self((!key.is_empty()).then_some(key))
    }

    fn next(&mut self) -> Option<&'a str> {
        let left = self.0?;
        let (word, rest) = match left.split_once('.') {
            Some((word, rest)) => (word, Some(rest)),
            None => (left, None),
        };
        self.0 = rest;
        Some(word)
    }
}

// === impl HeadersMatch ===

impl HeadersMatch {
    /// What a binding's arguments say; `None` where `x-match` has a value that no broker takes.
    #[must_use]
    pub fn of(arguments: &Table) -> Option<Self> {
        match arguments.get("x-match") {
            None => Some(Self::All),
            Some(value) => match value.as_text()? {
                "all" => Some(Self::All),
                "any" => Some(Self::Any),
                "all-with-x" => Some(Self::AllWithX),
                "any-with-x" => Some(Self::AnyWithX),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests;
