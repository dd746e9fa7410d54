//! Components made by hand, byte by byte: what no compiler of plugins would make.

/// A section: its number, its length, its bytes.
pub(super) fn section(number: u8, content: &[u8]) -> Vec<u8> {
    let mut section = vec![number];
    section.extend(leb(content.len()));
    section.extend(content);
    section
}

/// A number as WebAssembly has it.
pub(super) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A component that holds one core module of those sections.
pub(super) fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    sections.iter().for_each(|section| module.extend(section));
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.extend(section(1, &module));
    component
}

/// The sections of one function without arguments: its result types, its locals' count, its instructions.
pub(super) fn function(results: &[u8], locals: usize, body: &[u8]) -> [Vec<u8>; 3] {
    let mut kind = vec![1, 0x60, 0];
    kind.extend(leb(results.len()));
    kind.extend(results);
    let mut code = if locals == 0 { vec![0] } else { [vec![1], leb(locals), vec![I32]].concat() };
    code.extend(body);
    code.push(END);
    let mut all = vec![1];
    all.extend(leb(code.len()));
    all.extend(code);
    [section(TYPES, &kind), section(FUNCTIONS, &[1, 0]), section(CODE, &all)]
}

pub(super) const TYPES: u8 = 1;
pub(super) const FUNCTIONS: u8 = 3;
pub(super) const MEMORIES: u8 = 5;
pub(super) const GLOBALS: u8 = 6;
pub(super) const CODE: u8 = 10;
pub(super) const TAGS: u8 = 13;
pub(super) const I32: u8 = 0x7f;
pub(super) const END: u8 = 0x0b;
