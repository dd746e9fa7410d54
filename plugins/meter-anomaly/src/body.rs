//! A body whose fields the operator names: decoded once, into a flat list that borrows from it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Maps within maps that are looked into.
const DEPTH_MAX: usize = 4;
/// Fields that there is room for at first.
const FIELDS: usize = 12;

/// A message's fields, each before those that lie in it.
#[derive(Debug)]
pub(crate) struct Body<'a>(Vec<Field<'a>>);

#[derive(Debug)]
struct Field<'a> {
    /// The field that it lies in, by its place.
    within: Option<usize>,
    name: Cow<'a, str>,
    leaf: Leaf<'a>,
}

/// What a field holds, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) enum Leaf<'a> {
    Number(f64),
    Text(Cow<'a, str>),
    /// More fields.
    Map,
    /// Something else.
    Other,
}

impl<'a> Body<'a> {
    /// The field at the end of that path.
    pub(crate) fn find(&self, path: &[impl AsRef<str>]) -> Option<&Leaf<'a>> {
        let mut within = None;
        let mut from = 0;
        for name in path {
            let name = name.as_ref();
            let mut after = self.0.iter().skip(from);
            let at = after.position(|field| field.within == within && field.name == name)?;
            within = Some(from + at);
            from += at + 1;
        }
        within.and_then(|at| self.0.get(at)).map(|field| &field.leaf)
    }

    /// The number there.
    pub(crate) fn number(&self, path: &[impl AsRef<str>]) -> Option<f64> {
        match self.find(path) {
            Some(Leaf::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// The text there.
    pub(crate) fn text(&self, path: &[impl AsRef<str>]) -> Option<&str> {
        match self.find(path) {
            Some(Leaf::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Body<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut fields = Vec::with_capacity(FIELDS);
        from.deserialize_map(Fields { fields: &mut fields, within: None, depth: 0 })?;
        Ok(Self(fields))
    }
}

/// Reads the fields of a map.
struct Fields<'f, 'a> {
    fields: &'f mut Vec<Field<'a>>,
    within: Option<usize>,
    depth: usize,
}

impl<'de> Visitor<'de> for Fields<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let at = self.fields.len();
            self.fields.push(Field { within: self.within, name, leaf: Leaf::Other });
            let depth = self.depth;
            let leaf = map.next_value_seed(Read { fields: &mut *self.fields, at, depth })?;
            if let Some(field) = self.fields.get_mut(at) {
                field.leaf = leaf;
            }
        }
        Ok(())
    }
}

/// Reads a field's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Reads what a field holds.
struct Read<'f, 'a> {
    fields: &'f mut Vec<Field<'a>>,
    at: usize,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Read<'_, 'de> {
    type Value = Leaf<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_, 'de> {
    type Value = Leaf<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what a field holds")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Number(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Number(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Number(number as f64))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Other)
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Leaf<'de>, E> {
        Ok(Leaf::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Leaf<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Leaf::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Leaf<'de>, A::Error> {
        if self.depth >= DEPTH_MAX {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Leaf::Other);
        }
        let fields = Fields { fields: self.fields, within: Some(self.at), depth: self.depth + 1 };
        fields.visit_map(map)?;
        Ok(Leaf::Map)
    }
}
