//! How one key's entry lies in the store: a version, then all that it has. What is read back is taken
//! for anything but what was written.
//!
//! ```text
//! u8 version = 1 · u8 flags · u64 touched, s · u64 first timer, µs · u32 schema
//! [state: u32 length, bytes] [shadow: u32 schema, [u32 length, bytes]] [timers: u32 count,
//! each u64 due · u32 attempt · u32 length, name] · u32 checksum of all that   (little-endian; parts as flags say)
//! ```

use std::sync::Arc;

use bytes::Bytes;

use super::{Entry, Kept, Shadow, Timer, first_due};

/// The only version so far.
const VERSION: u8 = 1;
const HAS_STATE: u8 = 1;
const HAS_SHADOW: u8 = 2;
const HAS_SHADOW_STATE: u8 = 4;
const HAS_TIMERS: u8 = 8;
const FLAGS: u8 = HAS_STATE | HAS_SHADOW | HAS_SHADOW_STATE | HAS_TIMERS;
/// Where the time of the first timer is.
const FIRST_DUE_AT: usize = 10;

/// An entry as bytes.
pub(super) fn encode(entry: &Entry, touched_s: u64) -> Vec<u8> {
    let timers = entry.timers.as_deref().unwrap_or_default();
    let shadow = entry.shadow.as_ref();
    let shadow_bytes = shadow.and_then(|shadow| shadow.bytes.as_ref());
    let flag = |has: bool, flag: u8| if has { flag } else { 0 };
    let flags = flag(entry.bytes.is_some(), HAS_STATE)
        | flag(shadow.is_some(), HAS_SHADOW)
        | flag(shadow_bytes.is_some(), HAS_SHADOW_STATE)
        | flag(!timers.is_empty(), HAS_TIMERS);
    let mut out = Vec::with_capacity(entry.size() + 32);
    out.extend([VERSION, flags]);
    out.extend(touched_s.to_le_bytes());
    out.extend(first_due(entry).unwrap_or(0).to_le_bytes());
    out.extend(entry.schema.to_le_bytes());
    let counted = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(bytes);
    };
    if let Some(bytes) = &entry.bytes {
        counted(&mut out, bytes);
    }
    if let Some(shadow) = shadow {
        out.extend(shadow.schema.to_le_bytes());
    }
    if let Some(bytes) = shadow_bytes {
        counted(&mut out, bytes);
    }
    if !timers.is_empty() {
        out.extend(u32::try_from(timers.len()).unwrap_or(u32::MAX).to_le_bytes());
        for timer in timers {
            out.extend(timer.due_us.to_le_bytes());
            out.extend(timer.attempt.to_le_bytes());
            counted(&mut out, timer.name.as_bytes());
        }
    }
    out.extend(checksum(&out));
    out
}

/// The entry that bytes mean.
///
/// # Errors
/// They mean none: why.
pub(super) fn decode(bytes: &[u8]) -> Result<Kept, String> {
    match bytes.first() {
        Some(&VERSION) => {}
        Some(version) => return Err(format!("version {version}, and {VERSION} is known")),
        None => return Err("it is empty".to_owned()),
    }
    let (bytes, sum) = bytes.split_last_chunk().ok_or("it is cut off")?;
    if *sum != checksum(bytes) {
        return Err("its checksum is another".to_owned());
    }
    let mut rest = Rest(&bytes[1..]);
    let flags = rest.byte()?;
    if flags & !FLAGS != 0 {
        return Err(format!("flags {flags:#04x}"));
    }
    let has = |flag: u8| flags & flag != 0;
    let touched_s = rest.u64()?;
    let first = rest.u64()?;
    let schema = rest.u32()?;
    let state = if has(HAS_STATE) { Some(rest.counted()?) } else { None };
    let shadow = if has(HAS_SHADOW) {
        let schema = rest.u32()?;
        let bytes = if has(HAS_SHADOW_STATE) { Some(rest.counted()?) } else { None };
        Some(Shadow { schema, bytes: bytes.map(Bytes::copy_from_slice) })
    } else {
        None
    };
    let timers = if has(HAS_TIMERS) { Some(timers(&mut rest)?) } else { None };
    if !rest.0.is_empty() {
        return Err(format!("{} bytes behind its end", rest.0.len()));
    }
    let bytes = state.map(Bytes::copy_from_slice);
    let entry = Entry { bytes, schema, shadow, timers, ..Entry::default() };
    if first_due(&entry).unwrap_or(0) != first {
        return Err("its first timer isn't when it says".to_owned());
    }
    Ok(Kept { entry, touched_s })
}

fn timers(rest: &mut Rest<'_>) -> Result<Arc<[Timer]>, String> {
    let count = rest.u32()?;
    let mut timers = Vec::new();
    for _ in 0..count {
        let (due_us, attempt) = (rest.u64()?, rest.u32()?);
        let name = std::str::from_utf8(rest.counted()?).map_err(|_| "a timer's name is no text")?;
        timers.push(Timer { name: name.into(), due_us, attempt });
    }
    Ok(timers.into())
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d]
}

/// When the first timer of a record is due, without reading the rest.
pub(super) fn due_of(bytes: &[u8]) -> Option<u64> {
    let field = bytes.get(FIRST_DUE_AT..FIRST_DUE_AT + 8)?;
    let has_timers = bytes.get(1).is_some_and(|flags| flags & HAS_TIMERS != 0);
    has_timers.then(|| field.try_into().map(u64::from_le_bytes).ok()).flatten()
}

/// What hasn't been read yet.
struct Rest<'r>(&'r [u8]);

impl<'r> Rest<'r> {
    fn take(&mut self, length: usize) -> Result<&'r [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, String> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, String> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn counted(&mut self) -> Result<&'r [u8], String> {
        let length = self.u32()?;
        self.take(length as usize)
    }
}

#[cfg(test)]
mod tests;
