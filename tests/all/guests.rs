//! Plugins that misbehave, driven directly: each failure has its class and its words, and what comes
//! after it is unharmed.

use std::borrow::Cow;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sluicegate::config::PluginLimits;
use sluicegate::limits::{self, MIB};
use sluicegate::message::{FieldValue, Properties, Table};
use sluicegate::plugin::{
    Batch, CallError, Decisions, Engine, EngineOptions, Input, Instance, Plugin, StateChange,
    StateSlot,
};
use sluicegate::verdict::{FailureClass, Verdict};
use sluicegate_tests::guests;

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(EngineOptions::default()).expect("an engine"));
static HOSTILE: LazyLock<Arc<Plugin>> =
    LazyLock::new(|| load(guests::HOSTILE, b"", &generous()).expect("the hostile guest loads"));

pub(crate) fn generous() -> PluginLimits {
    // What prints a trap takes its time on a busy machine; the deadline has tests of its own.
    PluginLimits { call: Duration::from_secs(5), ..PluginLimits::default() }
}

pub(crate) fn tight() -> PluginLimits {
    PluginLimits { memory_bytes: 4 * MIB, call: Duration::from_millis(5), ..generous() }
}

pub(crate) fn load(
    wasm: &[u8],
    config: &[u8],
    limits: &PluginLimits,
) -> Result<Arc<Plugin>, String> {
    ENGINE.load("hostile", wasm, config, limits).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(wasm: &[u8], config: &[u8], why: &[&str]) {
    let error = load(wasm, config, &generous()).expect_err("it is refused");
    for why in why {
        assert!(error.contains(why), "'{error}' doesn't say '{why}'");
    }
}

/// Runs a batch of such bodies, keyless and with plain properties.
pub(crate) fn run(instance: &mut Instance, bodies: &[&str]) -> Result<Decisions, CallError> {
    let properties = Properties::default();
    let messages: Vec<_> = bodies.iter().map(|body| input(body, &properties)).collect();
    let states = [StateSlot { bytes: None, generation: 0 }];
    let batch = Batch { now_us: 1_700_000_000_123_456, messages: &messages, states: &states };
    instance.process(&batch).map(|(decisions, _)| decisions)
}

pub(crate) fn input<'a>(body: &'a str, properties: &'a Properties) -> Input<'a> {
    Input {
        exchange: "meters",
        routing_key: "meter.7.reading",
        key: Some("7"),
        properties,
        body: body.as_bytes(),
        attempt: 1,
        seed: [7; 16],
        slot: Some(0),
        row: None,
        due_us: None,
    }
}

#[track_caller]
pub(crate) fn fails(plugin: &Arc<Plugin>, body: &str) -> CallError {
    let mut instance = plugin.instantiate().expect("an instance");
    let error = run(&mut instance, &["fine", body]).expect_err("the call fails");
    assert!(instance.spent());
    let again = run(&mut instance, &["fine"]).expect_err("a spent instance refuses");
    assert!(again.text.contains("make another"), "{again}");

    let mut fresh = plugin.instantiate().expect("a fresh instance");
    let decisions = run(&mut fresh, &["fine", "fine"]).expect("neighbours are unharmed");
    assert_eq!(decisions.messages.len(), 2);
    error
}

#[track_caller]
fn fails_as(plugin: &Arc<Plugin>, body: &str, class: FailureClass, why: &str) -> CallError {
    let error = fails(plugin, body);
    assert_eq!(error.class, class, "{error}");
    assert!(error.text.contains(why), "'{}' doesn't say '{why}'", error.text);
    error
}

/// The guest's file with the command that `describe` obeys.
pub(crate) fn describing(command: &str) -> Vec<u8> {
    patched(b"DESCRIBE=calm   ", format!("DESCRIBE={command:<7}").as_bytes())
}

pub(crate) fn patched(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut wasm = guests::HOSTILE.to_vec();
    let places: Vec<_> = wasm
        .windows(from.len())
        .enumerate()
        .filter(|(_, w)| *w == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        wasm[at..at + to.len()].copy_from_slice(to);
    }
    wasm
}

#[test]
fn a_plugin_says_what_it_is() {
    let description = HOSTILE.description();
    assert_eq!((&*description.name, &*description.version), ("hostile", "1.2.3"));
    assert!(HOSTILE.stateful());
    assert_eq!(HOSTILE.digest().len(), 64);
}

#[test]
fn names_properties_and_headers_of_every_type_cross_both_ways() {
    let values = [
        ("t", FieldValue::Bool(true)),
        ("b", FieldValue::I8(-1)),
        ("D", FieldValue::Decimal { scale: 2, value: 314 }),
        ("d", FieldValue::F64(0.5)),
        ("S", FieldValue::Text("Zähler".into())),
        ("x", FieldValue::Bytes(vec![0, 255].into())),
        ("A", FieldValue::Array(vec![FieldValue::Void, FieldValue::Timestamp(1)])),
        ("F", FieldValue::Table(Table::from_iter([("inner", true)]))),
    ];
    let properties = Properties {
        content_type: Some("application/json".to_owned()),
        headers: values.into_iter().collect(),
        delivery_mode: Some(2),
        timestamp: Some(1_700_000_000),
        expiration: Some("1000".to_owned()),
        ..Properties::default()
    };
    let messages = [input("echo", &properties)];
    let states = [StateSlot { bytes: None, generation: 0 }];
    let batch = Batch { now_us: 1, messages: &messages, states: &states };
    let mut instance = HOSTILE.instantiate().expect("an instance");
    let (decisions, cost) = instance.process(&batch).expect("an answer");

    let [emission] = &decisions.messages[0].emissions[..] else { panic!("one emission") };
    assert_eq!(emission.output, "echo");
    assert_eq!(emission.routing_key.as_deref(), Some("meter.7.reading"));
    assert_eq!(emission.properties, properties);
    assert_eq!(emission.body.as_deref(), Some(&b"meters"[..]));
    assert!(cost.memory_bytes > 0);
}

#[test]
fn state_goes_in_and_comes_out() {
    let properties = Properties::default();
    let messages = [input("count", &properties)];
    let states = [StateSlot { bytes: Some(Cow::Borrowed(b"+++")), generation: 3 }];
    let batch = Batch { now_us: 1, messages: &messages, states: &states };
    let mut instance = HOSTILE.instantiate().expect("an instance");
    let (decisions, _) = instance.process(&batch).expect("an answer");
    assert_eq!(decisions.states, [StateChange::Set(b"++++"[..].into())]);
}

#[test]
fn a_panic_says_its_message_its_place_and_its_stack() {
    let error = fails_as(&HOSTILE, "panic", FailureClass::Trap, "panicked at ");
    assert!(error.text.contains("attack.rs:"), "{error}");
    assert!(error.text.ends_with(": boom, as told"), "{error}");
    let own = error.backtrace.iter().position(|frame| frame.contains("guest_hostile::"));
    assert!(own.is_some_and(|at| at > 0), "{:#?}", error.backtrace);
    assert!(error.backtrace.len() <= limits::PLUGIN_BACKTRACE_FRAMES);
}

#[test]
fn traps_say_what_was_forbidden() {
    fails_as(&HOSTILE, "trap", FailureClass::Trap, "aborted");
    fails_as(&HOSTILE, "exit", FailureClass::Trap, "called exit");
    fails_as(&HOSTILE, "sleep", FailureClass::Trap, "a plugin can't wait; use a timer");
    fails_as(&HOSTILE, "stdin", FailureClass::Trap, "a plugin can't wait; use a timer");
}

#[test]
fn deep_recursion_is_a_trap_that_says_so() {
    fails_as(&HOSTILE, "recurse", FailureClass::Trap, "recurs");
}

#[test]
fn an_endless_loop_is_stopped_at_its_deadline() {
    let limits = PluginLimits { call: Duration::from_millis(100), ..tight() };
    let plugin = load(guests::HOSTILE, b"", &limits).expect("it loads");
    let error = fails_as(&plugin, "loop", FailureClass::Deadline, "limit of 100 ms processor time");
    assert!(error.text.contains("limits.call"), "{error}");
}

#[test]
fn a_memory_bomb_is_stopped_at_its_limit() {
    let limits = PluginLimits { call: Duration::from_secs(5), ..tight() };
    let plugin = load(guests::HOSTILE, b"", &limits).expect("it loads");
    fails_as(&plugin, "hog", FailureClass::Memory, "its limit is 4194304 bytes (limits.memory)");
}

#[test]
fn malformed_answers_are_refused_and_named() {
    for (wrong, why) in [
        ("too few verdicts", "1 verdicts for 2 messages"),
        ("too many verdicts", "3 verdicts for 2 messages"),
        ("unknown verdict", "verdict 9"),
        ("no such reason", "reason 7 where there are 0"),
        ("body outside", "leaves the arena"),
        ("ghost message", "message 99 of a batch of 2"),
        ("emission of a rejected message", "retried or rejected"),
        ("output that isn't text", "isn't UTF-8"),
        ("long routing key", "routing key of 256 bytes"),
        ("properties cut off", "content-type: 40 bytes announced where 1 are left"),
        ("too many emissions", "more than 1000 emissions"),
        ("large state", "a state of 71680 bytes where 65536 are allowed"),
        ("huge", "limits.output"),
        ("empty", "the index is empty"),
        ("tables outside", "leave the index"),
    ] {
        let body = format!("answer: {wrong}");
        fails_as(&HOSTILE, &body, FailureClass::Malformed, why);
    }
    fails_as(&HOSTILE, "shout", FailureClass::Malformed, "limits.output");
}

fn new_body(verdict: &Verdict) -> &[u8] {
    let Verdict::Next(Some(replacement)) = verdict else { panic!("{verdict:?}") };
    replacement.body.as_deref().expect("a body")
}

#[test]
fn overlapping_spans_are_fine() {
    let mut instance = HOSTILE.instantiate().expect("an instance");
    let bodies = ["answer: overlapping bodies"; 64];
    let decisions = run(&mut instance, &bodies).expect("an answer");
    for decision in &decisions.messages {
        let body = new_body(&decision.verdict);
        assert_eq!(body.len(), MIB);
    }
}

#[test]
fn a_plugin_sees_the_batchs_time_and_no_chance() {
    let look = || {
        let mut instance = HOSTILE.instantiate().expect("an instance");
        let decisions = run(&mut instance, &["look"]).expect("an answer");
        let body = new_body(&decisions.messages[0].verdict);
        String::from_utf8(body.to_vec()).expect("text")
    };
    let seen = look();
    assert!(seen.contains("clock Ok(1700000000123456) elapsed 0ns"), "{seen}");
    assert!(seen.contains("arguments [] environment []"), "{seen}");
    assert_eq!(look(), seen);
}

#[test]
fn a_flood_of_log_lines_is_cut_and_counted() {
    let plugin = load(guests::HOSTILE, b"", &generous()).expect("it loads");
    let mut instance = plugin.instantiate().expect("an instance");
    run(&mut instance, &["chatter"]).expect("talking is allowed");
    assert!(plugin.log_lines_dropped() > 1000, "{}", plugin.log_lines_dropped());
}

#[test]
fn files_are_refused_at_load_by_name() {
    refused(guests::FILES, b"", &["wasi:filesystem/types@0.2.6", "wasi:filesystem/preopens@0.2.6"]);
}

#[test]
fn a_component_of_another_world_is_refused() {
    refused(
        guests::OTHER_WORLD,
        b"",
        &["another world", "acme:filters/filter@1.2.0", "sluicegate:plugin/guest@0.1.0"],
    );
}

#[test]
fn a_plugin_of_another_version_is_refused_with_both_versions() {
    let newer = patched(b"sluicegate:plugin/guest@0.1.0", b"sluicegate:plugin/guest@0.7.0");
    refused(&newer, b"", &["built for sluicegate:plugin 0.7.0", "this host speaks 0.1.0"]);
}

#[test]
fn what_is_no_component_is_refused_with_a_remedy() {
    let wasm = guests::HOSTILE;
    refused(b"", b"", &["the file is empty"]);
    refused(b"\0asm\x01\0\0\0", b"", &["core WebAssembly module", "wasm32-wasip2"]);
    refused(b"\x7fELF and so on", b"", &["isn't a WebAssembly component"]);
    refused(b"\0asm\x07\0\0\0", b"", &["unknown version"]);
    refused(&wasm[..wasm.len() / 2], b"", &["damaged or cut off"]);
    let mut corrupt = wasm.to_vec();
    corrupt[wasm.len() / 4..wasm.len() / 2].fill(0xff);
    refused(&corrupt, b"", &["damaged or cut off"]);
    let size = usize::try_from(limits::PLUGIN_FILE_BYTES).expect("it fits") + 1;
    refused(&vec![0; size], b"", &["33554432 are allowed"]);
}

#[test]
fn a_plugin_that_fails_while_it_is_set_up_is_refused_with_its_words() {
    refused(guests::HOSTILE, b"refuse", &["refuses its config", "threshold: 4.5 expected"]);
    refused(guests::HOSTILE, b"panic", &["configure failed (trap)", "boom, as told"]);
    refused(guests::HOSTILE, b"hog", &["configure failed (memory)"]);
    refused(&describing("panic"), b"", &["describe failed (trap)", "boom, as told"]);
    refused(&describing("sleep"), b"", &["describe failed (trap)", "can't wait"]);
}

#[test]
fn memory_too_small_to_begin_with_is_refused_at_load() {
    let limits = PluginLimits { memory_bytes: MIB / 2, ..generous() };
    let error = load(guests::HOSTILE, b"", &limits).expect_err("it is refused");
    assert!(error.contains("instantiation failed (memory)"), "{error}");
}

#[test]
fn compiled_plugins_are_cached_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let cache_dir = folder.path().join("compiled");
    let options = EngineOptions { cache_dir: Some(cache_dir.clone()) };
    let engine = Engine::new(options).expect("an engine");
    engine.load("hostile", guests::HOSTILE, b"", &generous()).expect("it loads");
    let mode = cache_dir.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(cache_dir.read_dir().expect("it can be read").next().is_some());

    let file = folder.path().join("file");
    std::fs::write(&file, b"").expect("a file");
    let error = Engine::new(EngineOptions { cache_dir: Some(file) }).err().expect("refused");
    assert!(error.to_string().contains("cache_dir"), "{error}");
}

/// Set in the process that measures itself.
const ALONE: &str = "SLUICEGATE_TEST_ALONE";

const ATTACKS: [&str; 10] = [
    "panic",
    "loop",
    "hog",
    "recurse",
    "bellow",
    "shout",
    "answer: ghost message",
    "answer: huge",
    "answer: lengths of 2^32",
    "answer: counts of 2^32",
];

/// Other tests would be counted, so this one runs in a process of its own.
#[test]
fn a_thousand_failures_leave_the_hosts_memory_as_it_was() {
    if std::env::var_os(ALONE).is_none() {
        let name = "guests::a_thousand_failures_leave_the_hosts_memory_as_it_was";
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .expect("it starts again");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let plugin = load(guests::HOSTILE, b"", &tight()).expect("it loads");
    let fail = |times: usize| {
        for body in ATTACKS.iter().cycle().take(times) {
            let mut instance = plugin.instantiate().expect("an instance");
            run(&mut instance, &["fine", body]).expect_err("it fails");
        }
    };
    fail(40);
    let before = resident_bytes();
    fail(1000);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "resident memory grew by {grown} bytes");
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number") * 4096
}
