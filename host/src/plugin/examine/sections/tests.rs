#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id, u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn a_components_bytes_are_told_apart() {
    let named = |name: &str, bytes: usize| {
        let head = [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        section(0, &[head, vec![0; bytes]].concat())
    };
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(10, &[0; 20]),
        section(11, &[0; 7]),
        named("name", 4),
        named(".debug_info", 3),
        named("producers", 2),
    ]
    .concat();
    let component = [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module)].concat();
    let found = sections(&component);
    assert_eq!((found.code, found.data, found.names, found.debug), (20, 7, 9, 15));
    assert_eq!(found.custom, 12);
    assert_eq!(found.other, component.len() - 20 - 7 - 9 - 15 - 12);
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let wasm = [b"\0asm\x0d\0\x01\0".to_vec(), bytes].concat();
        let found = sections(&wasm);
        prop_assert!(found.other <= wasm.len());
    }
}
