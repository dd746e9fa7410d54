#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use proptest::prelude::*;

fn field(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![u8::try_from(name.len()).unwrap()];
    out.extend_from_slice(name.as_bytes());
    out.push(b'S');
    out.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
    out.extend_from_slice(value.as_bytes());
    out
}

fn start(fields: &[Vec<u8>]) -> Vec<u8> {
    let fields = fields.concat();
    let mut frame = START.to_vec();
    frame.extend_from_slice(&u32::try_from(fields.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&fields);
    frame.extend_from_slice(b"\0\0\0\x05PLAIN\0\0\0\x05en_US");
    frame.push(FRAME_END);
    frame
}

#[test]
fn the_greeting_tells_product_and_version() {
    let server =
        parse(&start(&[field("product", "RabbitMQ"), field("version", "3.10.8")])).unwrap();
    assert_eq!(server.product, "RabbitMQ");
    assert_eq!(server.version, Version { major: 3, minor: 10, patch: 8 });
    let error = parse(&start(&[field("product", "Other")])).unwrap_err().to_string();
    assert!(error.contains("`version`"), "{error}");
}

#[test]
fn versions_are_read_leniently() {
    let version = |text| parse_version(text).map(|v| v.to_string());
    assert_eq!(version("4.0.0-rc.1").as_deref(), Some("4.0.0"));
    assert_eq!(version("4.1").as_deref(), Some("4.1.0"));
    assert_eq!(version("3.13.7+2").as_deref(), Some("3.13.7"));
    assert_eq!(version("unknown"), None);
}

proptest! {
    #[test]
    fn no_greeting_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _any = parse(&bytes);
        let mut frame = START.to_vec();
        frame.extend_from_slice(&bytes);
        frame.push(FRAME_END);
        let _any = parse(&frame);
    }
}
