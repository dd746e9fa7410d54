//! AMQP field tables, encoded and decoded as `LAYOUT.md` has them.
//!
//! Decoding is total: what it reads was written by a plugin. What a decoded table takes in the host's
//! memory is charged to a [`Budget`], since two bytes of a table can become eighty.

use bytes::Bytes;

use super::wire::{Broken, Budget, Reader};
use crate::limits::{SHORT_STRING_BYTES, TABLE_DEPTH};
use crate::message::{FieldValue, Table};

/// Appends a table: its length, then its fields.
pub(super) fn encode(table: &Table, to: &mut Vec<u8>) -> Result<(), Broken> {
    encode_at(table, to, 1)
}

/// Reads a table that is the whole of `bytes`.
pub(super) fn decode(bytes: &Bytes, budget: &mut Budget) -> Result<Table, Broken> {
    let mut reader = Reader::new(bytes);
    let table = read(&mut reader, budget)?;
    if reader.is_empty() {
        Ok(table)
    } else {
        Err(Broken::new(format!("{} bytes follow the end of a field table", reader.left())))
    }
}

/// Reads a table: its length, then its fields.
pub(super) fn read(reader: &mut Reader<'_>, budget: &mut Budget) -> Result<Table, Broken> {
    read_at(reader, budget, 1)
}

/// Appends a short string: its length in an octet, then its bytes.
pub(super) fn encode_short(text: &str, to: &mut Vec<u8>) -> Result<(), Broken> {
    let length = u8::try_from(text.len()).map_err(|_| {
        let start: String = text.chars().take(40).collect();
        Broken::new(format!(
            "'{start}…' has {} bytes; names and short properties have at most {SHORT_STRING_BYTES}",
            text.len()
        ))
    })?;
    to.push(length);
    to.extend_from_slice(text.as_bytes());
    Ok(())
}

fn encode_at(table: &Table, to: &mut Vec<u8>, depth: usize) -> Result<(), Broken> {
    check_depth(depth)?;
    with_length(to, |to| {
        table.iter().try_for_each(|(name, value)| {
            encode_short(name, to)?;
            encode_value(value, to, depth)
        })
    })
}

fn encode_value(value: &FieldValue, to: &mut Vec<u8>, depth: usize) -> Result<(), Broken> {
    fn put<const N: usize>(to: &mut Vec<u8>, kind: u8, bytes: [u8; N]) {
        to.push(kind);
        to.extend_from_slice(&bytes);
    }
    match value {
        FieldValue::Bool(v) => put(to, b't', [u8::from(*v)]),
        FieldValue::I8(v) => put(to, b'b', v.to_be_bytes()),
        FieldValue::U8(v) => put(to, b'B', v.to_be_bytes()),
        FieldValue::I16(v) => put(to, b's', v.to_be_bytes()),
        FieldValue::U16(v) => put(to, b'u', v.to_be_bytes()),
        FieldValue::I32(v) => put(to, b'I', v.to_be_bytes()),
        FieldValue::U32(v) => put(to, b'i', v.to_be_bytes()),
        FieldValue::I64(v) => put(to, b'l', v.to_be_bytes()),
        FieldValue::F32(v) => put(to, b'f', v.to_be_bytes()),
        FieldValue::F64(v) => put(to, b'd', v.to_be_bytes()),
        FieldValue::Timestamp(v) => put(to, b'T', v.to_be_bytes()),
        FieldValue::Void => to.push(b'V'),
        FieldValue::Decimal { scale, value } => {
            put(to, b'D', [*scale]);
            to.extend_from_slice(&value.to_be_bytes());
        }
        FieldValue::Text(bytes) => {
            to.push(b'S');
            return with_length(to, |to| {
                to.extend_from_slice(bytes);
                Ok(())
            });
        }
        FieldValue::Bytes(bytes) => {
            to.push(b'x');
            return with_length(to, |to| {
                to.extend_from_slice(bytes);
                Ok(())
            });
        }
        FieldValue::Array(values) => {
            to.push(b'A');
            check_depth(depth + 1)?;
            return with_length(to, |to| {
                values.iter().try_for_each(|value| encode_value(value, to, depth + 1))
            });
        }
        FieldValue::Table(table) => {
            to.push(b'F');
            return encode_at(table, to, depth + 1);
        }
    }
    Ok(())
}

/// Appends a 32-bit length, then what `fill` appends.
fn with_length(
    to: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let start = to.len();
    to.extend_from_slice(&[0; 4]);
    fill(to)?;
    let length = u32::try_from(to.len() - start - 4)
        .map_err(|_| Broken::new("a field table is longer than 4 GiB"))?;
    if let Some(slot) = to.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn read_at(reader: &mut Reader<'_>, budget: &mut Budget, depth: usize) -> Result<Table, Broken> {
    check_depth(depth)?;
    let mut fields = reader.nested()?;
    let mut table = Table::default();
    while !fields.is_empty() {
        let name = fields.short_text()?;
        budget.take(size_of::<(String, FieldValue)>() + name.len())?;
        let name = name.to_owned();
        let value = read_value(&mut fields, budget, depth)?;
        table.0.push((name, value));
    }
    Ok(table)
}

fn read_value(
    reader: &mut Reader<'_>,
    budget: &mut Budget,
    depth: usize,
) -> Result<FieldValue, Broken> {
    Ok(match reader.u8()? {
        b't' => FieldValue::Bool(reader.u8()? != 0),
        b'b' => FieldValue::I8(i8::from_be_bytes(reader.array()?)),
        b'B' => FieldValue::U8(reader.u8()?),
        b's' => FieldValue::I16(i16::from_be_bytes(reader.array()?)),
        b'u' => FieldValue::U16(u16::from_be_bytes(reader.array()?)),
        b'I' => FieldValue::I32(i32::from_be_bytes(reader.array()?)),
        b'i' => FieldValue::U32(u32::from_be_bytes(reader.array()?)),
        b'l' => FieldValue::I64(i64::from_be_bytes(reader.array()?)),
        b'f' => FieldValue::F32(f32::from_be_bytes(reader.array()?)),
        b'd' => FieldValue::F64(f64::from_be_bytes(reader.array()?)),
        b'T' => FieldValue::Timestamp(u64::from_be_bytes(reader.array()?)),
        b'D' => {
            FieldValue::Decimal { scale: reader.u8()?, value: u32::from_be_bytes(reader.array()?) }
        }
        b'S' => FieldValue::Text(reader.nested()?.into_bytes()),
        b'x' => FieldValue::Bytes(reader.nested()?.into_bytes()),
        b'V' => FieldValue::Void,
        b'F' => FieldValue::Table(read_at(reader, budget, depth + 1)?),
        b'A' => {
            check_depth(depth + 1)?;
            let mut items = reader.nested()?;
            let mut values = Vec::new();
            while !items.is_empty() {
                budget.take(size_of::<FieldValue>())?;
                values.push(read_value(&mut items, budget, depth + 1)?);
            }
            FieldValue::Array(values)
        }
        other => {
            return Err(Broken::new(format!(
                "a field of type {:?}, which AMQP doesn't have",
                char::from(other)
            )));
        }
    })
}

fn check_depth(depth: usize) -> Result<(), Broken> {
    if depth <= TABLE_DEPTH {
        Ok(())
    } else {
        Err(Broken::new(format!("field tables nest deeper than {TABLE_DEPTH}")))
    }
}

#[cfg(test)]
pub(super) mod tests;
