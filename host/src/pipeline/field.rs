//! Top-level fields of a JSON or MessagePack body, found without decoding the rest: all that the host
//! ever reads of a body, for keys and identities.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::limits::{KEY_BYTES, KEY_SCAN_BYTES};

/// The texts of the named top-level fields: of strings as they are, of numbers and booleans as JSON
/// writes them. `None` where the body is neither format, has no such field within the first
/// [`KEY_SCAN_BYTES`], or the field is of another type or longer than [`KEY_BYTES`].
#[must_use]
pub fn find(body: &[u8], content_type: Option<&str>, names: &[&str]) -> Vec<Option<String>> {
    let mut search = Search { names, found: vec![None; names.len()], missing: names.len() };
    let scanned = &body[..body.len().min(KEY_SCAN_BYTES)];
    // An error behind the last field that was wanted is nobody's business here: plugins decode bodies.
    let _ = match format(body, content_type) {
        Some(Format::Json) => {
            serde_json::Deserializer::from_slice(scanned).deserialize_map(&mut search)
        }
        Some(Format::MessagePack) => rmp_serde::Deserializer::from_read_ref(scanned)
            .deserialize_map(&mut search)
            .map_err(|_| serde::de::Error::custom("")),
        None => Ok(()),
    };
    search.found
}

enum Format {
    Json,
    MessagePack,
}

/// The content type of a body that doesn't say it, where it can be told.
#[must_use]
pub fn content_type(body: &[u8]) -> Option<&'static str> {
    match format(body, None)? {
        Format::Json => Some("application/json"),
        Format::MessagePack => Some("application/msgpack"),
    }
}

/// By content type; where that says neither, by the first byte, which no two of these share.
fn format(body: &[u8], content_type: Option<&str>) -> Option<Format> {
    let essence = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
    match essence {
        Some(t) if t.ends_with("json") => Some(Format::Json),
        Some(t) if t.ends_with("msgpack") => Some(Format::MessagePack),
        _ => match body.first()? {
            b'{' | b' ' | b'\t' | b'\r' | b'\n' => Some(Format::Json),
            0x80..=0x8f | 0xde | 0xdf => Some(Format::MessagePack),
            _ => None,
        },
    }
}

struct Search<'n> {
    names: &'n [&'n str],
    found: Vec<Option<String>>,
    missing: usize,
}

impl<'de> Visitor<'de> for &mut Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while self.missing > 0
            && let Some(place) = map.next_key_seed(Place(self.names))?
        {
            match place {
                Some(place) if self.found[place].is_none() => {
                    self.found[place] = map.next_value_seed(Text)?;
                    self.missing -= 1;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Which of the wanted names a map's key is.
struct Place<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A scalar as text.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok((text.len() <= KEY_BYTES).then(|| text.to_owned()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
        Ok(Some(n.to_string()))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Some(n.to_string()))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Self::Value, E> {
        Ok(Some(n.to_string()))
    }

    fn visit_bool<E>(self, b: bool) -> Result<Self::Value, E> {
        Ok(Some(b.to_string()))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
