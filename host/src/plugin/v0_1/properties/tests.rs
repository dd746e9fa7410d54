//! Every set of properties survives the crossing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::plugin::v0_1::table::tests::any_table;

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(".{0,60}")
}

fn any_properties() -> impl Strategy<Value = Properties> {
    let numbers = (any::<Option<u8>>(), any::<Option<u8>>(), any::<Option<u64>>());
    let first = (text(), text(), text(), text(), text());
    let second = (text(), text(), text(), text(), text());
    (any_table(), numbers, first, second).prop_map(|(headers, n, a, b)| Properties {
        content_type: a.0,
        content_encoding: a.1,
        headers,
        delivery_mode: n.0,
        priority: n.1,
        correlation_id: a.2,
        reply_to: a.3,
        expiration: a.4,
        message_id: b.0,
        timestamp: n.2,
        kind: b.1,
        user_id: b.2,
        app_id: b.3,
        cluster_id: b.4,
    })
}

proptest! {
    #[test]
    fn every_set_of_properties_survives_the_crossing(properties in any_properties()) {
        let mut blob = Vec::new();
        encode(&properties, &mut blob).unwrap();
        let back = decode(&blob.into(), &mut Budget::new(1 << 20)).unwrap();
        prop_assert_eq!(back, properties);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(blob in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode(&blob.into(), &mut Budget::new(1 << 20));
    }
}

#[test]
fn the_blob_is_what_amqp_has() {
    let properties = Properties {
        content_type: Some("a/b".to_owned()),
        priority: Some(9),
        timestamp: Some(1),
        ..Properties::default()
    };
    let mut blob = Vec::new();
    encode(&properties, &mut blob).unwrap();
    assert_eq!(blob, [0b1000_1000, 0b0100_0000, 3, b'a', b'/', b'b', 9, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn flags_and_bytes_that_amqp_has_not_are_refused() {
    let error = decode(&vec![0, 1].into(), &mut Budget::new(100)).unwrap_err();
    assert!(error.0.contains("flags"), "{error:?}");
    let error = decode(&vec![0, 0, 7].into(), &mut Budget::new(100)).unwrap_err();
    assert!(error.0.contains("1 bytes follow"), "{error:?}");
}
