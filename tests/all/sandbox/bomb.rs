//! A component that is small and takes the compiler for ever.

use super::wasm::{END, component, function, leb};

/// Locals of its one function: as many as there may be, and all of them alive to the end.
const LOCALS: usize = 5_000;
/// Branches, in each of which one of them changes.
const BRANCHES: usize = 60_000;

/// The component.
pub(crate) fn bomb() -> Vec<u8> {
    let mut body = Vec::new();
    for at in 0..BRANCHES {
        // if (local a) { local b = local c }
        body.push(0x20);
        body.extend(leb(at % LOCALS));
        body.extend([0x04, 0x40, 0x20]);
        body.extend(leb((at * 7 + 1) % LOCALS));
        body.push(0x21);
        body.extend(leb((at * 13 + 5) % LOCALS));
        body.push(END);
    }
    for at in 0..LOCALS {
        body.push(0x20);
        body.extend(leb(at));
        body.push(0x1a);
    }
    component(&function(&[], LOCALS, &body))
}
