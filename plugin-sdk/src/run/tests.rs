#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::testing::{Input, Outcome, Tester};
use crate::{Change, Context, Decision, Failure, Map, Message, Plugin, Verdict};

/// Remembers the words of each key; some words are orders.
#[derive(Deserialize)]
struct Words {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    words: Vec<String>,
    times: Map<String, u32>,
}

impl Plugin for Words {
    type State = Seen;

    fn process(&self, message: &Message<'_>, seen: &mut Seen, ctx: &mut Context<'_>) -> Decision {
        let word: String = message.decode()?;
        ctx.emit("echo").json(&seen.words)?;
        if word == "look" {
            return Ok(Verdict::next());
        }
        *seen.times.entry(word.clone()).or_default() += 1;
        seen.words.push(word.clone());
        match word.as_str() {
            "forget" => *seen = Seen::default(),
            "later" => return Err(Failure::retry("later", "").after(Duration::from_secs(5))),
            "never" => return Err(Failure::reject("never", "so it is")),
            "drop" => return Ok(Verdict::drop("of no use")),
            _ => {}
        }
        Ok(Verdict::done())
    }
}

fn word(key: &str, word: &str) -> Input {
    Input::json(&word).key(key)
}

fn tester() -> Tester<Words> {
    Tester::new(&json!({})).unwrap()
}

fn words(tester: &Tester<Words>, key: &str) -> Option<Vec<String>> {
    tester.state(key).map(|seen| seen.words)
}

#[test]
fn within_a_batch_a_message_sees_what_those_before_it_did() {
    let mut tester = tester();
    let inputs = [word("a", "x"), word("b", "y"), word("a", "z"), word("a", "look")];
    let outcomes = tester.run_batch(&inputs);
    let seen = |outcome: &Outcome| outcome.emissions[0].json();
    let expected = [json!([]), json!([]), json!(["x"]), json!(["x", "z"])];
    assert_eq!(outcomes.iter().map(seen).collect::<Vec<_>>(), expected);
    assert_eq!(words(&tester, "a").unwrap(), ["x", "z"]);
    assert_eq!(words(&tester, "b").unwrap(), ["y"]);
}

#[test]
fn a_failing_message_leaves_no_trace() {
    let mut tester = tester();
    let inputs = [word("a", "x"), word("a", "later"), word("a", "never"), word("a", "look")];
    let outcomes = tester.run_batch(&inputs);
    assert_eq!(outcomes[1].retried(), Some("later"));
    assert_eq!(outcomes[1].after(), Some(Duration::from_secs(5)));
    assert_eq!((outcomes[2].rejected(), outcomes[2].text()), (Some("never"), "so it is"));
    assert!(outcomes[1].emissions.is_empty() && outcomes[2].emissions.is_empty());
    assert_eq!(outcomes[3].emissions[0].json(), json!(["x"]));
    assert_eq!(words(&tester, "a").unwrap(), ["x"]);
    let first = tester.run(word("b", "never"));
    assert_eq!((first.rejected(), tester.state("b")), (Some("never"), None));
}

#[test]
fn a_state_that_is_the_default_is_forgotten() {
    let mut tester = tester();
    tester.run(word("a", "x"));
    tester.run(word("a", "forget"));
    assert_eq!(tester.state("a"), None);
    let outcomes = tester.run_batch(&[word("a", "look")]);
    assert!(outcomes[0].is_next());
    assert_eq!(tester.state("a"), None);
    tester.run_batch(&[word("a", "forget"), word("a", "y")]);
    assert_eq!(words(&tester, "a").unwrap(), ["y"]);
}

#[test]
fn without_a_key_there_is_no_state_to_use() {
    let outcome = tester().run(Input::json(&"x"));
    assert_eq!(outcome.rejected(), Some("no_key"));
}

#[test]
fn a_dropped_message_keeps_its_state_and_emissions() {
    let mut tester = tester();
    let outcome = tester.run(word("a", "drop"));
    assert_eq!((outcome.dropped(), outcome.emissions.len()), (Some("of no use"), 1));
    assert_eq!(words(&tester, "a").unwrap(), ["drop"]);
}

/// Changes what it is told to, and emits in every way.
#[derive(Deserialize)]
struct Changer {}

impl Plugin for Changer {
    type State = ();

    fn process(&self, message: &Message<'_>, (): &mut (), ctx: &mut Context<'_>) -> Decision {
        ctx.emit("as-it-is");
        ctx.emit("full")
            .routing_key("r.k")
            .header("n", 7i64)
            .kind("alert")
            .priority(9)
            .message_id(&message.derived_id(0))
            .expiration(Duration::from_secs(2))
            .persistent(false)
            .msgpack(&("packed", 1))?;
        let change = Change::new().header("a", "new").header("b", 2i32).without_header("gone");
        Ok(Verdict::next_with(change.json(&json!({ "changed": true }))?))
    }
}

#[test]
fn a_change_touches_only_what_it_names() {
    let mut tester = Tester::<Changer>::new(&json!({})).unwrap();
    let input = Input::new().body("text/plain", "old").kind("note").header("keep", 1.5);
    let outcome = tester.run(input.header("a", "old").header("gone", true));
    let next = outcome.next();
    assert_eq!((next.content_type(), next.kind()), (Some("application/json"), Some("note")));
    assert_eq!(next.json(), json!({ "changed": true }));
    assert_eq!(next.header("keep").and_then(|keep| keep.as_f64()), Some(1.5));
    assert_eq!(next.text_header("a"), Some("new"));
    assert_eq!(next.header("b").and_then(|b| b.as_i64()), Some(2));
    assert_eq!(next.header("gone"), None);
}

#[test]
fn an_emission_inherits_what_it_does_not_set() {
    let mut tester = Tester::<Changer>::new(&json!({})).unwrap();
    let outcome = tester.run(Input::new().routing_key("in").body("text/plain", "old"));
    let [plain, full] = &outcome.emissions[..] else { unreachable!("two emissions") };
    assert_eq!((plain.output.as_str(), plain.routing_key.as_str()), ("as-it-is", "in"));
    assert_eq!((plain.body.as_slice(), plain.content_type()), (&b"old"[..], None));
    assert_eq!((full.routing_key.as_str(), full.priority()), ("r.k", Some(9)));
    assert_eq!((full.kind(), full.content_type()), (Some("alert"), Some("application/msgpack")));
    assert_eq!(full.header("n").and_then(|n| n.as_i64()), Some(7));
    assert_eq!(full.message_id().map(str::len), Some(36));
    assert_eq!(full.msgpack::<(String, u32)>(), ("packed".to_owned(), 1));
}

/// Remembers more than it lets be encoded.
#[derive(Deserialize)]
struct Skipping {}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Half {
    kept: u32,
    #[serde(skip)]
    skipped: u32,
}

impl Plugin for Skipping {
    type State = Half;

    fn process(&self, _: &Message<'_>, half: &mut Half, ctx: &mut Context<'_>) -> Decision {
        half.kept += 1;
        half.skipped += 1;
        ctx.emit("out").json(&half.skipped)?;
        Ok(Verdict::done())
    }
}

#[test]
#[should_panic(expected = "the plugin isn't pure")]
fn what_serde_skips_of_a_state_is_found_by_the_tester() {
    let mut tester = Tester::<Skipping>::new(&json!({})).unwrap();
    tester.run(word("a", "x"));
    tester.run(word("a", "x"));
}
