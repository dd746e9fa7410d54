#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::testing::{Input, Outcome, Tester};
use crate::{Context, Decision, Failure, Message, Plugin, Timer, Verdict};

/// Does with timers what a message says: `set NAME SECONDS`, `cancel NAME`, and fails after that where
/// it starts with `!`.
#[derive(Deserialize)]
struct Told {}

impl Plugin for Told {
    type State = Vec<String>;

    fn process(
        &self,
        message: &Message<'_>,
        _: &mut Self::State,
        ctx: &mut Context<'_>,
    ) -> Decision {
        tell(message, ctx)
    }

    fn process_keyless(&self, message: &Message<'_>, ctx: &mut Context<'_>) -> Decision {
        tell(message, ctx)
    }

    fn on_timer(
        &self,
        timer: &Timer<'_>,
        fired: &mut Self::State,
        ctx: &mut Context<'_>,
    ) -> Decision {
        fired.push(timer.name().to_owned());
        ctx.emit("fired").json(&json!([timer.key(), timer.name(), timer.late().as_secs()]))?;
        if timer.name() == "again" {
            ctx.set_timer("again", Duration::from_secs(10));
        }
        if timer.name() == "broken" {
            return Err(Failure::retry("broken", "as its name says"));
        }
        Ok(Verdict::next())
    }
}

fn tell(message: &Message<'_>, ctx: &mut Context<'_>) -> Decision {
    let told: String = message.decode()?;
    let words: Vec<&str> = told.trim_start_matches('!').split(' ').collect();
    match words[..] {
        ["set", name, seconds] => {
            ctx.set_timer(name, Duration::from_secs(seconds.parse().unwrap()));
        }
        ["cancel", name] => ctx.cancel_timer(name),
        _ => {}
    }
    if told.starts_with('!') {
        return Err(Failure::reject("told_to", ""));
    }
    Ok(Verdict::next())
}

fn tester() -> Tester<Told> {
    Tester::new(&json!({})).unwrap()
}

fn told(key: &str, text: &str) -> Input {
    Input::json(&text).key(key)
}

fn fired(outcomes: &[Outcome]) -> Vec<serde_json::Value> {
    outcomes.iter().flat_map(|outcome| &outcome.emissions).map(|emitted| emitted.json()).collect()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_timer_comes_once_its_time_has_passed() {
    let mut tester = tester();
    tester.run_batch(&[told("a", "set late 20"), told("b", "set early 5"), told("a", "set x 10")]);
    assert_eq!(fired(&tester.pass(seconds(10))), [json!(["b", "early", 0]), json!(["a", "x", 0])]);
    assert_eq!(fired(&tester.pass(seconds(10))), [json!(["a", "late", 0])]);
    assert!(tester.pass(seconds(1000)).is_empty());
    assert_eq!(tester.state("a").unwrap(), ["x", "late"]);
}

#[test]
fn setting_a_timer_again_replaces_it_and_cancelling_takes_it_back() {
    let mut tester = tester();
    tester.run(told("a", "set x 5"));
    tester.run(told("a", "set x 50"));
    assert_eq!(tester.timer("a", "x"), Some(tester.now() + seconds(50)));
    assert!(tester.pass(seconds(49)).is_empty());
    tester.run(told("a", "cancel x"));
    assert!(tester.pass(seconds(49)).is_empty());
}

#[test]
fn a_timer_may_set_itself_again() {
    let mut tester = tester();
    tester.run(told("a", "set again 10"));
    assert_eq!(tester.pass(seconds(35)).len(), 3);
    assert_eq!(tester.timer("a", "again"), Some(tester.now() + seconds(5)));
}

#[test]
fn a_failing_message_leaves_no_timer() {
    let mut tester = tester();
    tester.run(told("a", "set x 5"));
    let outcomes = tester.run_batch(&[told("a", "!cancel x"), told("a", "!set y 1")]);
    assert_eq!(outcomes[0].rejected(), Some("told_to"));
    assert_eq!(fired(&tester.pass(seconds(9))), [json!(["a", "x", 0])]);
}

#[test]
fn a_failing_timer_leaves_no_trace() {
    let mut tester = tester();
    tester.run(told("a", "set broken 5"));
    let outcomes = tester.pass(seconds(5));
    assert_eq!((outcomes[0].retried(), outcomes[0].emissions.len()), (Some("broken"), 0));
    assert_eq!(tester.state("a"), None);
}

#[test]
fn a_timer_that_fell_due_while_the_host_was_down_says_how_late_it_is() {
    let mut tester = tester();
    tester.run_batch(&[told("a", "set second 20"), told("a", "set first 10")]);
    let outcomes = tester.pass_down(seconds(60));
    assert_eq!(fired(&outcomes), [json!(["a", "first", 50]), json!(["a", "second", 40])]);
}

#[test]
fn what_cannot_be_a_timer_fails_the_message() {
    let mut tester = tester();
    let keyless = tester.run(Input::json(&"set x 5"));
    assert_eq!(keyless.rejected(), Some("no_key"));
    assert_eq!(tester.run(told("a", "set  5")).rejected(), Some("bad_timer"));
    let long = format!("set {} 5", "n".repeat(129));
    assert_eq!(tester.run(told("a", &long)).rejected(), Some("bad_timer"));
    let far = format!("set x {}", u64::MAX);
    assert_eq!(tester.run(told("a", &far)).rejected(), Some("bad_timer"));
    assert!(tester.pass(seconds(1000)).is_empty());
}

/// Forgets what it set.
#[derive(Deserialize)]
struct Forgetful {}

impl Plugin for Forgetful {
    type State = ();
    const TIMERS: bool = true;

    fn process(&self, message: &Message<'_>, (): &mut (), ctx: &mut Context<'_>) -> Decision {
        ctx.set_timer("x", Duration::ZERO);
        let row = message.row::<(u32, String)>("meters")?;
        ctx.emit("row").json(&row)?;
        Ok(Verdict::done())
    }
}

#[test]
fn a_timer_that_nothing_handles_is_rejected() {
    let mut tester = Tester::<Forgetful>::new(&json!({})).unwrap();
    tester.run(Input::new().key("a"));
    let outcomes = tester.pass(seconds(1));
    assert_eq!(outcomes[0].rejected(), Some("no_timer_handler"));
}

#[test]
fn a_message_sees_its_keys_row_in_each_table() {
    let tester = Tester::<Forgetful>::new(&json!({})).unwrap();
    let tester = tester.row("others", "a", &"not this one");
    let mut tester = tester.row("meters", "a", &(7, "north")).row("meters", "b", &"broken");
    let mut row = |input: Input| {
        let outcome = tester.run(input);
        let emitted = outcome.emissions.first().map(|emitted| emitted.json());
        emitted.or_else(|| outcome.rejected().map(Into::into))
    };
    assert_eq!(row(Input::new().key("a")), Some(json!([7, "north"])));
    assert_eq!(row(Input::new().key("c")), Some(json!(null)));
    assert_eq!(row(Input::new().key("b")), Some(json!("bad_row")));
}
