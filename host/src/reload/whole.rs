//! Whether a WebAssembly file is all there: its sections end where it ends.

/// Bytes of the magic and version that every file begins with.
const PREAMBLE: usize = 8;
/// Bytes that a section's length takes at most.
const LENGTH_BYTES: usize = 5;

/// Walks the outermost sections, which say how long they are. Nothing else is looked at: what is in
/// them is for the compiler to judge.
///
/// # Errors
/// Where it ends too early, or what is there can't be a section.
pub fn whole(wasm: &[u8]) -> Result<(), String> {
    if wasm.is_empty() {
        return Err("it is empty".to_owned());
    }
    let known = wasm.len().min(4);
    if wasm[..known] != b"\0asm"[..known] {
        // No component at all: that it will never be whole is told by who loads it.
        return Ok(());
    }
    let mut at = PREAMBLE;
    while at < wasm.len() {
        let cut = || format!("it ends within a section, after {} bytes", wasm.len());
        let (length, bytes) = length(wasm.get(at + 1..).unwrap_or_default()).ok_or_else(cut)?;
        at = at.saturating_add(1 + bytes).saturating_add(length);
    }
    if at == wasm.len() {
        return Ok(());
    }
    Err(format!("it has {} bytes of at least {at}", wasm.len()))
}

/// A LEB128 number and how many bytes it takes; none where it is cut off or too long.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (at, byte) in bytes.iter().take(LENGTH_BYTES).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests;
