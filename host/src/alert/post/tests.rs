#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use super::*;
use crate::config::Secret;

fn webhook(url: &str, format: WebhookFormat) -> Webhook {
    let url = Secret::Inline(url.to_owned());
    Webhook { url, format, headers: BTreeMap::new(), ca: None }
}

#[test]
fn alertmanager_is_asked_at_its_own_path_wherever_it_is_mounted() {
    for (given, asked) in [
        ("http://am:9093", "http://am:9093/api/v2/alerts"),
        ("http://am:9093/", "http://am:9093/api/v2/alerts"),
        ("http://am/alerts/", "http://am/alerts/api/v2/alerts"),
        ("http://am/api/v2/alerts", "http://am/api/v2/alerts"),
    ] {
        let url = address(&webhook(given, WebhookFormat::Alertmanager)).unwrap();
        assert_eq!(url.as_str(), asked);
    }
    let url = address(&webhook("http://am/hook", WebhookFormat::Webhook)).unwrap();
    assert_eq!(url.as_str(), "http://am/hook");
}

#[test]
fn what_an_answer_says_decides_whether_it_is_tried_again() {
    assert_eq!(judge("h", 200), Attempt::Sent);
    assert_eq!(judge("h", 202), Attempt::Sent);
    for status in [408, 429, 500, 503] {
        assert!(matches!(judge("h", status), Attempt::Again(_)), "{status}");
    }
    for status in [301, 400, 401, 404, 413] {
        assert!(matches!(judge("h", status), Attempt::Never(_)), "{status}");
    }
}

#[test]
fn no_error_tells_the_path_of_an_address_or_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "Bearer hunter2\n\u{7}\n").unwrap();
    let mut hook = webhook("http://127.0.0.1:1/hooks/hunter2", WebhookFormat::Webhook);
    let Attempt::Again(refused) = attempt(&hook, &Value::Null) else { panic!("nobody listens") };
    assert!(
        refused.starts_with("http://127.0.0.1:1: ") && !refused.contains("hunter2"),
        "{refused}"
    );
    hook.headers.insert("Authorization".to_owned(), Secret::File(token));
    let Attempt::Again(header) = attempt(&hook, &Value::Null) else { panic!("no header") };
    assert!(header.contains("token") && !header.contains("hunter2"), "{header}");
    let nowhere = address(&webhook("hunter2", WebhookFormat::Webhook)).unwrap_err();
    assert!(!nowhere.contains("hunter2"), "{nowhere}");
}
