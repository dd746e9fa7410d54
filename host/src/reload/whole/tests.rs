#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::whole;
use crate::builtin;

#[test]
fn a_component_is_whole_and_each_shorter_one_at_a_sections_middle_isnt() {
    let name = builtin::names().next().unwrap();
    let wasm = builtin::plugin(name).unwrap();
    assert_eq!(whole(wasm), Ok(()));
    let mut ends = 0;
    for length in (0..wasm.len()).step_by(97) {
        ends += usize::from(whole(&wasm[..length]).is_ok());
    }
    // Only a cut between two sections can't be seen: the compiler sees those.
    assert!(ends <= 3, "{ends}");
    assert!(whole(&[wasm, b"\x00".as_slice()].concat()).is_err());
}

#[test]
fn what_is_no_component_is_left_to_who_loads_it() {
    assert_eq!(whole(b"not wasm"), Ok(()));
    assert!(whole(b"").is_err());
    assert!(whole(b"\0as").is_err());
    assert!(whole(b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\xff\xff\x01").is_err());
}
