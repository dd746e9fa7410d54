use super::{HeadersMatch, headers_match, topic_matches};
use crate::message::{FieldValue, Table};

#[test]
fn a_topic_pattern_matches_words() {
    let cases = [
        ("meter.7.reading", "meter.7.reading", true),
        ("meter.*.reading", "meter.7.reading", true),
        ("meter.*.reading", "meter.7.8.reading", false),
        ("meter.*", "meter", false),
        ("meter.*", "meter.", true),
        ("meter.#", "meter", true),
        ("meter.#", "meter.7.reading", true),
        ("meter.#", "meters", false),
        ("#", "", true),
        ("#", "a.b.c", true),
        ("*", "", false),
        ("*", "a", true),
        ("*", "a.b", false),
        ("", "", true),
        ("", "a", false),
        ("#.reading", "reading", true),
        ("#.reading", "a.reading.b.reading", true),
        ("#.reading", "a.reading.b", false),
        ("#.a.#.b.#", "x.a.y.z.b.w", true),
        ("#.a.#.b.#", "x.b.y.a.z", false),
        ("*.#.*", "a", false),
        ("*.#.*", "a.b", true),
        ("#.#", "", true),
        ("a.#.#.b", "a.b", true),
        ("a..b", "a..b", true),
        ("a.*.b", "a..b", true),
        ("me*", "meter", false),
    ];
    for (pattern, key, expected) in cases {
        assert_eq!(topic_matches(pattern, key), expected, "pattern '{pattern}', key '{key}'");
    }
}

#[test]
fn a_hostile_pattern_ends_soon() {
    let pattern = "#.a.".repeat(60) + "b";
    let key = "a.".repeat(126) + "c";
    assert!(!topic_matches(&pattern, &key));
}

fn table(fields: &[(&str, FieldValue)]) -> Table {
    fields.iter().map(|(name, value)| (*name, value.clone())).collect()
}

#[test]
fn header_arguments_match_all_or_any_of_the_headers() {
    let headers = table(&[
        ("severity", "high".into()),
        ("region", FieldValue::I64(4)),
        ("x-tariff", "night".into()),
    ]);
    let cases: [(&[(&str, FieldValue)], bool); 14] = [
        (&[], true),
        (&[("x-match", "any".into())], false),
        (&[("severity", "high".into()), ("region", FieldValue::I32(4))], true),
        (&[("severity", "high".into()), ("region", FieldValue::I32(5))], false),
        (&[("x-match", "any".into()), ("severity", "low".into()), ("region", 4.into())], true),
        (&[("x-match", "any".into()), ("severity", "low".into()), ("region", 5.into())], false),
        (&[("severity", FieldValue::Void)], true),
        (&[("absent", FieldValue::Void)], false),
        (&[("region", "4".into())], false),
        (&[("region", FieldValue::F64(4.0))], false),
        // Arguments named `x-…` count only where `x-match` says so.
        (&[("x-tariff", "day".into())], true),
        (&[("x-match", "all-with-x".into()), ("x-tariff", "day".into())], false),
        (&[("x-match", "any-with-x".into()), ("x-tariff", "night".into())], true),
        (&[("x-match", "most".into()), ("severity", "high".into())], false),
    ];
    for (arguments, expected) in cases {
        assert_eq!(headers_match(&table(arguments), &headers), expected, "{arguments:?}");
    }
}

#[test]
fn an_unknown_x_match_is_told_apart_from_the_default() {
    assert_eq!(HeadersMatch::of(&Table::default()), Some(HeadersMatch::All));
    assert_eq!(HeadersMatch::of(&table(&[("x-match", "some".into())])), None);
    assert_eq!(HeadersMatch::of(&table(&[("x-match", FieldValue::Bool(true))])), None);
}
