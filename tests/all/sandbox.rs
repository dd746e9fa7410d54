//! What plugins do that mean harm, one by one, and what the host did: the table in docs/sandbox.md is
//! what this measures.

pub(crate) mod bomb;
mod damaged;
mod proposals;
mod warm;
mod wasm;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sluicegate::config::PluginLimits;
use sluicegate::limits::MIB;
use sluicegate::message::Properties;
use sluicegate::plugin::capsule::{Outcome, OwnedBatch};
use sluicegate::plugin::purity::{self, Purity};
use sluicegate::plugin::{Batch, Input, Plugin, StateSlot};
use sluicegate::verdict::{FailureClass, Verdict};
use sluicegate_tests::guests::{FILES, HOSTILE, OTHER_WORLD};

use crate::guests::{describing, fails, generous, input, load, patched, run, tight};

/// One way to misbehave: what the guest does, where, and the words by which the host refuses.
struct Row {
    does: &'static str,
    place: &'static str,
    class: &'static str,
    says: &'static str,
}

fn row(does: &'static str, place: &'static str, class: &'static str, says: &'static str) -> Row {
    Row { does, place, class, says }
}

/// What a message makes the guest do within `process`: the command, and what is expected.
fn in_process() -> Vec<(&'static str, Row)> {
    let p = "process";
    let answer = |command, does, says| (command, row(does, "answer", "malformed", says));
    vec![
        ("loop", row("loops for ever", p, "deadline", "the call passed its limit of")),
        (
            "hog",
            row("takes memory until there is none", p, "memory", "its limit is 67108864 bytes"),
        ),
        ("recurse", row("recurses for ever", p, "trap", "recurs")),
        ("panic", row("panics", p, "trap", "boom, as told")),
        ("trap", row("executes `unreachable`", p, "trap", "aborted")),
        ("exit", row("calls exit", p, "trap", "called exit")),
        ("sleep", row("sleeps", p, "trap", "a plugin can't wait; use a timer")),
        ("wait", row("waits for a condition that never comes", p, "trap", "can")),
        ("stdin", row("reads standard input", p, "trap", "a plugin can't wait; use a timer")),
        ("bellow", row("prints without end", p, "malformed", "limits.host_calls")),
        ("shout", row("logs one line of 20 MiB", p, "malformed", "limits.output")),
        answer("answer: too few verdicts", "one verdict too few", "1 verdicts for 2 messages"),
        answer("answer: too many verdicts", "one verdict too many", "3 verdicts for 2 messages"),
        answer("answer: unknown verdict", "a verdict that there isn't", "verdict 9"),
        answer(
            "answer: no such reason",
            "a reason that it didn't give",
            "reason 7 where there are 0",
        ),
        answer("answer: body outside", "a body beyond its arena", "leaves the arena"),
        answer("answer: lengths of 2^32", "a body of 2^32 bytes", "leaves the arena"),
        answer("answer: counts of 2^32", "2^32 records", "leave the index"),
        answer("answer: tables outside", "tables beyond its index", "leave the index"),
        answer("answer: empty", "nothing at all", "the index is empty"),
        answer("answer: ghost message", "an emission of message 99", "message 99 of a batch of 2"),
        answer(
            "answer: emission of a rejected message",
            "an emission of a message that it rejects",
            "retried or rejected",
        ),
        answer("answer: output that isn't text", "an output's name of other bytes", "isn't UTF-8"),
        answer(
            "answer: long routing key",
            "a routing key of 256 bytes",
            "routing key of 256 bytes",
        ),
        answer("answer: properties cut off", "properties cut off", "announced where 1 are left"),
        answer("answer: too many emissions", "1001 emissions", "more than 1000 emissions"),
        answer("answer: emits much", "17 MiB of emissions", "limits.emission_bytes"),
        answer("answer: large state", "70 KiB of state", "a state of 71680 bytes"),
        answer("answer: huge", "20 MiB", "limits.output"),
        answer("answer: ghost timer", "a timer of message 99", "for message 99 of a batch of 2"),
        answer("answer: timer without a name", "a timer without a name", "it has no name"),
        answer(
            "answer: long name of a timer",
            "a timer's name of 129 bytes",
            "a name of 129 bytes; 128 are allowed",
        ),
        answer("answer: name that isn't text", "a timer's name of other bytes", "isn't UTF-8"),
        answer("answer: name outside", "a timer's name beyond its arena", "leaves the arena"),
        answer("answer: too many timers", "65 timers of one message", "more than 64 timers"),
        answer(
            "answer: timer in a thousand years",
            "a timer in a thousand years",
            "due in more than 3653 days",
        ),
        answer(
            "answer: timers out of order",
            "timers in another order than the messages",
            "after one for a later message",
        ),
        answer(
            "answer: timer of a rejected message",
            "a timer of a message that it retries",
            "retried or rejected",
        ),
        answer("answer: timers outside", "2^32 timers", "leave the index"),
        answer("answer: small timers", "timers of 4 words", "timers of 4 words each"),
    ]
}

/// What is refused when a plugin is loaded.
fn at_load() -> Vec<(Vec<u8>, &'static [u8], Row)> {
    let started =
        |command: &str| patched(b"START=calm      ", format!("START={command:<10}").as_bytes());
    let newer = patched(b"sluicegate:plugin/guest@0.1.0", b"sluicegate:plugin/guest@0.7.0");
    let older = patched(b"sluicegate:plugin/guest@0.1.0", b"sluicegate:plugin/guest@0.0.9");
    let half = HOSTILE[..HOSTILE.len() / 2].to_vec();
    let hostile = || HOSTILE.to_vec();
    let refused = |does, place, says| row(does, place, "refused", says);
    vec![
        (started("trap"), b"", refused("traps", "start", "describe failed (trap)")),
        (started("hog"), b"", refused("takes all memory", "start", "describe failed (memory)")),
        (started("sleep"), b"", refused("sleeps", "start", "can't wait")),
        (describing("panic"), b"", refused("panics", "describe", "describe failed (trap)")),
        (
            describing("loop"),
            b"",
            refused("loops for ever", "describe", "describe failed (deadline)"),
        ),
        (hostile(), b"panic", refused("panics", "configure", "configure failed (trap)")),
        (hostile(), b"hog", refused("takes all memory", "configure", "configure failed (memory)")),
        (hostile(), b"bellow", refused("prints without end", "configure", "limits.host_calls")),
        (hostile(), b"refuse", refused("refuses its config", "configure", "refuses its config")),
        (FILES.to_vec(), b"", refused("opens a file", "imports", "wasi:filesystem/types@0.2.6")),
        (OTHER_WORLD.to_vec(), b"", refused("is of another world", "exports", "another world")),
        (
            newer,
            b"",
            refused("is built with a newer SDK", "exports", "built for sluicegate:plugin 0.7.0"),
        ),
        (
            older,
            b"",
            refused("is built with an older SDK", "exports", "built for sluicegate:plugin 0.0.9"),
        ),
        (half, b"", refused("is cut off", "file", "damaged or cut off")),
        (
            b"\0asm\x01\0\0\0".to_vec(),
            b"",
            refused("is a core module", "file", "core WebAssembly module"),
        ),
    ]
}

fn limits() -> PluginLimits {
    PluginLimits { memory_bytes: 64 * MIB, call: std::time::Duration::from_millis(500), ..tight() }
}

/// Line by line: what it did, where, what it was called, in which words.
fn line(row: &Row) -> String {
    format!("| {} | {} | {} | …{}… |", row.does, row.place, row.class, row.says)
}

#[track_caller]
fn check(row: &Row, class: &str, text: &str) -> String {
    assert_eq!(class, row.class, "{}: {text}", row.does);
    assert!(text.contains(row.says), "{}: '{text}' doesn't say '{}'", row.does, row.says);
    line(row)
}

#[test]
fn whatever_a_plugin_does_the_host_lives_says_why_and_serves_its_neighbours() {
    let plugin = load(HOSTILE, b"", &limits()).expect("it loads");
    let mut table: Vec<String> = Vec::new();
    for (command, expected) in in_process() {
        // This too runs a neighbour afterwards.
        let error = fails(&plugin, command);
        table.push(check(&expected, error.class.as_str(), &error.text));
    }
    for (wasm, config, expected) in at_load() {
        let error = load(&wasm, config, &limits()).expect_err(expected.does);
        table.push(check(&expected, "refused", &error));
    }
    for (wasm, expected) in proposals::all() {
        let error = load(&wasm, b"", &limits()).expect_err(expected.does);
        table.push(check(&expected, "refused", &error));
    }
    table.extend(around_a_call());
    table.extend(of_timers(&plugin));
    table.push(in_migrate(&plugin));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sandbox.md");
    let docs = std::fs::read_to_string(docs).expect("the page");
    let missing: Vec<&String> = table.iter().filter(|line| !docs.contains(line.as_str())).collect();
    println!("{}", table.join("\n"));
    assert!(missing.is_empty(), "docs/sandbox.md lacks:\n{missing:#?}\nof\n{}", table.join("\n"));
}

/// The allocator that the host calls before a call, and what runs after one.
fn around_a_call() -> Vec<String> {
    let attack = |config: &[u8], bodies: &[&str]| {
        let plugin = load(HOSTILE, config, &limits()).expect("it loads");
        let mut instance = plugin.instantiate().expect("an instance");
        run(&mut instance, bodies).expect_err("it traps")
    };
    let large = "x".repeat(MIB);
    let taking = attack(b"set alloc", &[&large]);
    let giving = attack(b"set free", &["large answer"]);
    let before = row("traps where its memory is taken", "cabi_realloc", "trap", "aborted");
    let after = row("traps where its answer is freed", "post-return", "trap", "aborted");
    vec![
        check(&before, taking.class.as_str(), &taking.text),
        check(&after, giving.class.as_str(), &giving.text),
    ]
}

/// What can only be got wrong where a timer is due, or there is no key.
fn of_timers(plugin: &Arc<Plugin>) -> Vec<String> {
    let properties = Properties::default();
    let answer = |messages: &[Input<'_>]| {
        let states = [StateSlot { bytes: None, generation: 0 }];
        let batch = Batch { now_us: 7, messages, states: &states };
        plugin.instantiate().expect("an instance").process(&batch).expect_err("it is refused")
    };
    let command = |body| input(body, &properties);
    let keyless = Input { key: None, slot: None, ..command("answer: too many timers") };
    let keyless = answer(&[keyless, command("fine")]);
    let due = answer(&[Input { due_us: Some(6), ..command("answer: next") }]);
    let no_key = row("a timer of a message without a key", "answer", "malformed", "no state slot");
    let no_next = row("`next` for a timer", "answer", "malformed", "a timer has no next stage");
    vec![
        check(&no_key, keyless.class.as_str(), &keyless.text),
        check(&no_next, due.class.as_str(), &due.text),
    ]
}

#[test]
fn a_timer_of_the_past_is_due_soon_and_one_that_is_not_set_may_be_cancelled() {
    let plugin = load(HOSTILE, b"", &generous()).expect("it loads");
    let mut instance = plugin.instantiate().expect("an instance");
    let decisions = run(&mut instance, &["answer: timers of the past"]).expect("an answer");
    let timers: Vec<_> =
        decisions.timers.iter().map(|timer| (timer.name.as_str(), timer.due_us)).collect();
    assert_eq!(timers, [("in 1970", Some(1_700_000_000_133_456)), ("cancelled", None)]);
}

fn in_migrate(plugin: &Arc<Plugin>) -> String {
    let mut instance = plugin.instantiate().expect("an instance");
    let error = instance.migrate(1, b"panic").expect_err("it panics");
    let expected = row("panics", "migrate", "trap", "boom, as told");
    check(&expected, error.class.as_str(), &error.text)
}

#[test]
fn a_call_that_answers_differently_is_found_impure_and_one_that_does_not_is_not() {
    let plugin = load(HOSTILE, b"", &generous()).expect("it loads");
    let properties = Properties::default();
    let mut found = BTreeMap::new();
    for body in ["counter", "random", "map order", "look", "nan", "count", "fine", "panic"] {
        let messages = [input(body, &properties)];
        let states = [StateSlot { bytes: None, generation: 0 }];
        let batch = Batch { now_us: 7, messages: &messages, states: &states };
        let mut instance = plugin.instantiate().expect("an instance");
        if body != "panic" {
            instance.process(&batch).expect("a first call, which leaves traces");
        }
        let was = match instance.process(&batch) {
            Ok((decisions, _)) => Outcome::Decided(decisions),
            Err(error) => Outcome::Failed(error),
        };
        let purity = purity::check(&plugin, &OwnedBatch::of(&batch), &was);
        found.insert(body, matches!(purity, Purity::Impure(_)));
        assert_ne!(purity, Purity::Unknown, "{body}");
    }
    let impure: Vec<_> =
        found.iter().filter(|(_, impure)| **impure).map(|(body, _)| *body).collect();
    assert_eq!(impure, ["counter", "look", "map order", "random"], "{found:?}");
}

#[test]
fn a_deadline_says_nothing_about_purity() {
    let plugin = load(HOSTILE, b"", &tight()).expect("it loads");
    let properties = Properties::default();
    let messages = [input("loop", &properties)];
    let states = [StateSlot { bytes: None, generation: 0 }];
    let batch = Batch { now_us: 7, messages: &messages, states: &states };
    let error = plugin.instantiate().expect("an instance").process(&batch).expect_err("it loops");
    assert_eq!(error.class, FailureClass::Deadline);
    let purity = purity::check(&plugin, &OwnedBatch::of(&batch), &Outcome::Failed(error));
    assert_eq!(purity, Purity::Unknown);
}

#[test]
fn what_a_processor_may_answer_as_it_likes_has_one_answer() {
    let plugin = load(HOSTILE, b"", &generous()).expect("it loads");
    let mut instance = plugin.instantiate().expect("an instance");
    let decisions = run(&mut instance, &["relaxed simd"]).expect("an answer");
    let Verdict::Next(Some(replacement)) = &decisions.messages[0].verdict else {
        panic!("{decisions:?}")
    };
    let body = replacement.body.as_ref().expect("a body");
    // An x86 left to itself says 2, then the smallest number three times.
    assert_eq!(String::from_utf8_lossy(body), "0 0 2147483647 -2147483648 1");
}

#[test]
fn what_is_not_a_number_has_one_form_of_bits() {
    let plugin = load(HOSTILE, b"", &generous()).expect("it loads");
    let mut instance = plugin.instantiate().expect("an instance");
    let decisions = run(&mut instance, &["nan"]).expect("an answer");
    let Verdict::Next(Some(replacement)) = &decisions.messages[0].verdict else {
        panic!("{decisions:?}")
    };
    let body = replacement.body.as_ref().expect("a body");
    let said = String::from_utf8_lossy(body);
    // The canonical one; its sign is the one bit that negation may turn.
    for bits in said.split(' ') {
        assert!(["7ff8000000000000", "fff8000000000000"].contains(&bits), "{said}");
    }
}
