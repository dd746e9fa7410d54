//! Every table survives the crossing; nothing that a plugin writes makes the decoder panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// Values of every type, tables and arrays nested a few deep.
pub(in crate::plugin::v0_1) fn any_value() -> impl Strategy<Value = FieldValue> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(FieldValue::Bool),
        any::<i8>().prop_map(FieldValue::I8),
        any::<u8>().prop_map(FieldValue::U8),
        any::<i16>().prop_map(FieldValue::I16),
        any::<u16>().prop_map(FieldValue::U16),
        any::<i32>().prop_map(FieldValue::I32),
        any::<u32>().prop_map(FieldValue::U32),
        any::<i64>().prop_map(FieldValue::I64),
        prop::num::f32::NORMAL.prop_map(FieldValue::F32),
        prop::num::f64::NORMAL.prop_map(FieldValue::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| FieldValue::Decimal { scale, value }),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| FieldValue::Text(v.into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| FieldValue::Bytes(v.into())),
        any::<u64>().prop_map(FieldValue::Timestamp),
        Just(FieldValue::Void),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(FieldValue::Array),
            prop::collection::vec((".{0,20}", inner), 0..6)
                .prop_map(|fields| FieldValue::Table(Table(fields))),
        ]
    })
}

/// Tables of such values.
pub(in crate::plugin::v0_1) fn any_table() -> impl Strategy<Value = Table> {
    prop::collection::vec((".{0,20}", any_value()), 0..8).prop_map(Table)
}

fn nested(levels: usize) -> Table {
    (1..levels)
        .fold(Table::default(), |inner, _| Table(vec![("in".to_owned(), FieldValue::Table(inner))]))
}

proptest! {
    #[test]
    fn every_table_survives_the_crossing(table in any_table()) {
        let mut blob = Vec::new();
        encode(&table, &mut blob).unwrap();
        let back = decode(&blob.into(), &mut Budget::new(1 << 20)).unwrap();
        prop_assert_eq!(back, table);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(blob in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&blob.into(), &mut Budget::new(1 << 20));
    }

    #[test]
    fn a_flipped_byte_is_read_or_refused(
        table in any_table(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut blob = Vec::new();
        encode(&table, &mut blob).unwrap();
        let at = at.index(blob.len());
        blob[at] = byte;
        let _ = decode(&blob.into(), &mut Budget::new(1 << 20));
    }
}

#[test]
fn sixteen_levels_are_allowed_and_seventeen_are_not() {
    let mut blob = Vec::new();
    encode(&nested(16), &mut blob).unwrap();
    assert_eq!(decode(&blob.into(), &mut Budget::new(1 << 20)).unwrap(), nested(16));

    let error = encode(&nested(17), &mut Vec::new()).unwrap_err();
    assert!(error.0.contains("nest deeper than 16"), "{error:?}");

    let mut blob = Vec::new();
    for _ in 0..17 {
        let mut outer = vec![0, b'F'];
        outer.extend_from_slice(&u32::try_from(blob.len()).unwrap().to_be_bytes());
        outer.append(&mut blob);
        blob = outer;
    }
    let mut whole = u32::try_from(blob.len()).unwrap().to_be_bytes().to_vec();
    whole.append(&mut blob);
    let error = decode(&whole.into(), &mut Budget::new(1 << 20)).unwrap_err();
    assert!(error.0.contains("nest deeper than 16"), "{error:?}");
}

#[test]
fn a_table_that_unfolds_past_the_budget_is_refused() {
    let voids = vec![FieldValue::Void; 10_000];
    let table = Table(vec![("voids".to_owned(), FieldValue::Array(voids))]);
    let mut blob = Vec::new();
    encode(&table, &mut blob).unwrap();
    let error = decode(&blob.into(), &mut Budget::new(100_000)).unwrap_err();
    assert!(error.0.contains("unfolds to more than 100000 bytes"), "{error:?}");
}

#[test]
fn a_name_longer_than_a_short_string_is_refused() {
    let table = Table(vec![("n".repeat(256), FieldValue::Void)]);
    let error = encode(&table, &mut Vec::new()).unwrap_err();
    assert!(error.0.contains("has 256 bytes"), "{error:?}");
}
