#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use lapin::types::generation::gen_field_table;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = FieldValue> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let leaf = prop_oneof![
        any::<bool>().prop_map(FieldValue::Bool),
        any::<i8>().prop_map(FieldValue::I8),
        any::<u8>().prop_map(FieldValue::U8),
        any::<i16>().prop_map(FieldValue::I16),
        any::<u16>().prop_map(FieldValue::U16),
        any::<i32>().prop_map(FieldValue::I32),
        any::<u32>().prop_map(FieldValue::U32),
        any::<i64>().prop_map(FieldValue::I64),
        (-1e9_f32..1e9).prop_map(FieldValue::F32),
        (-1e9_f64..1e9).prop_map(FieldValue::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| FieldValue::Decimal { scale, value }),
        bytes().prop_map(FieldValue::Text),
        any::<u64>().prop_map(FieldValue::Timestamp),
        bytes().prop_map(FieldValue::Bytes),
        Just(FieldValue::Void),
    ];
    leaf.prop_recursive(3, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(FieldValue::Array),
            table_of(inner).prop_map(FieldValue::Table),
        ]
    })
}

fn table_of(value: impl Strategy<Value = FieldValue>) -> impl Strategy<Value = Table> {
    // Sorted and unique names: the library's own order.
    prop::collection::btree_map("[a-z]{1,8}", value, 0..5)
        .prop_map(|fields| Table(fields.into_iter().collect()))
}

proptest! {
    #[test]
    fn every_table_comes_back_as_it_was(table in table_of(value())) {
        prop_assert_eq!(from_table(&to_table(&table).unwrap()), table);
    }

    #[test]
    fn a_tables_size_is_what_the_library_writes(table in table_of(value())) {
        let theirs = to_table(&table).unwrap();
        let written = gen_field_table::<Vec<u8>>(&theirs)(Vec::new().into()).unwrap();
        prop_assert_eq!(written.write.len(), table.wire_bytes());
    }
}

#[test]
fn every_property_comes_back_as_it_was() {
    let text = |t: &str| Some(t.to_owned());
    let ours = Properties {
        content_type: text("application/json"),
        content_encoding: text("gzip"),
        headers: [("a", 1)].into_iter().collect(),
        delivery_mode: Some(1),
        priority: Some(7),
        correlation_id: text("c"),
        reply_to: text("r"),
        expiration: text("1000"),
        message_id: text("m"),
        timestamp: Some(1_700_000_000),
        kind: text("reading"),
        user_id: text("guest"),
        app_id: text("app"),
        cluster_id: text("cl"),
    };
    assert_eq!(from_properties(&to_properties(&ours).unwrap()), ours);
    assert_eq!(from_properties(&BasicProperties::default()), Properties::default());
}

#[test]
fn a_text_that_is_too_long_is_named_instead_of_a_panic() {
    let ours = Properties { message_id: Some("x".repeat(256)), ..Properties::default() };
    let error = to_properties(&ours).unwrap_err().to_string();
    assert!(error.contains("message id has 256 bytes"), "{error}");
    let table: Table = [("n".repeat(300), true)].into_iter().collect();
    assert!(to_table(&table).unwrap_err().to_string().contains("header"));
}
