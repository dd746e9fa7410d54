#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::builtin;
use crate::config::{self, PluginLimits};
use crate::message::Properties;
use crate::plugin::capsule::{Redacted, diff_outcomes};
use crate::plugin::{
    Batch, CallCost, CallError, Engine, EngineOptions, Input, Plugin, StateChange, StateSlot,
};
use crate::verdict::{Decision, Emission, FailureClass, Replacement};

static PLUGIN: LazyLock<Arc<Plugin>> = LazyLock::new(|| {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let wasm = builtin::plugin("meter-anomaly").unwrap();
    engine.load("guard", wasm, &[0x80], &PluginLimits::default()).unwrap()
});

const BODY: &str = r#"{"meter":"m-7","kw":3.5}"#;

struct Desk {
    folder: TempDir,
    recorder: Arc<Recorder>,
    telemetry: Telemetry,
}

fn pipeline(record: &str) -> Pipeline {
    let text = format!(
        r#"
        broker.main.url = "embedded:"
        plugin = [{{ name = "guard", file = "builtin:meter-anomaly" }}]
        queue = [{{ name = "q", dead_letter = "discard" }}]
        [[pipeline]]
        name = "read/ings"
        queue = "q"
        stages = ["guard"]
        record = {record}
        "#
    );
    let (config, _) = config::parse(&text, Path::new("c.toml"))
        .unwrap_or_else(|problems| panic!("{}", config::render_all(&problems, &text, false)));
    config.pipelines.into_iter().next().unwrap()
}

impl Desk {
    fn open(record: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let telemetry = Telemetry::new();
        let recorder = Recorder::start(folder.path(), &[pipeline(record)], &telemetry).unwrap();
        Self { folder, recorder, telemetry }
    }

    /// A call of so many messages that ended so.
    fn called(&self, messages: usize, result: Result<&Decisions, &CallError>) {
        let properties = Properties::default();
        let input = |at: usize| Input {
            exchange: "meters",
            routing_key: "meter.7.reading",
            key: Some("7"),
            properties: &properties,
            body: BODY.as_bytes(),
            attempt: 1,
            seed: [u8::try_from(at).unwrap(); 16],
            slot: Some(0),
            row: Some(b"\x81\xa1r\xa3m-7"),
            due_us: None,
        };
        let messages: Vec<_> = (0..messages).map(input).collect();
        let states = [StateSlot { bytes: Some(Cow::Borrowed(b"\x81\xa1n\x04")), generation: 2 }];
        self.recorder.called(&Called {
            pipeline: "read/ings",
            stage: 0,
            plugin: &PLUGIN,
            batch: &Batch { now_us: 1_700_000_000_000_000, messages: &messages, states: &states },
            tables: &[],
            outputs: &[],
            result,
            cost: CallCost::default(),
        });
    }

    fn files(&self) -> Vec<PathBuf> {
        self.recorder.flush();
        let folder = shelf::pipeline_folder(&shelf::folder(self.folder.path()), "read/ings");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn capsules(&self) -> Vec<Capsule> {
        let read = |path: &PathBuf| Capsule::decode(&fs::read(path).unwrap()).unwrap();
        self.files().iter().map(read).collect()
    }
}

fn trap(place: &str) -> CallError {
    CallError {
        class: FailureClass::Trap,
        text: "index out of bounds".to_owned(),
        backtrace: vec![place.to_owned()],
    }
}

fn decided(verdicts: Vec<Verdict>) -> Decisions {
    let emission = Emission {
        output: "alerts".to_owned(),
        routing_key: None,
        properties: Properties::default(),
        body: Some(Bytes::from_static(b"m-7 is high")),
    };
    let decision = |verdict| Decision { verdict, emissions: vec![emission.clone()] };
    Decisions {
        messages: verdicts.into_iter().map(decision).collect(),
        states: vec![StateChange::Set(Bytes::from_static(b"\x81\xa1n\x05"))],
        timers: Vec::new(),
    }
}

fn reject(code: &str) -> Verdict {
    Verdict::Reject { code: code.to_owned(), text: "no".to_owned() }
}

#[test]
fn a_call_that_failed_alone_is_kept_whole_and_for_the_hosts_user_only() {
    let desk = Desk::open("{}");
    desk.called(3, Err(&trap("a")));
    assert!(desk.files().is_empty(), "a batch that failed runs again message by message");
    desk.called(1, Err(&trap("a")));
    let [capsule] = &desk.capsules()[..] else { panic!("one capsule") };
    assert_eq!(capsule.meta.why, Why::Failure);
    assert_eq!(capsule.meta.digest, PLUGIN.digest());
    assert_eq!(capsule.batch.messages[0].body, BODY);
    assert!(diff_outcomes(&capsule.outcome, &Outcome::Failed(trap("a"))).is_empty());
    let file = &desk.files()[0];
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let folder = fs::metadata(file.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_capsule_is_found_by_the_id_that_its_failure_report_has() {
    let desk = Desk::open("{}");
    desk.called(1, Err(&trap("a")));
    let id = format!("{:032x}-failure", 0);
    let shelf = shelf::folder(desk.folder.path());
    desk.recorder.flush();
    assert_eq!(shelf::find(&shelf, &id).unwrap().unwrap(), desk.files()[0]);
    assert_eq!(shelf::find(&shelf, "0000").unwrap().unwrap(), desk.files()[0]);
    assert_eq!(shelf::find(&shelf, "ff").unwrap(), None);
}

#[test]
fn a_storm_of_one_cause_leaves_room_for_the_others() {
    let desk = Desk::open("{}");
    for _ in 0..100 {
        desk.called(1, Err(&trap("a")));
    }
    desk.called(1, Err(&trap("b")));
    for _ in 0..5 {
        desk.called(2, Ok(&decided(vec![Verdict::Done, reject("broken")])));
    }
    desk.recorder.flush();
    let counts = desk.telemetry.render();
    let recorded = "capsules_recorded_total{pipeline=\"read/ings\",why=\"failure\"} 12";
    assert!(counts.contains(recorded), "{counts}");
    let refused =
        desk.capsules().into_iter().filter(|it| matches!(it.outcome, Outcome::Decided(_)));
    assert_eq!(refused.map(|it| it.meta.message).collect::<Vec<_>>(), [Some(1)]);
}

#[test]
fn nothing_is_recorded_where_nothing_is_wanted() {
    let desk = Desk::open("{ failures = false }");
    desk.called(1, Err(&trap("a")));
    desk.called(1, Ok(&decided(vec![reject("broken")])));
    assert!(desk.files().is_empty());
}

#[test]
fn a_sample_is_recorded_whatever_comes_of_it() {
    let desk = Desk::open("{ sample = 1 }");
    desk.called(1, Ok(&decided(vec![Verdict::Done])));
    assert_eq!(desk.capsules()[0].meta.why, Why::Sample);
}

#[test]
fn only_the_newest_that_fit_are_kept() {
    let desk = Desk::open("{ max_files = 3 }");
    for at in 0..8 {
        desk.called(1, Err(&trap(&format!("place {at}"))));
        desk.recorder.flush();
    }
    // All have one time and one seed here, so that a later one may take the name of an earlier.
    assert!(desk.files().len() <= 3);
    desk.recorder.follow(&[pipeline("{ max_files = 1 }")]);
    assert_eq!(desk.files().len(), 1);
}

#[test]
fn a_masked_capsule_has_the_shape_without_the_values_and_says_so() {
    let desk = Desk::open("{ bodies = \"redact\", sample = 1 }");
    let next = Replacement { body: Some(Bytes::from_static(b"[1.5]")), ..Replacement::default() };
    desk.called(1, Ok(&decided(vec![Verdict::Next(Some(next.into()))])));
    let [capsule] = &desk.capsules()[..] else { panic!("one capsule") };
    assert_eq!(capsule.meta.redacted, Redacted::Masked);
    let body: Value = serde_json::from_slice(&capsule.batch.messages[0].body).unwrap();
    assert_eq!(body, json!({ "meter": "xxx", "kw": 0.0 }));
    assert_eq!(capsule.batch.states[0].bytes.as_deref(), Some(&b"\x81\xa1n\x00"[..]));
    let file = fs::read(&desk.files()[0]).unwrap();
    let holds = |what: &[u8]| file.windows(what.len()).any(|window| window == what);
    assert!(!holds(b"m-7") && !holds(b"3.5") && !holds(b"is high"));
}

#[test]
fn a_capsule_without_bodies_has_none_and_says_so() {
    let desk = Desk::open("{ bodies = \"none\", sample = 1 }");
    desk.called(1, Ok(&decided(vec![Verdict::Done])));
    let [capsule] = &desk.capsules()[..] else { panic!("one capsule") };
    assert_eq!(capsule.meta.redacted, Redacted::Removed);
    assert!(capsule.batch.messages[0].body.is_empty());
}

fn tap(desk: &Desk, settings: TapSettings) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(4);
    let ear = Ear { lines: sender, lost: Arc::default() };
    desk.recorder.tap("read/ings", settings, ear).unwrap();
    lines
}

const ALL: TapSettings = TapSettings { bodies: true, sample: 1.0, rate: 100, record: false };

#[test]
fn a_tap_shows_what_was_handed_and_what_was_decided() {
    let desk = Desk::open("{}");
    let mut lines = tap(&desk, ALL);
    desk.called(1, Ok(&decided(vec![Verdict::Done])));
    let line: Value = serde_json::from_str(&lines.try_recv().unwrap()).unwrap();
    assert_eq!(line["body"], json!({ "meter": "m-7", "kw": 3.5 }));
    assert_eq!(line["decision"]["verdict"], "done");
    assert_eq!(line["decision"]["emissions"][0]["body"], "m-7 is high");
    assert_eq!(line["state_before"]["value"], json!({ "n": 4 }));
    assert_eq!(line["state_after"]["value"], json!({ "n": 5 }));
}

#[test]
fn a_tap_shows_no_bodies_unless_asked() {
    let desk = Desk::open("{}");
    let mut lines = tap(&desk, TapSettings { bodies: false, ..ALL });
    desk.called(1, Ok(&decided(vec![Verdict::Done])));
    let line = lines.try_recv().unwrap();
    assert!(!line.contains("m-7") && !line.contains("high"), "{line}");
    assert!(line.contains(&format!("\"body_bytes\":{}", BODY.len())), "{line}");
}

#[test]
fn a_tap_is_held_to_its_rate_and_a_slow_one_hears_what_it_missed() {
    let desk = Desk::open("{}");
    let mut lines = tap(&desk, TapSettings { rate: 2, ..ALL });
    let verdicts = vec![Verdict::Done; 10];
    desk.called(10, Ok(&decided(verdicts.clone())));
    assert!(lines.try_recv().is_ok() && lines.try_recv().is_ok() && lines.try_recv().is_err());
    let (sender, _slow) = mpsc::channel(4);
    let lost = Arc::default();
    let ear = Ear { lines: sender, lost: Arc::clone(&lost) };
    desk.recorder.tap("read/ings", ALL, ear).unwrap();
    desk.called(10, Ok(&decided(verdicts)));
    assert_eq!(lost.load(Ordering::Relaxed), 6);
}

#[test]
fn a_tap_that_was_left_costs_nothing_any_more() {
    let desk = Desk::open("{}");
    drop(tap(&desk, ALL));
    desk.called(1, Ok(&decided(vec![Verdict::Done])));
    let book = desk.recorder.book("read/ings").unwrap();
    assert_eq!(book.taps.count.load(Ordering::Relaxed), 0);
}

#[test]
fn a_tap_may_ask_for_capsules_and_ends_with_its_pipeline() {
    let desk = Desk::open("{ failures = false }");
    let mut lines = tap(&desk, TapSettings { record: true, ..ALL });
    desk.called(1, Ok(&decided(vec![Verdict::Done])));
    assert_eq!(desk.capsules()[0].meta.why, Why::Asked);
    assert!(lines.try_recv().is_ok());
    desk.recorder.follow(&[pipeline("{ max_age = \"2h\" }")]);
    desk.called(1, Ok(&decided(vec![Verdict::Done])));
    assert!(lines.try_recv().is_ok(), "other settings don't end a look");
    desk.recorder.follow(&[]);
    assert_eq!(lines.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
}

#[test]
fn who_taps_what_is_not_there_hears_what_is() {
    let desk = Desk::open("{}");
    let (lines, _) = mpsc::channel(1);
    let error = desk.recorder.tap("nope", ALL, Ear { lines, lost: Arc::default() }).unwrap_err();
    assert!(error.contains("'nope'") && error.contains("read/ings"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_written_is_counted_and_harms_nothing() {
    let desk = Desk::open("{}");
    fs::write(shelf::folder(desk.folder.path()), "in the way").unwrap();
    desk.called(1, Err(&trap("a")));
    desk.recorder.flush();
    let lost = "capsules_lost_total{pipeline=\"read/ings\",why=\"unwritable\"} 1";
    assert!(desk.telemetry.render().contains(lost));
}
