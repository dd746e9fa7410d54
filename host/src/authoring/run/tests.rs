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
        ("[[call]]\npass = \"1h\"\nafter = \"1h\"\n", "call 1: `now`, `after`, `pass` or `down`"),
        ("[[call]]\npass = \"1h\"\n[[call.message]]\n", "call 1: a call in which time passes"),
        (
            "[[call]]\n[[call.timer]]\nname = \"t\"\nkey = \"k\"\nafter = \"1h\"\n",
            "call 1: timer 1: `after` is for",
        ),
        ("[[state]]\nkey = \"k\"\nvalue.base64 = \"?\"\n[[call]]\n", "state of 'k': base64"),
    ] {
        let text = format!("config = {{ big = 1 }}\n{text}");
        let case = Case::from_toml(&text).unwrap();
        let error = run(&engine, "order-guard", wasm, &case).unwrap_err().to_string();
        assert!(error.starts_with(place), "{error}");
    }
}

const SILENCE: &str = r#"
    config = { after_s = 900 }
    [[call]]
    [[call.message]]
    key = "7"
    [[call]]
    pass = "14m"
    [[call.set]]
    key = "7"
    name = "absence"
    after = "1m"
    [[call]]
    pass = "10m"
    [[call.timer]]
    key = "7"
    name = "absence"
    after = "1m"
    expect = { verdict = "done", emit = [{ output = "alerts", properties = { type = "meter.silent" } }] }
    [[call.set]]
    key = "7"
    name = "absence"
"#;

#[test]
fn while_time_passes_timers_come_at_theirs() {
    let (case, answered) = ran("meter-absence", SILENCE);
    assert_eq!(differences(&case, &answered), []);
    let fired = &answered.calls[2].fired;
    assert_eq!((fired.len(), fired[0].after), (1, Duration::from_secs(60)));
}

#[test]
fn while_the_host_is_down_they_come_late() {
    let down = SILENCE.replace("pass = \"10m\"", "down = \"10m\"");
    let (case, answered) = ran("meter-absence", &down);
    let found = differences(&case, &answered);
    assert_eq!(found[0].place, "call 3, timer 1");
    assert_eq!(found[0].got.as_deref(), Some("timer 'absence' of '7' after 10m"));
    // The plugin gives the queue a minute more.
    assert_eq!(found[1].place, "call 3, set 'absence' of '7'");
    assert_eq!(found[1].got.as_deref(), Some("after 1m"));
}

#[test]
fn timers_that_nobody_expects_or_that_do_not_come_are_differences() {
    let unexpected = SILENCE.replace("14m", "20m");
    let (case, answered) = ran("meter-absence", &unexpected);
    let found = differences(&case, &answered);
    let timer = |at: usize| (found[at].place.as_str(), &found[at].expected, &found[at].got);
    let came = Some("timer 'absence' of '7' after 15m".to_owned());
    assert_eq!(timer(0), ("call 2, timer 1", &None, &came));
    let missing = Some("timer 'absence' of '7' after 1m".to_owned());
    assert_eq!(timer(2), ("call 3, timer 1", &missing, &None));
    let text = unexpected.replace("    ", "");
    let updated = crate::authoring::update::answered(&case, &answered);
    assert!(differences(&updated, &answered).is_empty());
    let written = crate::authoring::update::toml(&text, &updated).unwrap();
    assert_eq!(written.matches("[[call.timer]]").count(), 1, "{written}");
    assert_eq!(Case::from_toml(&written).unwrap(), updated, "{written}");
}
