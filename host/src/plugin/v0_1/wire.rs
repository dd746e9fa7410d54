//! Reading bytes that a plugin wrote: nothing is believed, nothing panics.

use bytes::Bytes;

/// What is wrong with a piece of an answer (or, rarely, of a message that can't be encoded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

/// What decoding may take of the host's memory, in bytes.
///
/// Spans may overlap, so a small answer could otherwise unfold into a large one.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    total: usize,
}

/// A cursor over big-endian AMQP.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

// === impl Broken ===

impl Broken {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Says where it is.
    pub(super) fn at(self, place: impl std::fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

/// Whether a message's emissions are few enough bytes.
pub(super) fn check_emitted(message: usize, bytes: usize, bytes_max: usize) -> Result<(), Broken> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(Broken::new(format!(
        "message {message} emits {bytes} bytes where {bytes_max} are allowed; emit less, or raise \
         the plugin's limits.emission_bytes"
    )))
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: bytes, total: bytes }
    }

    /// Takes a part, or says that there is none left.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Broken> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Broken::new(format!(
                "the answer unfolds to more than {} bytes; return less, or raise the plugin's \
                 limits.output",
                self.total
            ))),
        }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Self {
        Self { whole: bytes, rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn slice(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        match self.rest.split_at_checked(length) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(Broken::new(format!(
                "{length} bytes announced where {} are left",
                self.rest.len()
            ))),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(Broken::new(format!(
                "{N} bytes needed where {} are left",
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Broken> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A short string.
    pub(super) fn short_text(&mut self) -> Result<&'a str, Broken> {
        let length = self.u8()?;
        text(self.slice(length.into())?)
    }

    /// A 32-bit length and as many bytes.
    pub(super) fn nested(&mut self) -> Result<Self, Broken> {
        let length = u32::from_be_bytes(self.array()?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Self { whole: self.whole, rest: self.slice(length)? })
    }

    /// What is left, shared rather than copied.
    pub(super) fn into_bytes(self) -> Bytes {
        self.whole.slice_ref(self.rest)
    }
}

/// UTF-8, or what to say about it.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Broken> {
    std::str::from_utf8(bytes).map_err(|_| {
        let start = &bytes[..bytes.len().min(40)];
        Broken::new(format!("text that isn't UTF-8: \"{}\"", start.escape_ascii()))
    })
}
