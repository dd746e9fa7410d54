#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::message::{FieldValue, Table};

#[test]
fn a_case_is_read_as_people_write_it() {
    let case = Case::from_toml(
        r#"
        config = { limit = 60 }
        limits = { memory = "16MiB", call = "20ms" }
        [[state]]
        key = "s-1"
        value.msgpack = [1]
        [[call]]
        now = "2026-03-01T12:00:00Z"
        [[call.message]]
        key = "s-1"
        headers = { site = "north", level = { "$u8" = 3 } }
        properties.type = "reading"
        body.json = { celsius = 71.5 }
        expect = { verdict = "done", emit = [{ output = "alerts" }] }
        [[call]]
        after = "10m"
        [[call.message]]
        body.text = "x"
        "#,
    )
    .unwrap();
    let limits = case.limits().unwrap();
    assert_eq!((limits.memory_bytes, limits.call), (16 << 20, Duration::from_millis(20)));
    assert_eq!(case.config().unwrap(), rmp_serde::to_vec_named(&json!({ "limit": 60 })).unwrap());
    let noon = case.calls[0].now_us(0).unwrap();
    assert_eq!(case.calls[1].now_us(noon).unwrap(), noon + 600_000_000);
    let properties = case.calls[0].messages[0].properties().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.kind.as_deref(), Some("reading"));
    assert_eq!(properties.headers.get("level"), Some(&FieldValue::U8(3)));
    assert_eq!(case.calls[1].messages[0].properties().unwrap().content_type, None);
    let expected = case.calls[0].messages[0].expect.as_ref().unwrap();
    assert_eq!((expected.verdict, expected.emissions.len()), (Verdict::Done, 1));
}

#[test]
fn what_is_misspelt_is_named_with_its_place() {
    let error = Case::from_toml("[[call]]\n[[call.message]]\nexpect = { verdit = \"done\" }\n");
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line 3") && error.contains("verdit"), "{error}");
    let error = Case::from_toml("about = \"nothing\"").unwrap_err().to_string();
    assert!(error.contains("[[call]]"), "{error}");
    let error = Case::from_json("{\"call\":[{\"message\":[{\"bdy\":{}}]}]}").unwrap_err();
    assert!(error.to_string().contains("bdy"), "{error}");
}

#[test]
fn every_type_of_header_comes_back_as_it_was() {
    let values = [
        FieldValue::Bool(true),
        FieldValue::I8(-1),
        FieldValue::U8(2),
        FieldValue::I16(-3),
        FieldValue::U16(4),
        FieldValue::I32(-5),
        FieldValue::U32(6),
        FieldValue::I64(-7),
        FieldValue::F32(1.5),
        FieldValue::F64(2.5),
        FieldValue::F64(f64::INFINITY),
        FieldValue::Decimal { scale: 2, value: 314 },
        FieldValue::Text("text".into()),
        FieldValue::Text(vec![0xff].into()),
        FieldValue::Bytes(vec![0, 1].into()),
        FieldValue::Timestamp(8),
        FieldValue::Void,
        FieldValue::Array(vec![FieldValue::U8(1), FieldValue::from("x")]),
    ];
    let inner = Table(values.iter().cloned().map(|value| ("inner".to_owned(), value)).collect());
    let named = |(at, value): (usize, &FieldValue)| (format!("h{at:02}"), value.clone());
    let mut all = Table(values.iter().enumerate().map(named).collect());
    // Names within a table are unique in JSON.
    all.0.push(("table".to_owned(), FieldValue::Table(Table(inner.0[..1].to_vec()))));
    assert_eq!(table(&fields_json(&all)).unwrap(), all);
    let bad = json!({ "n": { "$u8": 300 } });
    let error = table(bad.as_object().unwrap()).unwrap_err().to_string();
    assert!(error.contains("'n'") && error.contains("$u8"), "{error}");
}

#[test]
fn bytes_take_the_form_that_says_most_and_give_the_same_bytes() {
    let forms: [(&[u8], Option<&str>, Content); 5] = [
        (b"{\"a\":1}", Some("application/json"), Content::Json(json!({ "a": 1 }))),
        (b"{\"a\":null}", Some("application/json"), Content::Text("{\"a\":null}".into())),
        (&[0x92, 1, 2], Some("application/msgpack"), Content::Msgpack(json!([1, 2]))),
        (b"plain", None, Content::Text("plain".into())),
        (&[0xff, 0x00], None, Content::Hex("ff00".into())),
    ];
    for (bytes, content_type, form) in forms {
        assert_eq!(Content::of(bytes, content_type), form);
        assert_eq!(form.bytes().unwrap(), bytes);
        assert!(form.says(bytes).unwrap());
    }
    assert!(Content::Json(json!({ "a": 1 })).says(b"{ \"a\": 1.0 }").unwrap());
    assert!(!Content::Json(json!({ "a": 1 })).says(b"not json").unwrap());
    assert!(Content::Hex("f".into()).bytes().is_err());
    assert_eq!(Content::Base64("/w\n ==".into()).bytes().unwrap(), [0xff]);
}

#[test]
fn a_case_takes_every_limit_that_a_config_does() {
    let limits = "limits = { memory = \"16MiB\", call = \"20ms\", emissions = 3, emission_bytes = \"1KiB\", \
                  output = \"2KiB\", host_calls = \"3KiB\", state = \"4KiB\", log_lines_per_s = 5, \
                  file = \"6MiB\", compile = \"7s\", compile_memory = \"1GiB\" }";
    let broker = "[broker.main]\nurl = \"embedded:\"\n";
    let config = format!("{broker}[[plugin]]\nname = \"p\"\nfile = \"p.wasm\"\n{limits}\n");
    let (config, _) = config::parse(&config, Path::new("sluicegate.toml")).unwrap();
    let case = Case::from_toml(&format!("{limits}\n[[call]]\n[[call.message]]\n")).unwrap();
    let read = case.limits().unwrap();
    assert_eq!(read, config.plugins["p"].limits);
    let usual = serde_json::to_value(Limits::of(&read)).unwrap();
    assert_eq!(usual.as_object().unwrap().len(), 11, "{usual}");
    assert_eq!(Limits::of(&read).unwrap().read().unwrap(), read);
    assert_eq!(Limits::of(&PluginLimits::default()), None);
    let bad = Case::from_toml("limits.state = \"much\"\n[[call]]\n").unwrap().limits().unwrap_err();
    assert!(bad.to_string().starts_with("limits.state: 'much' is no size"), "{bad}");
}
