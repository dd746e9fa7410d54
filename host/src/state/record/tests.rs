#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn entries() -> impl Strategy<Value = Entry> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let shadow = (any::<u32>(), bytes())
        .prop_map(|(schema, bytes)| Shadow { schema, bytes: bytes.map(Bytes::from) });
    let timer = ("[a-z]{0,8}", any::<u64>(), any::<u32>())
        .prop_map(|(name, due_us, attempt)| Timer { name: name.into(), due_us, attempt });
    let timers = proptest::collection::vec(timer, 0..4);
    (bytes(), any::<u32>(), proptest::option::of(shadow), timers).prop_map(
        |(bytes, schema, shadow, timers)| Entry {
            bytes: bytes.map(Bytes::from),
            schema,
            shadow,
            timers: (!timers.is_empty()).then(|| timers.into()),
            generation: 0,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(entry in entries(), touched_s: u64) {
        let bytes = encode(&entry, touched_s);
        prop_assert_eq!(due_of(&bytes), first_due(&entry));
        prop_assert_eq!(decode(&bytes).unwrap(), Kept { entry, touched_s });
    }

    #[test]
    fn a_record_that_was_cut_or_changed_is_no_panic(entry in entries(), cut: usize, at: usize, byte: u8) {
        let whole = encode(&entry, 7);
        let cut = cut % whole.len();
        prop_assert!(decode(&whole[..cut]).is_err());
        let mut changed = whole.clone();
        changed[at % whole.len()] = byte;
        let _either = decode(&changed);
        let _either = due_of(&changed);
    }

    #[test]
    fn any_bytes_are_no_panic(bytes: Vec<u8>) {
        let _either = decode(&bytes);
        let _either = due_of(&bytes);
    }
}

#[test]
fn a_record_of_a_later_version_says_so() {
    let mut bytes = encode(&Entry::default(), 0);
    bytes[0] = 2;
    assert!(decode(&bytes).unwrap_err().contains("version 2"));
}
