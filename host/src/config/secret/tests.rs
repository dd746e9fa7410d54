#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

/// What credentials in a file of that text come to.
fn read(text: &str) -> Result<(String, String), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rabbitmq.credentials");
    std::fs::write(&file, text).unwrap();
    let login = Credentials::Kept(Secret::File(file)).read()?;
    Ok((login.user, login.password))
}

#[test]
fn credentials_are_one_line_of_a_user_a_colon_and_a_password() {
    let both = |user: &str, password: &str| Ok((user.to_owned(), password.to_owned()));
    assert_eq!(read("meters:with:colons\r\n"), both("meters", "with:colons"));
    assert_eq!(read("meters: with blanks "), both("meters", " with blanks "));
    assert_eq!(read("meters:"), both("meters", ""), "where certificates prove who it is");
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    for (text, why) in [
        ("hunter2", "doesn't hold `user:password`"),
        (":hunter2", "doesn't hold `user:password`"),
        ("meters:hunter2\nmeters:hunter3\n", "doesn't hold one line of text"),
        ("\n", "doesn't hold one line of text"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains("rabbitmq.credentials") && error.ends_with(why), "{error}");
        assert!(!error.contains("hunter"), "{error}");
    }
    let error = Secret::File("/nowhere/at/all".into()).read().unwrap_err();
    assert!(error.contains("/nowhere/at/all"), "{error}");
    let error = Secret::Env("SLUICEGATE_UNSET_EVER".to_owned()).read().unwrap_err();
    assert!(error.contains("the environment variable SLUICEGATE_UNSET_EVER"), "{error}");
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let inline = Credentials::Inline(Login::new("meters", "hunter2"));
    let written = Secret::Inline("hunter2".to_owned());
    let shown = format!("{inline:?} {written:?} {written}");
    assert_eq!(shown, "Inline(Login(meters:…)) Inline(…) the text in the config");
}
