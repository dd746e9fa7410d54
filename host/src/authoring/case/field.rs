//! Headers as a case has them. What JSON has is written as it is; AMQP's other types say what they are:
//! `{ "$u8" = 3 }`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::CaseError;
use crate::message::{FieldValue, Table};

/// The headers that a case says.
///
/// # Errors
/// A value that AMQP can't have.
pub fn table(fields: &Map<String, Value>) -> Result<Table, CaseError> {
    let fields = fields.iter().map(|(name, value)| {
        let value =
            field(value).ok_or_else(|| CaseError(format!("header '{name}': {value} {REMEDY}")));
        Ok((name.clone(), value?))
    });
    Ok(Table(fields.collect::<Result<_, CaseError>>()?))
}

const REMEDY: &str = "is no value of a header: write text, a number, true, a list, a table, or a type \
                      of AMQP as { \"$u8\" = 3 } ($i8 $u8 $i16 $u16 $i32 $u32 $f32 $timestamp \
                      $decimal $bytes $void)";

/// Headers as a case says them.
#[must_use]
pub fn fields_json(table: &Table) -> Map<String, Value> {
    table.iter().map(|(name, value)| (name.to_owned(), field_json(value))).collect()
}

/// A header's value as a case says it.
#[must_use]
pub fn field_json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Bool(v) => json!(v),
        FieldValue::I64(v) => json!(v),
        FieldValue::F64(v) if v.is_finite() => json!(v),
        // JSON has no such numbers.
        FieldValue::F64(v) => json!({ "$f64": v.to_string() }),
        FieldValue::I8(v) => json!({ "$i8": v }),
        FieldValue::U8(v) => json!({ "$u8": v }),
        FieldValue::I16(v) => json!({ "$i16": v }),
        FieldValue::U16(v) => json!({ "$u16": v }),
        FieldValue::I32(v) => json!({ "$i32": v }),
        FieldValue::U32(v) => json!({ "$u32": v }),
        FieldValue::F32(v) if v.is_finite() => json!({ "$f32": v }),
        FieldValue::F32(v) => json!({ "$f32": v.to_string() }),
        FieldValue::Timestamp(v) => json!({ "$timestamp": v }),
        FieldValue::Decimal { scale, value } => json!({ "$decimal": [scale, value] }),
        FieldValue::Void => json!({ "$void": true }),
        FieldValue::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!({ "$text": STANDARD.encode(bytes) }),
        },
        FieldValue::Bytes(bytes) => json!({ "$bytes": STANDARD.encode(bytes) }),
        FieldValue::Array(items) => items.iter().map(field_json).collect(),
        FieldValue::Table(inner) => Value::Object(fields_json(inner)),
    }
}

fn field(value: &Value) -> Option<FieldValue> {
    Some(match value {
        Value::Null => FieldValue::Void,
        Value::Bool(v) => FieldValue::Bool(*v),
        Value::String(text) => FieldValue::from(text.as_str()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => FieldValue::I64(number),
            None => FieldValue::F64(number.as_f64()?),
        },
        Value::Array(items) => {
            FieldValue::Array(items.iter().map(field).collect::<Option<Vec<_>>>()?)
        }
        Value::Object(fields) => match fields.iter().next() {
            Some((name, value)) if fields.len() == 1 && name.starts_with('$') => {
                typed(name, value)?
            }
            _ => FieldValue::Table(table(fields).ok()?),
        },
    })
}

fn typed(name: &str, value: &Value) -> Option<FieldValue> {
    let signed = || value.as_i64();
    let unsigned = || value.as_u64();
    let bytes = || STANDARD.decode(value.as_str()?).ok().map(Into::into);
    Some(match name {
        "$i8" => FieldValue::I8(signed()?.try_into().ok()?),
        "$u8" => FieldValue::U8(unsigned()?.try_into().ok()?),
        "$i16" => FieldValue::I16(signed()?.try_into().ok()?),
        "$u16" => FieldValue::U16(unsigned()?.try_into().ok()?),
        "$i32" => FieldValue::I32(signed()?.try_into().ok()?),
        "$u32" => FieldValue::U32(unsigned()?.try_into().ok()?),
        "$f32" => FieldValue::F32(match value {
            Value::String(text) => text.parse().ok()?,
            _ => narrow(value.as_f64()?),
        }),
        "$f64" => FieldValue::F64(value.as_str()?.parse().ok()?),
        "$timestamp" => FieldValue::Timestamp(unsigned()?),
        "$decimal" => FieldValue::Decimal {
            scale: value.get(0)?.as_u64()?.try_into().ok()?,
            value: value.get(1)?.as_u64()?.try_into().ok()?,
        },
        "$void" => FieldValue::Void,
        "$text" => FieldValue::Text(bytes()?),
        "$bytes" => FieldValue::Bytes(bytes()?),
        _ => return None,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest one is what is meant")]
fn narrow(number: f64) -> f32 {
    number as f32
}
