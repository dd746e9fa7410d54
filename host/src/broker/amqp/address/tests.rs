#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

#[test]
fn an_address_is_shown_without_credentials() {
    let address = Address::parse("amqp://user:secret@broker:5673/orders").unwrap();
    assert_eq!(address.to_string(), r#"amqp://broker:5673 (virtual host "orders")"#);
    let error = Address::parse("http://user:secret@broker").unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn an_ipv6_address_is_not_localhost() {
    let address = Address::parse("amqps://[fe80::1]/%2f").unwrap();
    assert_eq!((address.host(), address.port(), address.is_tls()), ("fe80::1", 5671, true));
    assert_eq!(address.to_string(), r#"amqps://[fe80::1]:5671 (virtual host "/")"#);
}
