//! Where a component's bytes are: its sections, read as hostile input.

/// How many bytes are what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// Code.
    pub code: usize,
    /// Data that memory starts with.
    pub data: usize,
    /// Names of functions, which a trap's backtrace shows.
    pub names: usize,
    /// Debug information.
    pub debug: usize,
    /// Other custom sections.
    pub custom: usize,
    /// All else.
    pub other: usize,
}

const HEADER: usize = 8;
/// Modules and components within components, this deep and no deeper.
const DEPTH: usize = 8;

/// Adds up a component's sections; what can't be read counts as `other`.
#[must_use]
pub fn sections(wasm: &[u8]) -> Sections {
    let mut found = Sections::default();
    read(wasm, &mut found, DEPTH);
    let known = found.code + found.data + found.names + found.debug + found.custom;
    found.other = wasm.len().saturating_sub(known);
    found
}

fn read(wasm: &[u8], found: &mut Sections, depth: usize) {
    let Some((header, mut rest)) = wasm.split_at_checked(HEADER) else { return };
    // A component's layer is 1, a core module's 0.
    let is_component = header.get(6) == Some(&1);
    while let Some((&id, after)) = rest.split_first() {
        let Some((length, after)) = leb(after) else { return };
        let Some((section, after)) = after.split_at_checked(length) else { return };
        rest = after;
        match (id, is_component) {
            (0, _) => custom(section, found),
            (1 | 4, true) if depth > 0 => read(section, found, depth - 1),
            (10, false) => found.code += section.len(),
            (11, false) => found.data += section.len(),
            _ => {}
        }
    }
}

fn custom(section: &[u8], found: &mut Sections) {
    let name = leb(section).and_then(|(length, rest)| rest.get(..length)).unwrap_or_default();
    let sum = match name {
        b"name" => &mut found.names,
        name if name.starts_with(b".debug") => &mut found.debug,
        _ => &mut found.custom,
    };
    *sum += section.len();
}

/// An unsigned number of at most 32 bits, and what follows it.
fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let number = u32::try_from(number).ok()?;
            return Some((usize::try_from(number).ok()?, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests;
