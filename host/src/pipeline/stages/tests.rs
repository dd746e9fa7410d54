#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use super::super::fixture::{Double, job, stage};
use super::*;
use crate::plugin::StateChange;

/// A plugin of two stages that is told by a message's body what to do: `+N` adds N to the key's count
/// at the stage, `reject@S` fails at stage S, `trap@S` fails the whole call, `emit@S` emits, `bad@S`
/// emits to an output that there isn't.
#[derive(Default)]
struct Script {
    calls: Vec<(usize, Vec<String>)>,
    /// The generations that it was handed, by stage.
    handed: BTreeSet<(usize, u64)>,
}

impl Double for Script {
    fn process(&mut self, stage: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        let texts: Vec<String> =
            batch.messages.iter().map(|m| String::from_utf8(m.body.to_vec()).unwrap()).collect();
        self.calls.push((stage, texts.clone()));
        if texts.iter().any(|text| text.contains(&format!("trap@{stage}"))) {
            return Err(CallError {
                class: FailureClass::Trap,
                text: "panicked".to_owned(),
                backtrace: Vec::new(),
            });
        }
        self.handed.extend(batch.states.iter().map(|slot| (stage, slot.generation)));
        let mut states: Vec<Option<u64>> = batch
            .states
            .iter()
            .map(|slot| slot.bytes.as_deref().map(|b| u64::from_le_bytes(b.try_into().unwrap())))
            .collect();
        let before = states.clone();
        let messages = batch.messages.iter().zip(&texts).map(|(message, text)| {
            let said = |what: &str| text.contains(&format!("{what}@{stage}"));
            if said("reject") {
                let verdict = Verdict::Reject { code: "no".to_owned(), text: String::new() };
                return verdict.into();
            }
            if let (Some(slot), Some(n)) = (message.slot, text.strip_prefix('+')) {
                let n: u64 = n.split(' ').next().unwrap().parse().unwrap();
                *states[slot as usize].get_or_insert(0) += n;
            }
            let output = match (said("emit"), said("bad")) {
                (true, _) => Some("out"),
                (_, true) => Some("nowhere"),
                _ => None,
            };
            let emissions =
                output.map(|output| Emission { output: output.to_owned(), ..Emission::default() });
            let verdict = Verdict::Next(None);
            Decision { verdict, emissions: emissions.into_iter().collect() }
        });
        let messages = messages.collect();
        let states = states.iter().zip(before).map(|(now, before)| match now {
            Some(now) if Some(*now) != before => {
                StateChange::Set(Bytes::copy_from_slice(&now.to_le_bytes()))
            }
            _ => StateChange::Unchanged,
        });
        Ok(Decisions { messages, states: states.collect(), timers: Vec::new() })
    }
}

fn run_on(stages: &[Stage], jobs: &[Job]) -> (Run, Script) {
    let mut script = Script::default();
    let setting = Setting {
        stages,
        view: &|_, _| None,
        resolve: &|output| {
            if output == "out" { Ok(0) } else { Err(format!("no output '{output}'")) }
        },
        now_us: 0,
        timers_full: false,
    };
    let run = run(&setting, &mut script, jobs);
    (run, script)
}

fn run_two(jobs: &[Job]) -> (Run, Script) {
    run_on(&[stage("p"), stage("p")], jobs)
}

/// Each key's count at each stage.
fn counts(run: &Run, keys: &[&str]) -> BTreeMap<(String, usize), u64> {
    let mut counts = BTreeMap::new();
    for key in keys {
        for stage in 0..2 {
            if let Some(bytes) = run.changes.get(key, stage).and_then(|e| e.bytes.clone()) {
                let count = u64::from_le_bytes(bytes[..].try_into().unwrap());
                counts.insert(((*key).to_owned(), stage), count);
            }
        }
    }
    counts
}

fn codes(run: &Run) -> Vec<&str> {
    let code = |outcome: &Outcome| match outcome {
        Outcome::Done(_) => "done",
        Outcome::Dropped { .. } => "dropped",
        Outcome::Failed(failure) => match failure.class {
            FailureClass::Trap => "trap",
            FailureClass::Malformed => "malformed",
            FailureClass::Reject => "reject",
            _ => "other",
        },
    };
    run.outcomes.iter().map(code).collect()
}

#[tokio::test]
async fn messages_of_a_key_see_each_others_changes() {
    let (run, _) = run_two(&[job("a", 0, "+1"), job("b", 0, "+10"), job("a", 0, "+2")]);
    assert_eq!(codes(&run), ["done"; 3]);
    let expected = [(("a", 0), 3), (("a", 1), 3), (("b", 0), 10), (("b", 1), 10)];
    let expected = expected.map(|((key, stage), n)| ((key.to_owned(), stage), n));
    assert_eq!(counts(&run, &["a", "b"]), BTreeMap::from(expected));
}

#[tokio::test]
async fn a_message_that_fails_at_a_later_stage_leaves_no_trace_in_an_earlier_one() {
    let jobs =
        [job("a", 0, "+1"), job("a", 0, "+5 reject@1"), job("b", 0, "+7"), job("a", 0, "+2")];
    let (run, script) = run_two(&jobs);
    assert_eq!(codes(&run), ["done", "reject", "done", "done"]);
    assert_eq!(counts(&run, &["a", "b"])[&("a".to_owned(), 0)], 3);
    assert_eq!(counts(&run, &["a", "b"])[&("b".to_owned(), 0)], 7);
    assert_eq!(run.rewound, 2, "the other messages of its key ran again");
    let again = script.calls.last().unwrap();
    assert_eq!(again.1, ["+1", "+2"], "and nobody else did");
}

#[tokio::test]
async fn a_trap_fails_its_own_message_alone_and_the_rest_of_the_batch_goes_on() {
    let jobs = [job("a", 0, "+1"), job("b", 0, "+5 trap@1"), job("a", 0, "+2")];
    let (run, script) = run_two(&jobs);
    assert_eq!(codes(&run), ["done", "trap", "done"]);
    assert_eq!(counts(&run, &["a"])[&("a".to_owned(), 1)], 3);
    assert!(counts(&run, &["b"]).is_empty(), "what it did at the first stage is undone");
    assert_eq!(script.calls.len(), 2 + 3, "two stages, then one message at a time");
}

#[tokio::test]
async fn failures_that_follow_from_failures_end_in_single_runs() {
    // Each re-run takes one more message out, until they run one at a time.
    let jobs: Vec<Job> = (0..8).map(|n| job("a", 0, &format!("+{n} trap@1"))).collect();
    let (run, _) = run_two(&jobs);
    assert_eq!(codes(&run), ["trap"; 8]);
    assert!(counts(&run, &["a"]).is_empty());
}

#[tokio::test]
async fn an_emission_to_an_unknown_output_fails_its_message_with_its_own_stages_changes_undone() {
    let (run, _) = run_two(&[job("a", 0, "+1 bad@0"), job("a", 0, "+2 emit@1")]);
    assert_eq!(codes(&run), ["malformed", "done"]);
    assert_eq!(counts(&run, &["a"])[&("a".to_owned(), 0)], 2);
    let Outcome::Done(emitted) = &run.outcomes[1] else { panic!("done") };
    assert_eq!((emitted.len(), emitted[0].stage, emitted[0].index), (1, 1, 0));
}

#[tokio::test]
async fn a_conditional_stage_sees_only_what_matches() {
    let when = |routing_key: Option<&str>, kind: Option<&str>| {
        Some(When {
            routing_key: routing_key.map(str::to_owned),
            header: None,
            kind: kind.map(str::to_owned),
        })
    };
    let mut tagged = job("a", 0, "tagged");
    tagged.message.routing_key = "meter.1.event".to_owned();
    tagged.message.properties.kind = Some("event".to_owned());
    let jobs = [job("a", 0, "plain"), tagged];
    let stages = [when(Some("meter.*.event"), None), when(None, Some("event"))]
        .map(|when| Stage { when, ..stage("p") });
    let (run, script) = run_on(&stages, &jobs);
    assert_eq!(codes(&run), ["done", "done"]);
    assert_eq!(script.calls, [(0, vec!["tagged".to_owned()]), (1, vec!["tagged".to_owned()])]);
}

#[tokio::test]
async fn a_message_that_is_unfit_fails_without_running() {
    let mut unfit = job("a", 0, "+1");
    unfit.unfit = Some(Failure {
        class: FailureClass::Intake,
        code: "no_key".to_owned(),
        text: String::new(),
        stage: None,
        backtrace: Vec::new(),
        retry_after: None,
    });
    let (run, script) = run_two(&[unfit]);
    assert_eq!(codes(&run), ["other"]);
    assert!(script.calls.is_empty());
}

#[tokio::test]
async fn keyless_messages_have_no_state() {
    let (run, script) = run_two(&[job("", 0, "+1"), job("", 0, "+1")]);
    assert_eq!(codes(&run), ["done", "done"]);
    assert!(run.changes.is_empty());
    assert_eq!(script.calls.len(), 2);
}

#[tokio::test]
async fn a_key_that_runs_again_comes_to_generations_that_it_was_not_handed_before() {
    // The trap has the rest run one by one: the third is handed what the second left.
    let bodies = ["trap@0", "+1", "+2 reject@1", "+4", "+8"];
    let jobs: Vec<Job> = bodies.iter().map(|body| job("k", 0, body)).collect();
    let (run, script) = run_two(&jobs);
    assert_eq!(codes(&run), ["trap", "done", "reject", "done", "done"]);
    let newest = script.handed.iter().filter(|(stage, _)| *stage == 0).map(|(_, g)| *g).max();
    let entry = run.changes.get("k", 0).unwrap();
    assert!(entry.generation > newest.unwrap(), "{entry:?}, after {:?}", script.handed);
}
