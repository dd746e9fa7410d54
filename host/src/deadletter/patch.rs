//! Bodies mended on the way: RFC 6902 patches, or RFC 7386 merge patches, of JSON and MessagePack.

use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

use crate::limits::DLQ_PATCH_BYTES;
use crate::message::Message;

#[cfg(test)]
mod tests;

/// What is changed in a body.
#[derive(Clone, Debug)]
pub enum Patch {
    /// A list of operations (RFC 6902).
    Operations(json_patch::Patch),
    /// What is to be there afterwards, `null` for what isn't (RFC 7386).
    Merge(Value),
}

impl Patch {
    /// Reads a patch file: a list is RFC 6902, an object is RFC 7386.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let failed = |error: std::io::Error| format!("can't read {shown}: {error}");
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > DLQ_PATCH_BYTES {
            return Err(format!("{shown} has {size} bytes; a patch has {DLQ_PATCH_BYTES} at most"));
        }
        let text = std::fs::read(path).map_err(failed)?;
        Self::parse(&text).map_err(|error| format!("{shown}: {error}"))
    }

    /// The patch that a text says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match value {
            Value::Object(_) => Ok(Self::Merge(value)),
            Value::Array(_) => serde_json::from_value(value)
                .map(Self::Operations)
                .map_err(|error| format!("this list isn't a JSON patch (RFC 6902): {error}")),
            _ => {
                Err("a patch is a list of operations (RFC 6902), or an object to merge (RFC 7386)"
                    .to_owned())
            }
        }
    }

    /// The message's body, mended, in the encoding that it had.
    ///
    /// # Errors
    /// Why it can't be: the letter stays as it is.
    pub fn apply(&self, message: &Message) -> Result<Bytes, String> {
        let properties = &message.properties;
        if let Some(encoding) = &properties.content_encoding
            && !matches!(encoding.as_str(), "" | "identity" | "utf-8" | "UTF-8")
        {
            return Err(format!("its body is encoded ({encoding}), which no patch looks into"));
        }
        let packed = properties.content_type.as_deref().is_some_and(|it| it.contains("msgpack"));
        let mut value: Value = if packed {
            rmp_serde::from_slice(&message.body).map_err(|error| {
                format!("its body isn't MessagePack that JSON could say: {error}")
            })?
        } else {
            serde_json::from_slice(&message.body)
                .map_err(|error| format!("its body isn't JSON: {error}"))?
        };
        let before = value.clone();
        match self {
            Self::Operations(patch) => json_patch::patch(&mut value, patch)
                .map_err(|error| format!("the patch doesn't fit its body: {error}"))?,
            Self::Merge(patch) => json_patch::merge(&mut value, patch),
        }
        if value == before {
            // Byte for byte what it was, and so the same message.
            return Ok(message.body.clone());
        }
        let mended = if packed {
            rmp_serde::to_vec_named(&value).map_err(|error| error.to_string())
        } else {
            serde_json::to_vec(&value).map_err(|error| error.to_string())
        };
        mended
            .map(Bytes::from)
            .map_err(|error| format!("the mended body can't be written: {error}"))
    }
}
