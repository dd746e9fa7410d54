#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn told(text: &str) -> (String, String, String, String) {
    match of_reply(406, text, "queue 'q'") {
        BrokerError::Mismatch { object, argument, wanted, found } => {
            (object, argument, wanted, found)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mismatch_names_object_argument_and_both_values() {
    let argument = told(
        "PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue 'q' in vhost '/': \
         received none but current is the value '5' of type 'signedint'",
    );
    assert_eq!(argument, ("queue 'q'".into(), "x-max-priority".into(), "none".into(), "5".into()));
    let property = told(
        "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'a in vhost b' in vhost \
         '/': received 'false' but current is 'true'",
    );
    assert_eq!(property.1, "durable");
    assert_eq!((property.2.as_str(), property.3.as_str()), ("false", "true"));
}

#[test]
fn a_mismatch_whose_text_was_cut_is_still_one() {
    let cut = told("PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'a-very-long");
    assert_eq!(cut.1, "type");
    let cut = told(
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received \
         'topic' but curr",
    );
    assert_eq!(cut.0, "exchange 'x'");
}

#[test]
fn an_exclusive_consumer_elsewhere_is_no_lack_of_permission() {
    let text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use";
    assert!(matches!(of_reply(403, text, "q"), BrokerError::Locked(_)));
    let text = "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'";
    assert!(matches!(of_reply(403, text, "q"), BrokerError::Forbidden(_)));
}

#[test]
fn a_refused_publish_names_its_target() {
    let target = |text| publish_target(text).map(|t| (t.exchange, t.routing_key));
    assert_eq!(target("NOT_FOUND - no exchange 'x' in vhost '/'"), Some(("x", None)));
    assert_eq!(
        target("ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'u'"),
        Some(("x", None))
    );
    assert_eq!(
        target("ACCESS_REFUSED - access to topic 'a.b' in exchange 'x' in vhost '/' refused"),
        Some(("x", Some("a.b")))
    );
    assert_eq!(target("NOT_FOUND - no exchange 'xxxxx"), None);
}
