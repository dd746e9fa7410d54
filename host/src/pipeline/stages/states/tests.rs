#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use bytes::Bytes;

use super::super::{Call, Outcome, Run, Setting, Version, run};
use super::*;
use crate::pipeline::fixture::{job, stage};
use crate::pipeline::job::Job;
use crate::reference::Table;
use crate::verdict::{Decision, FailureClass};

/// A plugin that counts per key, in any version of its schema: the count of version 2 is `2:N`. It rejects
/// `no`, and the version that is run beside it traps at `hard`.
struct Counter {
    schema: u32,
    shadow: Option<u32>,
    migrated: Vec<String>,
}

fn write(schema: u32, count: u64) -> Bytes {
    Bytes::from(if schema == 1 { count.to_string() } else { format!("{schema}:{count}") })
}

fn count(schema: u32, state: &[u8]) -> u64 {
    let text = std::str::from_utf8(state).unwrap();
    let (said, count) = text.split_once(':').unwrap_or(("1", text));
    assert_eq!(said, schema.to_string(), "a version was handed state of another schema: {text}");
    count.parse().unwrap()
}

fn counted(schema: u32, batch: &Batch<'_>) -> Decisions {
    let state = |slot: &StateSlot<'_>| slot.bytes.as_deref().map_or(0, |it| count(schema, it));
    let mut counts: Vec<u64> = batch.states.iter().map(state).collect();
    let before = counts.clone();
    let messages = batch.messages.iter().map(|message| {
        let mut decision = Decisions::unchanged(batch).messages.remove(0);
        if message.body == b"no" {
            decision.verdict = Verdict::Reject { code: "no".to_owned(), text: String::new() };
        } else {
            counts[message.slot.unwrap() as usize] += 1;
        }
        decision
    });
    let messages: Vec<Decision> = messages.collect();
    let states = counts.iter().zip(before).map(|(now, before)| {
        if *now == before { StateChange::Unchanged } else { StateChange::Set(write(schema, *now)) }
    });
    Decisions { messages, states: states.collect(), timers: Vec::new() }
}

fn failed(text: &str) -> CallError {
    let class = FailureClass::Malformed;
    CallError { class, text: text.to_owned(), backtrace: Vec::new() }
}

impl Call for Counter {
    fn version(&self, _: usize) -> Version<'_> {
        Version { digest: "d", stateful: true, schema: self.schema, shadow: self.shadow }
    }

    fn call(
        &mut self,
        _: usize,
        batch: &Batch<'_>,
        _: &[Arc<Table>],
    ) -> Result<Decisions, CallError> {
        Ok(counted(self.schema, batch))
    }

    fn migrate(&mut self, _: usize, from: u32, state: &[u8]) -> Result<Bytes, CallError> {
        if from > self.schema || state == b"13" {
            return Err(failed("can't read it"));
        }
        self.migrated.push(String::from_utf8(state.to_vec()).unwrap());
        Ok(write(self.schema, count(from, state)))
    }

    fn shadow(&mut self, _: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        if batch.messages.iter().any(|message| message.body == b"hard") {
            return Err(failed("trapped"));
        }
        Ok(counted(self.shadow.unwrap(), batch))
    }
}

/// A store, and versions that run on it one after another.
#[derive(Default)]
struct Bench {
    store: Changes,
    migrated: Vec<String>,
}

impl Bench {
    fn with(key: &str, schema: u32, at: u64) -> Self {
        let mut bench = Self::default();
        bench.put(key, schema, at);
        bench
    }

    fn put(&mut self, key: &str, schema: u32, at: u64) {
        let bytes = Some(write(schema, at));
        self.store.set(&Arc::from(key), 0, Entry { bytes, schema, ..Entry::default() });
    }

    fn run(&mut self, (schema, shadow): (u32, Option<u32>), messages: &[(&str, &str)]) -> Run {
        let mut call = Counter { schema, shadow, migrated: Vec::new() };
        let jobs: Vec<Job> = messages.iter().map(|(key, body)| job(key, 0, body)).collect();
        let store = &self.store;
        let setting = Setting {
            stages: &[stage("p")],
            view: &|key, stage| store.get(key, stage).cloned(),
            resolve: &|_| Ok(0),
            now_us: 0,
            timers_full: false,
        };
        let mut run = run(&setting, &mut call, &jobs);
        self.store.merge(std::mem::take(&mut run.changes));
        self.migrated.extend(call.migrated);
        run
    }

    fn entry(&self, key: &str) -> Entry {
        self.store.get(key, 0).cloned().unwrap()
    }

    /// The state and its schema, and the same of the shadow.
    fn states(&self, key: &str) -> (u32, String, Option<(u32, String)>) {
        let text =
            |bytes: &Option<Bytes>| String::from_utf8(bytes.clone().unwrap().to_vec()).unwrap();
        let entry = self.entry(key);
        let shadow = entry.shadow.as_ref().map(|kept| (kept.schema, text(&kept.bytes)));
        (entry.schema, text(&entry.bytes), shadow)
    }
}

#[test]
fn state_is_migrated_key_by_key_when_it_is_needed_and_once() {
    let mut bench = Bench::with("a", 1, 5);
    bench.put("b", 1, 7);
    bench.run((2, None), &[("a", "x"), ("a", "x")]);
    bench.run((2, None), &[("a", "x"), ("new", "x")]);
    assert_eq!(bench.states("a"), (2, "2:8".to_owned(), None));
    assert_eq!(bench.states("new"), (2, "2:1".to_owned(), None));
    assert_eq!(bench.states("b"), (1, "7".to_owned(), None));
    assert_eq!(bench.migrated, ["5"]);
}

#[test]
fn a_version_that_is_put_back_finds_every_update_of_the_one_after_it() {
    let mut bench = Bench::with("a", 1, 5);
    bench.run((2, Some(1)), &[("a", "x"), ("a", "no"), ("a", "x"), ("new", "x")]);
    bench.run((2, Some(1)), &[("a", "x")]);
    assert_eq!(bench.states("a"), (2, "2:8".to_owned(), Some((1, "8".to_owned()))));
    bench.run((1, None), &[("a", "x"), ("new", "x")]);
    assert_eq!(bench.states("a"), (1, "9".to_owned(), None));
    assert_eq!(bench.states("new"), (1, "2".to_owned(), None));
}

#[test]
fn what_the_version_beside_fails_leaves_no_trace_in_its_state_alone() {
    let mut bench = Bench::with("a", 1, 5);
    let run = bench.run((2, Some(1)), &[("a", "x"), ("a", "hard"), ("a", "x")]);
    assert!(run.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done(_))));
    assert_eq!(bench.states("a"), (2, "2:8".to_owned(), Some((1, "7".to_owned()))));
}

#[test]
fn a_version_that_stays_lets_go_of_the_former_ones_state() {
    let mut bench = Bench::with("a", 1, 5);
    bench.run((2, Some(1)), &[("a", "x")]);
    bench.run((2, None), &[("a", "x")]);
    assert_eq!(bench.states("a"), (2, "2:7".to_owned(), None));
}

#[test]
fn state_that_cant_be_migrated_fails_its_keys_messages_and_stays_as_it_is() {
    let mut bench = Bench::with("bad", 1, 13);
    bench.put("good", 1, 1);
    let run = bench.run((2, None), &[("bad", "x"), ("good", "x"), ("bad", "y")]);
    for at in [0, 2] {
        let Outcome::Failed(failure) = &run.outcomes[at] else { panic!("{:?}", run.outcomes) };
        assert_eq!((&*failure.code, failure.class), ("migrate", FailureClass::Malformed));
    }
    assert_eq!(run.outcomes[1], Outcome::Done(Vec::new()));
    assert_eq!(bench.states("bad"), (1, "13".to_owned(), None));
    assert_eq!(bench.states("good"), (2, "2:2".to_owned(), None));
}

#[test]
fn an_older_version_never_writes_over_newer_state() {
    let mut bench = Bench::with("a", 2, 5);
    let run = bench.run((1, None), &[("a", "x")]);
    assert!(matches!(&run.outcomes[0], Outcome::Failed(failure) if failure.code == "migrate"));
    assert_eq!(bench.states("a"), (2, "2:5".to_owned(), None));
}

#[test]
fn each_state_that_a_version_is_handed_has_a_generation_of_its_own() {
    let mut bench = Bench::with("a", 1, 5);
    let mut last = bench.entry("a").generation;
    for version in [(2, Some(1)), (2, Some(1)), (1, None), (2, None)] {
        bench.run(version, &[("a", "x")]);
        let now = bench.entry("a").generation;
        assert!(now > last, "{now} after {last}");
        last = now;
    }
}
