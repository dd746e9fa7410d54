#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::old_state;

#[derive(Clone, Debug, Default, PartialEq)]
struct Count(u32);

impl Encoded for Count {
    fn to_bytes(&self) -> impl AsRef<[u8]> {
        self.0.to_be_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u32::from_be_bytes(bytes.try_into().ok()?)))
    }
}

#[test]
fn bytes_come_back_as_what_they_were_of_alone_and_within_others() {
    let alone = rmp_serde::to_vec(&Bytes(Count(7))).unwrap();
    assert_eq!(alone, [0xc4, 4, 0, 0, 0, 7]);
    assert_eq!(old_state(&alone), Ok(Bytes(Count(7))));
    let within = rmp_serde::to_vec(&("x", Bytes(Count(8)))).unwrap();
    assert_eq!(old_state(&within), Ok(("x".to_owned(), Bytes(Count(8)))));
}

#[test]
fn bytes_of_another_type_say_so() {
    let other = rmp_serde::to_vec(&7_u32).unwrap();
    assert!(old_state::<Bytes<Count>>(&other).unwrap_err().contains("expected a byte string"));
    let short = [0xc4, 2, 0, 0];
    let error = old_state::<Bytes<Count>>(&short).unwrap_err();
    assert!(error.contains("2 bytes that aren't of its type"), "{error}");
}
