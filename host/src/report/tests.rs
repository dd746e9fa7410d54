#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::verdict::{FailedStage, FailureClass};

fn failure(text: &str) -> Failure {
    Failure {
        class: FailureClass::Reject,
        code: "negative_energy".to_owned(),
        text: text.to_owned(),
        stage: Some(FailedStage {
            index: 0,
            plugin: "validate".to_owned(),
            digest: "d".to_owned(),
            tables: BTreeMap::new(),
        }),
        backtrace: Vec::new(),
        retry_after: None,
    }
}

#[test]
fn what_differs_from_message_to_message_is_no_part_of_a_fingerprint() {
    let one = fingerprint("readings", &failure("meter 'm-17' sent -4.5 kWh at 10:15"));
    let other = fingerprint("readings", &failure("meter 'm-90001' sent -0.25 kWh at 23:45"));
    assert_eq!(one, other);
    assert_eq!(one.len(), FINGERPRINT_DIGITS);
}

#[test]
fn another_cause_pipeline_or_frame_has_another_fingerprint() {
    let text = failure("meter 'm-17' sent -4.5 kWh");
    let mut trapped = text.clone();
    trapped.backtrace = vec!["meter_validate::check".to_owned(), "process".to_owned()];
    let mut elsewhere = trapped.clone();
    elsewhere.backtrace[0] = "meter_validate::decode".to_owned();
    let all = [
        fingerprint("readings", &text),
        fingerprint("events", &text),
        fingerprint("readings", &failure("meter 'm-17' is unknown")),
        fingerprint("readings", &trapped),
        fingerprint("readings", &elsewhere),
    ];
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn an_apostrophe_is_no_quote_and_a_lonely_quote_hides_nothing() {
    assert_eq!(outline("can't read 12 of x9, isn't it"), "can't read # of #, isn't it");
    assert_eq!(outline("cut at 12, of 'abc' left \"so"), "cut at #, of … left \"so");
    assert_eq!(outline("größe '7 µm' zu groß"), "größe … zu groß");
}

#[test]
fn a_letter_is_told_by_every_part_and_by_where_parts_end() {
    let plain = letter("q", "ex", "key", Some("id"), b"body");
    assert_eq!(plain, letter("q", "ex", "key", Some("id"), b"body"));
    for other in [
        letter("r", "ex", "key", Some("id"), b"body"),
        letter("q", "e", "xkey", Some("id"), b"body"),
        letter("q", "ex", "key", None, b"body"),
        letter("q", "ex", "key", Some("id"), b"other"),
    ] {
        assert_ne!(plain, other);
    }
}

#[test]
fn a_report_repeats_scalar_headers_within_bounds() {
    let mut table = Table::default();
    table.set("meter", "m-1");
    table.set("long", "é".repeat(HEADER_BYTES));
    table.set("count", 7_i32);
    table.set("nested", FieldValue::Table(Table::default()));
    let headers = headers(&table);
    assert_eq!(headers["meter"], "m-1");
    assert_eq!(headers["count"], 7);
    assert_eq!(headers["long"].as_str().map(str::len), Some(HEADER_BYTES));
    assert!(!headers.contains_key("nested"));
}

#[test]
fn a_report_of_another_release_is_read_as_far_as_it_goes() {
    let report: Report =
        serde_json::from_str(r#"{"id":"a","class":"trap","from_the_future":1}"#).unwrap();
    assert_eq!((report.id.as_str(), report.class.as_str()), ("a", "trap"));
    assert_eq!(report.replay_count, 0);
}
