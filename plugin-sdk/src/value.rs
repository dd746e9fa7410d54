//! Values of AMQP field tables: every type, read in place, written as they are.

use std::str;

/// A header's value. Text and nested values borrow from the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value / 10^scale`
    Decimal {
        /// Digits after the decimal point.
        scale: u8,
        /// The unscaled value.
        value: u32,
    },
    /// `S`: a long string; usually UTF-8, but AMQP doesn't promise it. See [`Value::as_str`].
    Text(&'a [u8]),
    /// `x`
    Bytes(&'a [u8]),
    /// `A`
    Array(Array<'a>),
    /// `T`: seconds since 1970-01-01 UTC.
    Timestamp(u64),
    /// `F`
    Table(Fields<'a>),
    /// `V`
    Void,
}

/// A field table, decoded field by field as it is iterated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fields<'a>(&'a [u8]);

/// An array of values, decoded one by one as it is iterated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Array<'a>(&'a [u8]);

// === impl Value ===

impl<'a> Value<'a> {
    /// The text, where this is a long string of valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Text(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number, where this is an integer of any width, or a timestamp that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::I8(n) => Some(n.into()),
            Self::U8(n) => Some(n.into()),
            Self::I16(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::I32(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::I64(n) => Some(n),
            Self::Timestamp(n) => i64::try_from(n).ok(),
            _ => None,
        }
    }

    /// The number, where this is one of any kind. An integer past 2^53 loses its last digits.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(n) => Some(n.into()),
            Self::F64(n) => Some(n),
            Self::Decimal { scale, value } => Some(f64::from(value) / 10f64.powi(scale.into())),
            Self::Timestamp(_) => None,
            _ => self.as_i64().map(|n| n as f64),
        }
    }

    /// Whether it is, where this is a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match *self {
            Self::Bool(value) => to.extend([b't', value.into()]),
            Self::I8(n) => tagged(to, b'b', &n.to_be_bytes()),
            Self::U8(n) => tagged(to, b'B', &n.to_be_bytes()),
            Self::I16(n) => tagged(to, b's', &n.to_be_bytes()),
            Self::U16(n) => tagged(to, b'u', &n.to_be_bytes()),
            Self::I32(n) => tagged(to, b'I', &n.to_be_bytes()),
            Self::U32(n) => tagged(to, b'i', &n.to_be_bytes()),
            Self::I64(n) => tagged(to, b'l', &n.to_be_bytes()),
            Self::F32(n) => tagged(to, b'f', &n.to_be_bytes()),
            Self::F64(n) => tagged(to, b'd', &n.to_be_bytes()),
            Self::Decimal { scale, value } => {
                tagged(to, b'D', &[scale]);
                to.extend(value.to_be_bytes());
            }
            Self::Timestamp(n) => tagged(to, b'T', &n.to_be_bytes()),
            Self::Void => to.push(b'V'),
            Self::Text(bytes) => long(to, b'S', bytes),
            Self::Bytes(bytes) => long(to, b'x', bytes),
            Self::Array(Array(bytes)) => long(to, b'A', bytes),
            Self::Table(Fields(bytes)) => long(to, b'F', bytes),
        }
    }
}

fn tagged(to: &mut Vec<u8>, tag: u8, value: &[u8]) {
    to.push(tag);
    to.extend(value);
}

fn long(to: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    to.push(tag);
    to.extend(length(bytes).to_be_bytes());
    to.extend(bytes);
}

/// No list of 4 GiB fits into a plugin's memory.
pub(crate) fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {
        $(impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

from!(bool => Bool, i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64,
    f32 => F32, f64 => F64);

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.as_bytes())
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(crate) fn new(fields: &'a [u8]) -> Self {
        Self(fields)
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The value of that field, where it is UTF-8 text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let mut rest = Reader(self.0);
        std::iter::from_fn(move || rest.field())
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Appends a field to encoded fields. A name past 255 bytes is cut to fit an AMQP short string.
pub(crate) fn write_field(to: &mut Vec<u8>, name: &str, value: &Value<'_>) {
    write_short(to, name);
    value.write(to);
}

pub(crate) fn write_short(to: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(255)];
    to.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    to.extend(text.as_bytes());
}

// === impl Array ===

impl<'a> Array<'a> {
    pub(crate) fn new(values: &'a [u8]) -> Self {
        Self(values)
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut rest = Reader(self.0);
        std::iter::from_fn(move || rest.value())
    }
}

// === impl Reader ===

/// Reads AMQP's encoding from the front; `None` where it is cut short.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn short(&mut self) -> Option<&'a [u8]> {
        let [length] = self.array()?;
        self.take(length.into())
    }

    pub(crate) fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(length as usize)
    }

    fn field(&mut self) -> Option<(&'a str, Value<'a>)> {
        let name = str::from_utf8(self.short()?).ok()?;
        Some((name, self.value()?))
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let [tag] = self.array()?;
        Some(match tag {
            b't' => Value::Bool(self.array::<1>()? != [0]),
            b'b' => Value::I8(i8::from_be_bytes(self.array()?)),
            b'B' => Value::U8(u8::from_be_bytes(self.array()?)),
            b's' => Value::I16(i16::from_be_bytes(self.array()?)),
            b'u' => Value::U16(u16::from_be_bytes(self.array()?)),
            b'I' => Value::I32(i32::from_be_bytes(self.array()?)),
            b'i' => Value::U32(u32::from_be_bytes(self.array()?)),
            b'l' => Value::I64(i64::from_be_bytes(self.array()?)),
            b'f' => Value::F32(f32::from_be_bytes(self.array()?)),
            b'd' => Value::F64(f64::from_be_bytes(self.array()?)),
            b'D' => {
                let [scale] = self.array()?;
                Value::Decimal { scale, value: u32::from_be_bytes(self.array()?) }
            }
            b'T' => Value::Timestamp(u64::from_be_bytes(self.array()?)),
            b'S' => Value::Text(self.long()?),
            b'x' => Value::Bytes(self.long()?),
            b'A' => Value::Array(Array(self.long()?)),
            b'F' => Value::Table(Fields(self.long()?)),
            b'V' => Value::Void,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
