#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{Scope, Template};
use crate::publish::record::{Format, Record, Records};

fn record(line: &'static str) -> Record {
    let input = Box::new(line.as_bytes());
    Records::new(input, Format::Jsonl, None, true, Arc::new(AtomicU64::new(0)))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
}

fn render(template: &Result<Template, String>, line: &'static str) -> Result<String, String> {
    let record = record(line);
    let computed = [("ts".to_owned(), "2006-12-16".to_owned())];
    let scope = Scope { record: &record, computed: &computed, seq: 42, copy: 7, pass: 1 };
    let mut out = String::new();
    template.as_ref().map_err(Clone::clone)?.render(&scope, &mut out).map(|()| out)
}

fn check(template: &str, line: &'static str, expected: &str) {
    assert_eq!(render(&Template::text(template), line).unwrap(), expected, "{template}");
}

#[test]
fn fields_and_counters_are_filled_in() {
    check("meter.{region}.m-{copy:03}", r#"{"region":"north"}"#, "meter.north.m-007");
    check("{seq}/{line}/{pass}/{ts}", "{}", "42/1/1/2006-12-16");
    check("{a.b}{a.c.d}", r#"{"a":{"b":1,"c":{"d":null}}}"#, "1null");
    check("{a.b}", r#"{"a.b":"whole","a":{"b":"path"}}"#, "whole");
    check("{.seq} {Power Factor}", r#"{"seq":9,"Power Factor":0.9}"#, "9 0.9");
    check("{{literal} }", "{}", "{literal} }");
}

#[test]
fn a_uuid_is_of_version_4_and_another_each_time() {
    let uuid = || render(&Template::text("{uuid}"), "{}").unwrap();
    let (one, other) = (uuid(), uuid());
    assert_ne!(one, other);
    assert_eq!(one.len(), 36);
    assert_eq!(one.as_bytes()[14], b'4');
    assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
}

#[test]
fn in_json_numbers_stay_numbers_and_text_is_escaped() {
    let template = Template::json(
        r#"{"meter":"m-{copy}","kwh":{kwh},"name":{name},"say":"<{name}>","o":{"n":[{seq}]},"e":{}}"#,
    );
    let json = render(&template, r#"{"kwh":0.25,"name":"a\"b\\"}"#).unwrap();
    assert_eq!(
        json,
        r#"{"meter":"m-7","kwh":0.25,"name":"a\"b\\","say":"<a\"b\\>","o":{"n":[42]},"e":{}}"#
    );
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
}

#[test]
fn a_quote_that_is_escaped_does_not_end_a_string() {
    let template = Template::json(r#"{"a":"\"{seq}\""}"#);
    assert_eq!(render(&template, "{}").unwrap(), r#"{"a":"\"42\""}"#);
}

#[test]
fn an_unknown_field_is_answered_with_those_there_are() {
    let error = render(&Template::text("{regoin}"), r#"{"meter":1,"region":2}"#).unwrap_err();
    assert!(error.starts_with("no field 'regoin'; this record has: ts, meter, region;"), "{error}");
}

#[test]
fn a_template_that_makes_no_sense_is_refused_when_it_is_parsed() {
    let refused = |template: Result<Template, String>, part: &str| {
        let error = template.unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    refused(Template::text("a {b"), "no closing brace");
    refused(Template::text("{}"), "names nothing");
    refused(Template::text("{n:099}"), "pad to 32");
    refused(Template::json(r#"{"a":{b:03}}"#), "isn't JSON");
    refused(Template::json(r#"{"a":{b}"#), "can't become JSON");
    refused(Template::json(r#"{"a":m-{b}}"#), "can't become JSON");
}
