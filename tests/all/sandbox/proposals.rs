//! What WebAssembly has beyond what plugins may use: refused by its name when the component is loaded.

use super::wasm::{
    CODE, END, FUNCTIONS, GLOBALS, I32, MEMORIES, TAGS, TYPES, component, function, section,
};
use super::{Row, row};

/// A component of each, and the words by which it is refused.
pub(super) fn all() -> Vec<(Vec<u8>, Row)> {
    let refused = |does, says| row(does, "features", "refused", says);
    let memory =
        |flags: u8, rest: &[u8]| component(&[section(MEMORIES, &[&[1, flags], rest].concat())]);
    let body = |results: &[u8], body: &[u8]| component(&function(results, 0, body));
    // Two i64, put together of four.
    let wide = [[0x42, 1, 0x42, 2, 0x42, 3, 0x42, 4].as_slice(), &[0xfc, 0x13]].concat();
    let atomic = component(&[
        section(TYPES, &[1, 0x60, 0, 0]),
        section(FUNCTIONS, &[1, 0]),
        section(MEMORIES, &[1, 0, 1]),
        section(CODE, &[1, 5, 0, 0xfe, 0x03, 0x00, END]),
    ]);
    vec![
        (memory(3, &[1, 1]), refused("shares memory between threads", "threads")),
        (atomic, refused("uses atomic instructions", "threads")),
        (memory(4, &[1]), refused("has a memory of 64 bits", "memory64")),
        (memory(8, &[1, 0]), refused("has pages of its own size", "custom page sizes")),
        (
            component(&[section(TYPES, &[1, 0x60, 0, 0]), section(TAGS, &[1, 0, 0])]),
            refused("throws exceptions", "exceptions"),
        ),
        (
            // A struct of one i32.
            component(&[section(TYPES, &[1, 0x5f, 1, I32, 0])]),
            refused("has objects that are collected", "gc"),
        ),
        (
            // A global of a typed function reference, null.
            component(&[
                section(TYPES, &[1, 0x60, 0, 0]),
                section(GLOBALS, &[1, 0x63, 0, 0, 0xd0, 0, END]),
            ]),
            refused("has typed references to functions", "function references"),
        ),
        (body(&[0x7e, 0x7e], &wide), refused("uses arithmetic of 128 bits", "wide arithmetic")),
        (
            // A continuation of a function's type.
            component(&[section(TYPES, &[2, 0x60, 0, 0, 0x5d, 0])]),
            refused("switches stacks", "stack switching"),
        ),
    ]
}
