//! State as an author's own bytes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type that says itself how it becomes bytes: as state, inside of [`Bytes`].
pub trait Encoded: Sized {
    /// Its bytes: an array where they are always as many, a vector otherwise.
    fn to_bytes(&self) -> impl AsRef<[u8]>;

    /// Itself again; `None` where the bytes are none of its.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// State that becomes bytes by its own [`Encoded`], instead of field by field: where speed matters more than that
/// a person can read what is kept. It is used as what is inside of it.
///
/// ```
/// use sluicegate_sdk::{Bytes, Context, Decision, Encoded, Message, Plugin, Verdict};
///
/// #[derive(Clone, Default)]
/// struct Mean {
///     count: u64,
///     mean: f64,
/// }
///
/// impl Encoded for Mean {
///     fn to_bytes(&self) -> impl AsRef<[u8]> {
///         let mut bytes = [0; 16];
///         bytes[..8].copy_from_slice(&self.count.to_le_bytes());
///         bytes[8..].copy_from_slice(&self.mean.to_le_bytes());
///         bytes
///     }
///
///     fn from_bytes(bytes: &[u8]) -> Option<Self> {
///         let (count, mean) = bytes.split_first_chunk()?;
///         let mean = f64::from_le_bytes(mean.try_into().ok()?);
///         Some(Self { count: u64::from_le_bytes(*count), mean })
///     }
/// }
///
/// #[derive(serde::Deserialize)]
/// struct Means {}
///
/// impl Plugin for Means {
///     type State = Bytes<Mean>;
///
///     fn process(&self, message: &Message, state: &mut Bytes<Mean>, _: &mut Context) -> Decision {
///         state.count += 1;
///         state.mean += (message.decode::<f64>()? - state.mean) / state.count as f64;
///         Ok(Verdict::next())
///     }
/// }
/// # use sluicegate_sdk::testing::{Input, Tester};
/// # let mut means = Tester::<Means>::new(&serde_json::json!({})).unwrap();
/// # means.run(Input::json(&1.0).key("a"));
/// # means.run(Input::json(&2.0).key("a"));
/// # assert_eq!((means.state("a").unwrap().mean, means.state_bytes("a")), (1.5, 18));
/// ```
///
/// To the host it is a MessagePack byte string, 2 to 5 bytes longer. It may be a part of a state whose rest is
/// encoded as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes<T>(pub T);

impl<T> Deref for Bytes<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Bytes<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Encoded> Serialize for Bytes<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0.to_bytes().as_ref())
    }
}

impl<'de, T: Encoded> Deserialize<'de> for Bytes<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_bytes(Read(PhantomData))
    }
}

struct Read<T>(PhantomData<T>);

impl<T: Encoded> Visitor<'_> for Read<T> {
    type Value = Bytes<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes<T>, E> {
        let read = T::from_bytes(bytes).map(Bytes);
        read.ok_or_else(|| E::custom(format!("{} bytes that aren't of its type", bytes.len())))
    }
}

#[cfg(test)]
mod tests;
