#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use std::io::Write as _;

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

#[test]
fn credentials_are_read_from_the_first_line_of_a_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "meters:with:colons\r").unwrap();
    let login = Login::read(&Credentials::File(file.path().to_owned())).unwrap();
    assert_eq!((login.user.as_str(), login.password.as_str()), ("meters", "with:colons"));
}

#[test]
fn what_is_wrong_with_credentials_is_said_without_them() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "justsecret").unwrap();
    let error = Login::read(&Credentials::File(file.path().to_owned())).err().unwrap().to_string();
    assert!(error.contains("user:password") && !error.contains("justsecret"), "{error}");
    let error = Login::read(&Credentials::File("/nowhere/at/all".into())).err().unwrap();
    assert!(error.to_string().contains("/nowhere/at/all"));
    let error = Login::read(&Credentials::Env("SLUICEGATE_UNSET_EVER".into())).err().unwrap();
    assert!(error.to_string().contains("SLUICEGATE_UNSET_EVER"));
}
