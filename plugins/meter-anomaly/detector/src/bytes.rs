//! State as plain bytes, little-endian: copied whole, for a field at a time costs more than the statistics.

/// Writes what is kept.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

/// Reads it again; `None` where there is too little.
#[derive(Debug)]
pub struct Reader<'b>(&'b [u8]);

impl Writer {
    /// With room for that many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends a whole number, 4 bytes.
    pub fn count(&mut self, count: u32) {
        self.bytes(&count.to_le_bytes());
    }

    /// Appends numbers, 4 bytes each.
    pub fn floats(&mut self, floats: &[f32]) {
        let start = self.0.len();
        self.0.resize(start + 4 * floats.len(), 0);
        let (chunks, _) = self.0[start..].as_chunks_mut::<4>();
        for (chunk, float) in chunks.iter_mut().zip(floats) {
            *chunk = float.to_le_bytes();
        }
    }
}

impl<'b> Reader<'b> {
    /// From the start of those bytes.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn eight(&mut self) -> Option<[u8; 8]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    /// The next whole number.
    pub fn count(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    /// The next numbers, as many as there is room for. What isn't finite was never written.
    pub fn floats(&mut self, to: &mut [f32]) -> Option<()> {
        let (chunks, _) = self.bytes(4 * to.len())?.as_chunks::<4>();
        for (float, chunk) in to.iter_mut().zip(chunks) {
            *float = f32::from_le_bytes(*chunk);
        }
        to.iter().all(|float| float.is_finite()).then_some(())
    }

    pub(crate) fn some_floats<const N: usize>(&mut self) -> Option<[f32; N]> {
        let mut floats = [0.0; N];
        self.floats(&mut floats)?;
        Some(floats)
    }
}
