use serde_json::json;

use super::*;

#[test]
fn a_line_for_people_says_what_became_of_the_message_and_moves_no_cursor() {
    let line = json!({
        "at_us": 1_700_000_000_123_000_i64, "routing_key": "meter.7\u{1b}[2J", "key": "7",
        "stage": 1, "plugin": "anomaly", "attempt": 2, "body": { "kw": 3 },
        "headers": [["meter", { "text": "7" }], ["tries", { "u8": 2 }]],
        "decision": { "verdict": "reject", "code": "broken", "text": "no kw",
            "emissions": [{ "output": "alerts", "routing_key": "high", "body_bytes": 12 }] },
        "state_before": { "bytes": 3, "value": { "n": 4 } }, "skipped": 9,
    });
    let said = told(&line);
    assert!(said.starts_with("22:13:20.123  meter.7"), "{said}");
    assert!(said.contains("stage 1 anomaly, attempt 2 → reject broken no kw"), "{said}");
    assert!(said.contains("body    {\"kw\":3}") && said.contains("had     {\"n\":4}"), "{said}");
    assert!(said.contains("emits   alerts high: 12 bytes") && said.contains("9 more"), "{said}");
    assert!(said.contains("headers meter: 7, tries: 2"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
    assert!(told(&json!({ "lost": 12 })).contains("12 lines lost"));
}

#[test]
fn a_share_is_a_share() {
    assert_eq!(share("0.1"), Ok(0.1));
    assert!(share("0").is_err() && share("2").is_err() && share("nan").is_err());
}
