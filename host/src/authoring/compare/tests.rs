#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::message::Properties;
use crate::plugin::CallError;
use crate::verdict::{Decision, Emission, Verdict as Decided};

fn decided(verdict: Decided) -> Ended {
    let mut properties = Properties::default();
    properties.headers.set("level", "high");
    let emission = Emission {
        output: "alerts".into(),
        routing_key: Some("hot".into()),
        properties,
        body: Some(Bytes::from_static(b"{ \"n\": 1 }")),
    };
    Ended::Decided(Decision { verdict, emissions: vec![emission] })
}

fn found(expect: &str, ended: Ended) -> Vec<String> {
    let text = format!("[[call]]\n[[call.message]]\nexpect = {expect}\n");
    let case = Case::from_toml(&text).unwrap();
    let call = RanCall { messages: vec![ended], ..RanCall::default() };
    let found = differences(&case, &Ran { calls: vec![call] });
    found.iter().map(|d| d.place.trim_start_matches("call 1, message 1, ").to_owned()).collect()
}

#[test]
fn what_is_said_must_be_so_and_nothing_else_may_be_emitted() {
    let good = r#"{ verdict = "done", emit = [{ output = "alerts", body.json = { n = 1.0 } }] }"#;
    assert!(found(good, decided(Decided::Done)).is_empty());
    assert_eq!(found(r#"{ verdict = "done" }"#, decided(Decided::Done)), ["emit 1"]);
    assert_eq!(found(r#"{ verdict = "next" }"#, decided(Decided::Done)), ["verdict"]);
    let all = r#"{ verdict = "done", emit = [{ output = "alerts", routing_key = "cold",
                   headers = { level = "low" }, properties.type = "x", body.json = { n = 2 } },
                   { output = "more" }] }"#;
    let all = all.replace('\n', " ");
    let places = [
        "emit 1, routing_key",
        "emit 1, headers, 'level'",
        "emit 1, type",
        "emit 1, body",
        "emit 2",
    ];
    assert_eq!(found(&all, decided(Decided::Done)), places);
}

#[test]
fn a_failed_call_is_a_verdict_too() {
    let error = CallError {
        class: FailureClass::Trap,
        text: "panicked at src/lib.rs:3: no".into(),
        backtrace: Vec::new(),
    };
    let failed = || Ended::Failed(error.clone());
    assert!(found(r#"{ verdict = "trap", text = "lib.rs:3" }"#, failed()).is_empty());
    assert_eq!(found(r#"{ verdict = "trap", text = "lib.rs:4" }"#, failed()), ["text"]);
    assert_eq!(found(r#"{ verdict = "next" }"#, failed()), ["verdict"]);
}

#[test]
fn state_is_compared_where_it_is_named() {
    let case = Case::from_toml(
        "[[call]]\n[[call.message]]\n[[call.state]]\nkey = \"a\"\nvalue.msgpack = [1]\n\
         [[call.state]]\nkey = \"b\"\n",
    )
    .unwrap();
    let state = |value| Some(Bytes::from(rmp_serde::to_vec(&json!([value])).unwrap()));
    let mut call = RanCall { messages: vec![decided(Decided::Done)], ..RanCall::default() };
    call.states.insert("a".into(), state(1));
    call.states.insert("c".into(), state(3));
    let ran = |call: &RanCall| differences(&case, &Ran { calls: vec![call.clone()] });
    assert!(ran(&call).is_empty());
    call.states.insert("a".into(), state(2));
    call.states.insert("b".into(), state(2));
    let found = ran(&call);
    let got: Vec<_> = found.iter().map(|d| (d.expected.as_deref(), d.got.as_deref())).collect();
    assert_eq!(got, [(Some("msgpack [1]"), Some("msgpack [2]")), (None, Some("msgpack [2]"))]);
    call.impure = true;
    assert!(ran(&call)[0].got.as_deref().unwrap().starts_with("impure"));
}
