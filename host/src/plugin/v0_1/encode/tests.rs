//! What a batch looks like in the index.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::borrow::Cow;

use super::*;
use crate::message::Properties;

fn input<'a>(properties: &'a Properties, body: &'a [u8]) -> Input<'a> {
    Input {
        exchange: "meters",
        routing_key: "meter.7",
        key: Some("7"),
        properties,
        body,
        attempt: 3,
        seed: [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0],
        slot: Some(0),
        row: None,
        due_us: None,
    }
}

fn at(encoder: &Encoder, word: usize) -> &[u8] {
    let start = encoder.index[word] as usize;
    &encoder.arena[start..start + encoder.index[word + 1] as usize]
}

#[test]
fn a_batch_lies_where_the_layout_says() {
    let properties = Properties { priority: Some(1), ..Properties::default() };
    let messages = [
        input(&properties, b"first"),
        Input {
            key: None,
            slot: None,
            body: b"",
            due_us: Some((9 << 32) | 8),
            ..input(&properties, b"")
        },
    ];
    let states = [
        StateSlot { bytes: Some(Cow::Borrowed(b"state")), generation: (5 << 32) | 6 },
        StateSlot { bytes: None, generation: 0 },
    ];
    let mut encoder = Encoder::default();
    encoder.encode(&Batch { now_us: 1, messages: &messages, states: &states }).unwrap();

    assert_eq!(encoder.index[..10], [1, 16, 2, 20, 56, 2, 4, 0, 0, 0]);
    assert_eq!(encoder.index[10..16], [0; 6]);
    assert_eq!(encoder.index.len(), 16 + 2 * 20 + 2 * 4);
    assert_eq!(at(&encoder, 16), b"first");
    assert_eq!(at(&encoder, 18), b"meters");
    assert_eq!(at(&encoder, 20), b"meter.7");
    assert_eq!(at(&encoder, 22), b"7");
    assert_eq!(at(&encoder, 24), [0b0000_1000, 0, 1]);
    assert_eq!(encoder.index[26..32], [0, 3, 1, 2, 3, 4]);
    assert_eq!(encoder.index[32..36], [NONE, 0, 0, 0]);
    assert_eq!(at(&encoder, 36), b"");
    assert_eq!(encoder.index[42..44], [NONE, 0]);
    assert_eq!(encoder.index[46], NONE);
    assert_eq!(encoder.index[54..56], [8, 9]);
    assert_eq!(at(&encoder, 56), b"state");
    assert_eq!(encoder.index[58..60], [6, 5]);
    assert_eq!(encoder.index[60..64], [NONE, 0, 0, 0]);
}

#[test]
fn neighbours_share_the_names_they_have_in_common() {
    let properties = Properties::default();
    let other = Input { routing_key: "meter.8", ..input(&properties, b"b") };
    let messages = [input(&properties, b"a"), input(&properties, b"b"), other];
    let mut encoder = Encoder::default();
    encoder.encode(&Batch { now_us: 1, messages: &messages, states: &[] }).unwrap();

    assert_eq!(encoder.index[18..22], encoder.index[38..42]);
    assert_eq!(encoder.index[18..20], encoder.index[58..60]);
    assert_eq!(at(&encoder, 60), b"meter.8");
}

#[test]
fn the_row_of_a_key_is_written_once() {
    let properties = Properties::default();
    let row = b"row".to_vec();
    let with_row = |body| Input { row: Some(&row), ..input(&properties, body) };
    let messages = [with_row(b"a"), input(&properties, b"b"), with_row(b"c")];
    let mut encoder = Encoder::default();
    encoder.encode(&Batch { now_us: 1, messages: &messages, states: &[] }).unwrap();

    assert_eq!(at(&encoder, 32), b"row");
    assert_eq!(encoder.index[32..34], encoder.index[72..74]);
    assert_eq!(encoder.index[52..54], [NONE, 0]);
    assert_eq!(encoder.arena.windows(3).filter(|bytes| *bytes == b"row").count(), 1);
}

#[test]
fn a_message_that_cannot_be_encoded_is_named_by_its_place() {
    let fine = Properties::default();
    let broken = Properties { kind: Some("k".repeat(300)), ..Properties::default() };
    let messages = [input(&fine, b""), input(&broken, b"")];
    let batch = Batch { now_us: 1, messages: &messages, states: &[] };
    let error = Encoder::default().encode(&batch).unwrap_err();
    assert!(error.0.starts_with("message 1 of the batch: "), "{error:?}");
}
