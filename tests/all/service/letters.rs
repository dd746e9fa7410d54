//! Dead letters, from failures to counts that add up.

mod story;
mod verbs;

use std::process::Output;

use lapin::BasicProperties;
use serde_json::Value;

use super::process::Site;
use super::traffic::{broker, id};
use crate::rabbit::node;
use sluicegate::builtin;
use sluicegate_tests::guests::COURIER;

/// A pipeline `NAME.in` → `meter-validate` → `NAME.out`, dead letters in `NAME.dead`.
fn meters(name: &str, dead_letter: &str, more: &str) -> Site {
    let config = format!(
        r#"
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "validate"
file = "validate.wasm"
limits = {{ call = "2s" }}
[[plugin]]
name = "deliver"
file = "courier.wasm"
config = {{ output = "accepted", obeys = [] }}
limits = {{ call = "2s" }}
[[exchange]]
name = "{name}.x"
kind = "topic"
[[queue]]
name = "{name}.in"
bind = [{{ exchange = "{name}.x", key = "meter.#" }}]
dead_letter = {{ exchange = "{name}.dlx", queue = "{name}.dead"{dead_letter} }}
[[exchange]]
name = "{name}.accepted"
kind = "fanout"
[[queue]]
name = "{name}.out"
bind = [{{ exchange = "{name}.accepted" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.in"
key = {{ field = "meter" }}
stages = ["validate", "deliver"]
outputs.accepted = {{ exchange = "{name}.accepted" }}
{more}
"#
    );
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("validate.wasm", builtin::plugin("meter-validate").unwrap());
    site.write("courier.wasm", COURIER);
    site
}

/// A reading of one of five broken kinds, or (`None`) a good one.
fn reading(broken: Option<usize>) -> &'static str {
    match broken {
        Some(0) => r#"{"do":"","ts":1700000000,"kwh":1}"#,
        Some(1) => r#"{"do":"","meter":"m-1","ts":1700000000,"kwh":-1.5}"#,
        Some(2) => r#"{"do":"","meter":"m-2","ts":1700000000,"kwh":5000}"#,
        Some(3) => r#"{"do":"","meter":"m-3","ts":1700000000,"kwh":1,"voltage":9}"#,
        Some(_) => r#"{"do":"","meter":"m-4","ts":17"#,
        None => r#"{"do":"","meter":"m-5","ts":1700000000,"kwh":1,"voltage":230}"#,
    }
}

/// Properties of a message of JSON with that id.
fn json(message_id: String) -> BasicProperties {
    id(message_id).with_content_type("application/json".into())
}

/// What a verb printed, which must have ended with that code.
fn said(output: &Output, code: i32) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    out.into_owned()
}

/// The lines of JSON that a verb printed, which must have ended with that code.
fn lines(output: &Output, code: i32) -> Vec<Value> {
    said(output, code).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
