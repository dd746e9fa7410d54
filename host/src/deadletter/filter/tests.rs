#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn report() -> Report {
    Report {
        id: "0123abcd".to_owned(),
        message_id: Some("m-7".to_owned()),
        class: "reject".to_owned(),
        code: "bad_unit".to_owned(),
        text: "The unit 'furlong' is unknown".to_owned(),
        plugin: Some("validate".to_owned()),
        pipeline: "readings".to_owned(),
        queue: "meters.readings".to_owned(),
        routing_key: "meter.north.7".to_owned(),
        fingerprint: "feedbeef".to_owned(),
        failed_at: 1000,
        headers: [("region".to_owned(), "north".into()), ("n".to_owned(), 7.into())].into(),
        ..Report::default()
    }
}

#[test]
fn all_that_is_said_must_hold() {
    let some = |text: &str| Some(text.to_owned());
    let list = |text: &str| vec![text.to_owned()];
    let header = |value: &str| vec![("n".to_owned(), value.to_owned())];
    let none = Filter::default;
    let good = [
        none(),
        Filter { ids: list("0123"), ..none() },
        Filter { ids: list("m-7"), ..none() },
        Filter { codes: vec!["x".to_owned(), "bad_unit".to_owned()], ..none() },
        Filter { plugins: list("validate"), classes: list("reject"), ..none() },
        Filter { routing_key: some("meter.*.#"), ..none() },
        Filter { headers: header("7"), ..none() },
        Filter { since: Some(1000), until: Some(1001), ..none() },
        Filter { text: vec!["FURLONG".to_owned(), "unit".to_owned()], ..none() },
        Filter { fingerprint: some("feed"), ..none() },
    ];
    for filter in &good {
        assert!(filter.matches(&report()), "{filter:?}");
    }
    let bad = [
        Filter { ids: list("123a"), ..none() },
        Filter { codes: list("bad"), ..none() },
        Filter { queues: list("other"), ..none() },
        Filter { pipelines: list("other"), ..none() },
        Filter { routing_key: some("meter.*"), ..none() },
        Filter { headers: header("8"), ..none() },
        Filter { since: Some(1001), ..none() },
        Filter { until: Some(1000), ..none() },
        Filter { text: vec!["unit".to_owned(), "mile".to_owned()], ..none() },
        Filter { fingerprint: some("beef"), ..none() },
    ];
    for filter in &bad {
        assert!(!filter.matches(&report()) && !filter.is_empty(), "{filter:?}");
    }
}

#[test]
fn a_time_is_an_age_or_a_date() {
    assert_eq!(point_in_time("2h", 10_000), Ok(2800));
    assert_eq!(point_in_time("1970-01-01T00:00:09Z", 10_000), Ok(9));
    assert!(point_in_time("yesterday", 0).unwrap_err().contains("90s"));
}

#[test]
fn an_age_is_short() {
    let ages = [5, 65, 3600, 3900, 86_400, 90_000, 900_000].map(age);
    assert_eq!(ages, ["5s", "1m", "1h", "1h 5m", "1d", "1d 1h", "10d"]);
}
