//! Capsules: there and back, read as hostile input, compared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::borrow::Cow;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::TABLE_DEPTH;
use crate::message::{FieldValue, Properties, Table};
use crate::plugin::{Batch, Input, StateChange, StateSlot, TimerChange};
use crate::verdict::{Decision, Emission, FailureClass, Replacement, Verdict};

fn nested(levels: usize) -> FieldValue {
    (0..levels).fold(FieldValue::Void, |inner, _| {
        FieldValue::Table(Table(vec![("t".to_owned(), FieldValue::Array(vec![inner]))]))
    })
}

fn headers() -> Table {
    Table(vec![
        ("float".to_owned(), FieldValue::F64(f64::from_bits(0x7ff8_0000_0000_0001))),
        ("single".to_owned(), FieldValue::F32(1.5)),
        ("raw".to_owned(), FieldValue::Text(Bytes::from_static(b"\xff\xfe"))),
        ("bytes".to_owned(), FieldValue::Bytes(Bytes::from_static(b"plain"))),
        ("price".to_owned(), FieldValue::Decimal { scale: 2, value: 199 }),
        ("deep".to_owned(), nested(TABLE_DEPTH / 2)),
        ("void".to_owned(), FieldValue::Void),
    ])
}

fn decisions() -> Decisions {
    let replacement = Replacement {
        body: Some(Bytes::from_static(b"\x81\xa1a\x01")),
        content_type: None,
        headers: Some(headers()),
    };
    let emission = Emission {
        output: "alerts".to_owned(),
        routing_key: Some("meter.7".to_owned()),
        properties: Properties { headers: headers(), ..Properties::default() },
        body: Some(Bytes::from_static(b"{\"high\":true}")),
    };
    let retry = Verdict::Retry {
        code: "later".to_owned(),
        text: "not yet".to_owned(),
        after: Some(Duration::from_millis(1500)),
    };
    Decisions {
        messages: vec![
            Decision {
                verdict: Verdict::Next(Some(replacement.into())),
                emissions: vec![emission],
            },
            Decision::from(retry),
        ],
        states: vec![StateChange::Set(Bytes::from_static(b"\x81\xa1n\x05")), StateChange::Cleared],
        timers: vec![TimerChange { input: 0, name: "silent".to_owned(), due_us: Some(1 << 50) }],
    }
}

fn capsule(outcome: Outcome) -> Capsule {
    let properties = Properties {
        message_id: Some("m-1".to_owned()),
        headers: headers(),
        ..Properties::default()
    };
    let input = |body: &'static [u8], slot| Input {
        exchange: "meters",
        routing_key: "meter.7.reading",
        key: Some("7"),
        properties: &properties,
        body,
        attempt: 2,
        seed: [9; 16],
        slot,
        row: Some(b"\x81\xa1m\x80"),
        due_us: slot.map(|_| 1 << 50),
    };
    let state = StateSlot { bytes: Some(Cow::Borrowed(b"\x81\xa1n\x04")), generation: 1 << 40 };
    let batch = OwnedBatch::of(&Batch {
        now_us: 1_700_000_000_000_000,
        messages: &[input(b"{\"kw\":3}", Some(0)), input(b"\x00\xff", None)],
        states: &[state, StateSlot { bytes: None, generation: 3 }],
    });
    let meta = Meta { pipeline: "readings".to_owned(), stage: 1, ..Meta::default() };
    Capsule { format: FORMAT, meta, batch, outcome }
}

fn trap() -> Outcome {
    Outcome::Failed(CallError {
        class: FailureClass::Trap,
        text: "index out of bounds at src/lib.rs:7".to_owned(),
        backtrace: vec!["inner".to_owned(), "outer".to_owned()],
    })
}

#[test]
fn a_capsule_comes_back_from_its_file_to_the_bit() {
    for outcome in [Outcome::Decided(decisions()), trap()] {
        let capsule = capsule(outcome);
        let bytes = capsule.encode().unwrap();
        let back = Capsule::decode(&bytes).unwrap();
        // A NaN isn't equal to itself; its bits are.
        assert_eq!(back.encode().unwrap(), bytes);
        assert!(diff_outcomes(&capsule.outcome, &back.outcome).is_empty());
        assert_eq!(back.batch.messages[1].body, capsule.batch.messages[1].body);
        assert_eq!(back.batch.states, capsule.batch.states);
    }
}

#[test]
fn what_is_lent_is_what_was_copied() {
    let owned = capsule(trap()).batch;
    let again = owned.with_batch(OwnedBatch::of);
    let packed = |batch: &OwnedBatch| rmp_serde::to_vec_named(batch).unwrap();
    assert_eq!(packed(&again), packed(&owned));
}

#[test]
fn headers_as_deep_as_the_host_takes_them_fit_into_a_capsule() {
    let mut capsule = capsule(trap());
    let table = (0..TABLE_DEPTH)
        .fold(FieldValue::Void, |inner, _| FieldValue::Table(Table(vec![("t".to_owned(), inner)])));
    capsule.batch.messages[0].properties.headers.set("deepest", table);
    assert!(Capsule::decode(&capsule.encode().unwrap()).is_ok());
}

#[test]
fn headers_without_a_bottom_are_refused_before_the_stack_ends() {
    let mut capsule = capsule(trap());
    capsule.batch.messages[0].properties.headers.set("abyss", nested(5000));
    // Written on a stack of its own: nobody but this test has such headers.
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    let bytes = thread.spawn(move || capsule.encode().unwrap());
    let error = Capsule::decode(&bytes.unwrap().join().unwrap()).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn what_is_no_capsule_is_told_in_words() {
    let whole = capsule(trap()).encode().unwrap();
    let told = |bytes: &[u8]| Capsule::decode(bytes).unwrap_err().to_string();
    assert!(told(b"").contains("no capsule"));
    assert!(told(b"\0asm").contains("no capsule"));
    assert!(told(&whole[..whole.len() - 3]).contains("cut off"));
    let mut newer = whole.clone();
    newer[6] = 9;
    assert!(told(&newer).contains("format 9"), "{}", told(&newer));
    let mut lost = capsule(trap());
    lost.batch.messages[0].slot = Some(7);
    assert!(told(&lost.encode().unwrap()).contains("state 7"));
}

#[test]
fn every_flipped_byte_is_read_or_refused() {
    let whole = capsule(Outcome::Decided(decisions())).encode().unwrap();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            if let Ok(capsule) = Capsule::decode(&bytes) {
                capsule.batch.with_batch(|batch| assert!(!batch.messages.is_empty()));
            }
        }
    }
}

#[test]
fn a_claim_of_many_bytes_takes_no_memory() {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    // An array of 2^32-1 elements where the map of fields is expected, and a binary of as many.
    bytes.extend_from_slice(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0xc6, 0xff, 0xff, 0xff, 0xff]);
    assert!(Capsule::decode(&bytes).is_err());
}

#[test]
fn equal_answers_have_no_difference_though_a_header_is_not_a_number() {
    assert_eq!(diff(&decisions(), &decisions()), []);
}

#[test]
fn a_difference_says_where_it_is_and_shows_state_as_what_it_says() {
    let was = decisions();
    let mut is = decisions();
    is.messages[0].emissions[0].routing_key = Some("meter.8".to_owned());
    is.states[0] = StateChange::Set(Bytes::from_static(b"\x81\xa1n\x06"));
    is.messages[1].verdict = Verdict::Done;
    let found = diff(&was, &is);
    let told: Vec<String> = found.iter().map(Difference::to_string).collect();
    let told = told.join("\n");
    assert!(
        told.contains("message 0: emissions 0: routing_key\n  was meter.7\n  is  meter.8"),
        "{told}"
    );
    assert!(told.contains("state 0: set: n\n  was 5\n  is  6"), "{told}");
    assert!(told.contains("message 1: verdict"), "{told}");
    assert_eq!(found.len(), 3, "{told}");
}

#[test]
fn a_failure_differs_by_its_words_but_not_by_measured_time() {
    let error = |class, text: &str| {
        Outcome::Failed(CallError { class, text: text.to_owned(), backtrace: Vec::new() })
    };
    let deadline = |text| error(FailureClass::Deadline, text);
    assert!(diff_outcomes(&deadline("used 51 ms"), &deadline("used 57 ms")).is_empty());
    let found = diff_outcomes(&trap(), &error(FailureClass::Trap, "another"));
    assert_eq!(found.len(), 2, "{found:?}");
    let found = diff_outcomes(&trap(), &Outcome::Decided(decisions()));
    assert!(found[0].was.contains("index out of bounds"), "{found:?}");
    assert!(found[0].is.contains("retry later"), "{found:?}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&FORMAT.to_le_bytes());
        file.extend_from_slice(&bytes);
        let _ = Capsule::decode(&file);
        let _ = Capsule::decode(&bytes);
        let _ = unpacked(&bytes);
    }
}
