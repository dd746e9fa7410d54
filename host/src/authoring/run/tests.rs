#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::authoring::compare::differences;
use crate::builtin;
use crate::plugin::EngineOptions;

fn ran(plugin: &str, case: &str) -> (Case, Ran) {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let case = Case::from_toml(case).unwrap();
    let ran = run(&engine, plugin, builtin::plugin(plugin).unwrap(), &case).unwrap();
    (case, ran)
}

const GUARD: &str = r#"
    config = { big = 100 }
    [[call]]
    [[call.message]]
    body.json = { id = "o-1", total = 12.5 }
    expect = { verdict = "VERDICT" }
"#;

#[test]
fn a_case_runs_in_the_sandbox_and_says_where_it_differs() {
    let (case, answered) = ran("order-guard", &GUARD.replace("VERDICT", "trap"));
    let found = differences(&case, &answered);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].place, "call 1, message 1, verdict");
    assert_eq!(found[0].expected.as_deref(), Some("trap"));
    let case = crate::authoring::update::answered(&case, &answered);
    assert!(differences(&case, &answered).is_empty());
}

#[test]
fn state_goes_from_call_to_call_by_key() {
    let call = |celsius: f64| {
        format!(
            "[[call]]\nafter = \"15m\"\n[[call.message]]\nkey = \"m-1\"\nbody.json = {{ meter = \
             \"m-1\", ts = 1767225600, kwh = {celsius} }}\n"
        )
    };
    let (_, answered) = ran("meter-anomaly", &(call(1.0) + &call(2.0)));
    assert!(!answered.calls.iter().any(|call| call.impure));
    let [one, two] = [0, 1].map(|at: usize| answered.calls[at].states["m-1"].clone().unwrap());
    assert_ne!(one, two);
}

#[test]
fn a_case_that_makes_no_sense_says_where() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let wasm = builtin::plugin("order-guard").unwrap();
    for (text, place) in [
        ("[[call]]\n", "call 1: it has neither"),
        ("[[call]]\n[[call.message]]\nbody.hex = \"f\"\n", "call 1: message 1: hex"),
        ("[[call]]\nnow = \"soon\"\n[[call.message]]\n", "call 1: now"),
        ("[[state]]\nkey = \"k\"\nvalue.base64 = \"?\"\n[[call]]\n", "state of 'k': base64"),
    ] {
        let text = format!("config = {{ big = 1 }}\n{text}");
        let case = Case::from_toml(&text).unwrap();
        let error = run(&engine, "order-guard", wasm, &case).unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
}
