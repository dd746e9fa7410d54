//! JSON, an object a line; values keep their types.

use serde_json::Value;

use super::Table;

/// Adds the file's rows to a table.
pub(super) fn read(bytes: &[u8], key: &str, table: &mut Table) -> Result<(), String> {
    for (at, text) in (1u64..).zip(bytes.split(|byte| *byte == b'\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row: Value = serde_json::from_slice(text)
            .map_err(|error| format!("line {at}: this isn't JSON: {error}"))?;
        let key = match row.get(key) {
            Some(Value::String(key)) => key.clone(),
            Some(Value::Number(key)) => key.to_string(),
            _ => {
                return Err(format!(
                    "line {at}: an object with a text or number '{key}' belongs here"
                ));
            }
        };
        table.add(at, &key, |to| {
            rmp_serde::encode::write_named(to, &row).map_err(|error| error.to_string())
        })?;
    }
    Ok(())
}
