#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::broker::{Receipt, Settler};
use crate::config::{IdWindow, Output, Retry, Unroutable};
use crate::message::Properties;
use crate::pipeline::address::{Addresses, OutputTarget, Role};
use crate::pipeline::breaker::Phase;
use crate::pipeline::crash::CrashJournal;
use crate::pipeline::fixture::{self, Settled as Ledger};
use crate::pipeline::flight::InFlight;
use crate::pipeline::headers::History;
use crate::pipeline::identity::Identity;
use crate::pipeline::journal::Journal;
use crate::pipeline::judge::{Policy, Terminal};
use crate::pipeline::stages::{Stage, Version};
use crate::plugin::{Batch, CallError, Decisions, StateChange};
use crate::state::{MemoryStore, Place};
use crate::telemetry::Telemetry;
use crate::verdict::{Decision, Emission, FailureClass, Verdict};

/// Counts per key and emits the count; rejects a body `reject`, and asks for a retry of the first
/// attempt of one that starts with `late`.
#[derive(Default)]
pub(super) struct Counter {
    pub(super) ran: Vec<String>,
    /// The generations of the states that it was handed.
    handed: Vec<u64>,
}

impl Call for Counter {
    fn version(&self, _: usize) -> Version<'_> {
        Version { digest: "d", stateful: true, ..Version::default() }
    }

    fn migrate(&mut self, _: usize, _: u32, state: &[u8]) -> Result<Bytes, CallError> {
        Ok(Bytes::copy_from_slice(state))
    }

    fn shadow(&mut self, _: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        Ok(Decisions::unchanged(batch))
    }

    fn call(&mut self, _: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        self.handed.extend(batch.states.iter().map(|slot| slot.generation));
        let count = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<u64>().unwrap();
        let mut counts: Vec<u64> =
            batch.states.iter().map(|slot| slot.bytes.as_deref().map_or(0, count)).collect();
        let messages = batch.messages.iter().map(|message| {
            let text = String::from_utf8(message.body.to_vec()).unwrap();
            self.ran.push(text.clone());
            if text.starts_with("late") && message.attempt == 1 {
                let (code, after) = ("late".to_owned(), None);
                return Decision {
                    verdict: Verdict::Retry { code, text, after },
                    emissions: Vec::new(),
                };
            }
            if text == "reject" {
                let verdict = Verdict::Reject { code: "no".to_owned(), text };
                return Decision { verdict, emissions: Vec::new() };
            }
            let n = message.slot.map_or(0, |slot| {
                counts[slot as usize] += 1;
                counts[slot as usize]
            });
            let emission = Emission {
                output: "out".to_owned(),
                routing_key: None,
                properties: Properties::default(),
                body: Some(Bytes::from(format!("{text}={n}"))),
            };
            Decision { verdict: Verdict::Done, emissions: vec![emission] }
        });
        let messages = messages.collect();
        let states = counts.iter().map(|n| StateChange::Set(Bytes::from(n.to_string())));
        Ok(Decisions { messages, states: states.collect(), timers: Vec::new() })
    }
}

/// A lane whose publisher is the test.
pub(super) struct Bench {
    pub(super) lane: Lane,
    groups: mpsc::Receiver<Vec<Planned>>,
    pub(super) counter: Counter,
    settled: Arc<Ledger>,
    folder: tempfile::TempDir,
    tags: u64,
}

impl Bench {
    fn new() -> Self {
        Self::made(Retry::never(), |_| ())
    }

    /// With that policy of retries.
    pub(super) fn with(retry: Retry) -> Self {
        Self::made(retry, |_| ())
    }

    /// On a state folder in which something happened before.
    fn after(past: impl FnOnce(&std::path::Path)) -> Self {
        Self::made(Retry::never(), past)
    }

    fn made(retry: Retry, past: impl FnOnce(&std::path::Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        past(folder.path());
        let output = Output {
            broker: "main".to_owned(),
            exchange: "out".to_owned(),
            routing_key: None,
            unroutable: Unroutable::Fail,
        };
        let shape = Shape {
            index: 0,
            name: "p".to_owned(),
            stages: vec![Stage {
                plugin: "counter".to_owned(),
                when: None,
                first_generation: 0,
                tables: Vec::new(),
            }],
            plugins: Vec::new(),
            observers: Arc::new([]),
            policy: Policy { retry, terminal: Terminal::Nack },
            addresses: Addresses {
                pipeline: "p".to_owned(),
                queue: "work".to_owned(),
                broker: 0,
                outputs: vec![OutputTarget { name: "out".to_owned(), broker: 0, output }],
                key_header: None,
                failures: "failures".to_owned(),
                host: "h".to_owned(),
            },
            batch: BatchLimits { messages: 100, bytes: 1 << 20 },
            places: Place::of_stages("p", ["counter"]),
            state_keys: 1000,
            state_cache: 1 << 20,
            state_ttl: None,
            id_window: IdWindow { age: Duration::from_secs(600), entries: 100 },
            in_flight: Arc::new(InFlight::default()),
            metrics: Telemetry::new().pipeline("p"),
            breaker: Arc::default(),
            crashes: Arc::new(CrashJournal::open(folder.path())),
            journal: Arc::new(Journal::new(folder.path())),
        };
        let (publisher, groups) = mpsc::channel(1);
        let keeping = Keeping::here(MemoryStore::new());
        let lane = Lane::new(Arc::new(shape), publisher, keeping);
        let settled = Arc::new(Ledger(Mutex::default()));
        Self { lane, groups, counter: Counter::default(), settled, folder, tags: 0 }
    }

    /// A message arrives; its tag.
    pub(super) fn arrives(&mut self, consumer: u64, key: &str, body: &str) -> u64 {
        self.delivered(consumer, key, body, false)
    }

    /// The broker brings a message back; its new tag.
    fn arrives_again(&mut self, consumer: u64, key: &str, body: &str) -> u64 {
        self.delivered(consumer, key, body, true)
    }

    fn delivered(&mut self, consumer: u64, key: &str, body: &str, redelivered: bool) -> u64 {
        self.tags += 1;
        let mut job = fixture::job(key, 0, body);
        let id = format!("{key}/{body}");
        job.identity = Some(Identity::new(id.as_bytes(), body.as_bytes(), &History::default()));
        job.seed = job.identity.unwrap().whole;
        job.consumer = consumer;
        job.redelivered = redelivered;
        job.receipt = Receipt::new(Arc::clone(&self.settled) as Arc<dyn Settler>, self.tags);
        self.lane.shape.in_flight.entered(&self.lane.shape.metrics);
        self.lane.arrived(job);
        self.tags
    }

    pub(super) fn work(&mut self) {
        assert!(self.lane.work(&mut self.counter, usize::MAX, 1_000_000));
    }

    /// What the publisher was handed last.
    pub(super) fn handed(&mut self) -> Vec<Planned> {
        self.groups.try_recv().expect("a group is handed over")
    }

    /// The same, where there is one.
    pub(super) fn next_group(&mut self) -> Option<Vec<Planned>> {
        self.groups.try_recv().ok()
    }

    pub(super) fn is_idle(&mut self) -> bool {
        self.groups.try_recv().is_err()
    }

    /// The publisher answers; what isn't said is safe.
    pub(super) fn answers(&mut self, items: Vec<Planned>, fate: impl Fn(&str) -> Fate) {
        let fates = items.iter().map(|item| fate(&body(item))).collect();
        self.lane.published(Done { items, fates });
    }

    pub(super) fn settled(&self) -> Vec<(u64, Settlement)> {
        std::mem::take(&mut self.settled.0.lock().unwrap())
    }

    pub(super) fn held(&self) -> usize {
        self.lane.shape.in_flight.held()
    }
}

fn body(item: &Planned) -> String {
    match item.role {
        Role::Report => "report".to_owned(),
        _ => String::from_utf8(item.message.body.to_vec()).unwrap(),
    }
}

pub(super) fn bodies(items: &[Planned]) -> Vec<String> {
    items.iter().map(body).collect()
}

fn impossible() -> Fate {
    Fate::Impossible(Failure {
        class: FailureClass::Publish,
        code: "unroutable".to_owned(),
        text: String::new(),
        stage: None,
        backtrace: Vec::new(),
        retry_after: None,
    })
}

#[tokio::test]
async fn what_ran_is_settled_when_its_group_is_safe_and_not_before() {
    let mut bench = Bench::new();
    let tags = [bench.arrives(1, "a", "x"), bench.arrives(1, "a", "reject")];
    bench.work();
    let items = bench.handed();
    assert_eq!(bodies(&items), ["x=1", "report"]);
    assert!(bench.settled().is_empty());
    assert_eq!(bench.held(), 2);
    bench.answers(items, |_| Fate::Safe);
    assert_eq!(bench.settled(), [(tags[0], Settlement::Ack), (tags[1], Settlement::DeadLetter)]);
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn batches_that_ran_meanwhile_are_published_as_one_group() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "x");
    bench.work();
    let first = bench.handed();
    for text in ["y", "z"] {
        bench.arrives(1, "a", text);
        bench.work();
    }
    assert!(bench.is_idle(), "one group at a time");
    bench.answers(first, |_| Fate::Safe);
    let second = bench.handed();
    assert_eq!(bodies(&second), ["y=2", "z=3"], "each on what ran before it, published or not");
    bench.answers(second, |_| Fate::Safe);
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn an_output_that_can_never_be_published_rewinds_its_key_through_all_that_ran() {
    let mut bench = Bench::new();
    let tags: Vec<u64> =
        ["a1", "a2", "a3", "b1"].map(|text| bench.arrives(1, &text[..1], text)).into();
    bench.work();
    let first = bench.handed();
    let later = bench.arrives(1, "a", "a4");
    bench.work();
    let waiting = bench.arrives(1, "a", "a5");
    bench.answers(first, |body| if body == "a2=2" { impossible() } else { Fate::Safe });
    assert_eq!(bench.settled(), [(tags[3], Settlement::Ack)], "the other key goes on");

    let report = bench.handed();
    assert_eq!(bodies(&report), ["report"], "later results of the key are withdrawn");
    bench.answers(report, |_| Fate::Safe);
    assert_eq!(bench.settled(), [(tags[1], Settlement::DeadLetter)]);

    bench.counter.ran.clear();
    bench.work();
    assert_eq!(bench.counter.ran, ["a1", "a3", "a4", "a5"], "in order, without the failed one");
    let again = bench.handed();
    assert_eq!(bodies(&again), ["a3=2", "a4=3", "a5=4"], "a1=1 is out already");
    bench.answers(again, |_| Fate::Safe);
    let acked: Vec<_> = [tags[0], tags[2], later, waiting].map(|t| (t, Settlement::Ack)).into();
    assert_eq!(bench.settled(), acked);
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn another_version_waits_until_nothing_that_ran_is_unsettled_or_half_told() {
    let mut bench = Bench::new();
    for text in ["told", "lost"] {
        bench.arrives(1, "a", text);
    }
    bench.work();
    for text in ["a", "b"] {
        bench.arrives(1, text, "new");
    }
    assert!(!bench.lane.rests());
    bench.lane.wind_down();
    assert!(!bench.lane.work(&mut bench.counter, usize::MAX, 0), "nothing new begins");

    let items = bench.handed();
    bench.answers(items, |body| if body == "lost=2" { impossible() } else { Fate::Safe });
    let report = bench.handed();
    bench.answers(report, |_| Fate::Safe);
    assert!(!bench.lane.rests(), "an output of the version that ran is out");
    bench.counter.ran.clear();
    bench.work();
    assert_eq!(bench.counter.ran, ["told", "new"], "its key alone goes on in that version");
    assert!(!bench.lane.rests());
    let again = bench.handed();
    bench.answers(again, |_| Fate::Safe);
    assert!(bench.lane.rests());
    bench.lane.go_on();
    bench.work();
    assert_eq!(bench.counter.ran, ["told", "new", "new"]);
}

#[tokio::test]
async fn a_lost_consumer_takes_back_all_but_what_is_being_published() {
    let mut bench = Bench::new();
    let publishing = bench.arrives(1, "a", "x");
    bench.work();
    let items = bench.handed();
    let ran = bench.arrives(1, "a", "y");
    bench.work();
    let waiting = bench.arrives(1, "a", "z");
    bench.lane.lost(1);
    let released: Vec<_> = [waiting, ran].map(|tag| (tag, Settlement::Release)).into();
    assert_eq!(bench.settled(), released);

    // The broker delivers all three again.
    let twins = ["x", "y", "z"].map(|text| bench.arrives(2, "a", text));
    assert!(!bench.lane.work(&mut bench.counter, usize::MAX, 0), "all wait for the first's twin");
    bench.answers(items, |_| Fate::Safe);
    assert_eq!(bench.settled(), [(publishing, Settlement::Ack)], "which does nothing: it is stale");
    bench.counter.ran.clear();
    bench.work();
    assert_eq!(bench.settled(), [(twins[0], Settlement::Ack)], "a duplicate: its outputs are safe");
    assert_eq!(bench.counter.ran, ["y", "z"]);
    let items = bench.handed();
    assert_eq!(bodies(&items), ["y=2", "z=3"], "x counted once, what was given up not at all");
    bench.answers(items, |_| Fate::Safe);
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn a_message_in_publication_runs_no_second_time_however_often_its_consumer_is_lost() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "x");
    bench.work();
    let items = bench.handed();
    for consumer in 1..4 {
        bench.lane.lost(consumer);
        bench.arrives(consumer + 1, "a", "x");
        assert!(!bench.lane.work(&mut bench.counter, usize::MAX, 0), "it waits for its twin");
    }
    bench.answers(items, |_| Fate::Safe);
    bench.work();
    assert_eq!(bench.counter.ran, ["x"]);
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn what_a_shutdown_gave_up_is_released_and_leaves_no_state() {
    let mut bench = Bench::new();
    let tags = [bench.arrives(1, "a", "x"), bench.arrives(1, "b", "y")];
    bench.work();
    let items = bench.handed();
    bench.answers(items, |body| if body == "x=1" { Fate::Abandoned } else { Fate::Safe });
    assert_eq!(bench.settled(), [(tags[1], Settlement::Ack), (tags[0], Settlement::Release)]);
    let state = |key| bench.lane.cache.get(key, 0).and_then(|entry| entry.bytes.clone());
    assert_eq!((state("a"), state("b")), (None, Some(Bytes::from("1"))));
}

#[tokio::test]
async fn a_lane_that_closes_releases_whatever_it_holds() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "x");
    bench.work();
    bench.arrives(1, "a", "y");
    bench.work();
    bench.arrives(2, "a", "z");
    bench.lane.close();
    assert!(bench.settled().iter().all(|(_, settlement)| *settlement == Settlement::Release));
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn without_a_publisher_nothing_is_acknowledged() {
    let mut bench = Bench::new();
    bench.groups.close();
    let tag = bench.arrives(1, "a", "x");
    bench.work();
    assert_eq!(bench.settled(), [(tag, Settlement::Release)]);
}

#[tokio::test]
async fn an_untold_failure_is_kept_on_disk_and_dead_lettered_all_the_same() {
    let mut bench = Bench::new();
    let tag = bench.arrives(1, "a", "reject");
    bench.work();
    let items = bench.handed();
    bench.answers(items, |_| Fate::Untold);
    assert_eq!(bench.settled(), [(tag, Settlement::DeadLetter)]);
    let journal = bench.folder.path().join(crate::limits::JOURNAL_FILE);
    let kept = std::fs::read_to_string(journal).unwrap();
    assert!(kept.contains(r#""code":"no""#), "{kept}");
}

#[tokio::test]
async fn a_failure_that_was_told_stays_what_it_is_when_its_key_is_rewound() {
    let mut bench = Bench::new();
    let tags = ["a1", "a2", "reject", "a3"].map(|text| bench.arrives(1, "a", text));
    bench.work();
    let items = bench.handed();
    bench.answers(items, |body| if body == "a2=2" { impossible() } else { Fate::Safe });
    assert_eq!(bench.settled(), [(tags[2], Settlement::DeadLetter)], "one report, one death");
    bench.counter.ran.clear();
    bench.work();
    assert_eq!(bench.counter.ran, ["a1", "a3"]);
}

#[tokio::test]
async fn a_dead_letter_whose_nack_was_lost_is_nacked_again_without_a_second_report() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "reject");
    bench.work();
    let items = bench.handed();
    bench.lane.lost(1);
    let again = bench.arrives_again(2, "a", "reject");
    bench.answers(items, |_| Fate::Safe);
    bench.settled();
    bench.work();
    assert_eq!(bench.settled(), [(again, Settlement::DeadLetter)]);
    assert_eq!(bench.counter.ran, ["reject"], "run once");
    assert!(bench.is_idle(), "told once");

    // Somebody takes it out of the dead-letter queue and publishes it again.
    bench.arrives(2, "a", "reject");
    bench.work();
    assert_eq!(bench.counter.ran, ["reject", "reject"]);
}

#[tokio::test]
async fn what_is_given_up_takes_all_with_it_that_ran_on_top_of_it() {
    let mut bench = Bench::new();
    let tags = [bench.arrives(1, "a", "x"), bench.arrives(1, "b", "y")];
    bench.work();
    let items = bench.handed();
    let ran = bench.arrives(1, "a", "z");
    bench.work();
    let waiting = bench.arrives(1, "a", "w");
    bench.answers(items, |body| if body == "x=1" { Fate::Abandoned } else { Fate::Safe });
    let (first, rest) = (bench.settled(), [tags[0], ran, waiting]);
    assert_eq!(first[0], (tags[1], Settlement::Ack), "what is safe is safe");
    assert_eq!(first[1..], rest.map(|tag| (tag, Settlement::Release)), "in order");
    assert_eq!(bench.held(), 0);
    for body in ["x", "z", "w"] {
        bench.arrives(2, "a", body);
    }
    bench.work();
    assert_eq!(bodies(&bench.handed()), ["x=1", "z=2", "w=3"], "none counted twice");
}

#[tokio::test]
async fn a_message_whose_reason_can_be_kept_nowhere_waits_until_its_consumer_is_gone() {
    let mut bench = Bench::new();
    let state = bench.folder.path().to_owned();
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, b"in the way").unwrap();
    let tag = bench.arrives(1, "a", "reject");
    bench.work();
    let report = bench.handed();
    let other = bench.arrives(1, "a", "x");
    bench.answers(report, |_| Fate::Untold);
    assert!(bench.settled().is_empty(), "it would come back at once");
    assert!(matches!(bench.lane.shape.breaker.phase(), Phase::Tripped(_)));
    assert!(!bench.lane.has_work(), "nothing of its key overtakes it");
    bench.lane.lost(1);
    let released: Vec<_> = [other, tag].map(|tag| (tag, Settlement::Release)).into();
    assert_eq!(bench.settled(), released);
    assert_eq!(bench.held(), 0);
    std::fs::remove_file(&state).unwrap();
}

/// What a delivery of the bench is known by.
fn letter(body: &str) -> String {
    crate::report::letter("work", "", "", None, body.as_bytes())
}

#[tokio::test]
async fn who_ran_when_a_host_died_runs_alone_and_the_condemned_not_at_all() {
    let mut bench = Bench::after(|folder| {
        for _ in 0..=crate::limits::CRASH_DEATHS {
            let journal = CrashJournal::open(folder);
            journal.enter(&[letter("killer")], true).unwrap();
        }
        let journal = CrashJournal::open(folder);
        journal.enter(&[letter("suspect")], false).unwrap();
    });
    bench.arrives_again(1, "a", "x");
    let killer = bench.arrives_again(1, "a", "killer");
    bench.arrives_again(1, "a", "suspect");
    bench.arrives(1, "a", "y");
    bench.work();
    assert_eq!(bench.counter.ran, ["x"], "up to the suspect, and never the killer");
    bench.work();
    assert_eq!(bench.counter.ran, ["x", "suspect"], "alone");
    bench.work();
    assert_eq!(bench.counter.ran, ["x", "suspect", "y"]);
    let first = bench.handed();
    assert_eq!(bodies(&first), ["x=1", "report"]);
    bench.answers(first, |_| Fate::Safe);
    assert!(bench.settled().contains(&(killer, Settlement::DeadLetter)));
    let second = bench.handed();
    assert_eq!(bodies(&second), ["suspect=2", "y=3"]);
    bench.answers(second, |_| Fate::Safe);
    bench.lane.shape.crashes.end();
    assert!(!CrashJournal::open(bench.folder.path()).wary(), "all is cleared");
}

#[tokio::test]
async fn what_cant_be_noted_doesnt_run() {
    let mut bench = Bench::after(|folder| drop(CrashJournal::open(folder)));
    let state = bench.folder.path().to_owned();
    bench.lane.shape.crashes.enter(&[letter("other")], false).unwrap();
    let mut shape = std::mem::replace(&mut bench.lane.shape, Bench::new().lane.shape);
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, b"in the way").unwrap();
    Arc::get_mut(&mut shape).unwrap().crashes = Arc::new(CrashJournal::open(&state));
    bench.lane.shape = shape;
    bench.arrives(1, "a", "x");
    bench.work();
    assert_eq!(bench.counter.ran, ["x"], "what wasn't delivered before needs no note");
    bench.arrives_again(1, "b", "y");
    assert!(!bench.lane.work(&mut bench.counter, usize::MAX, 0));
    assert_eq!(bench.counter.ran, ["x"]);
    assert!(matches!(bench.lane.shape.breaker.phase(), Phase::Tripped(_)));
    std::fs::remove_file(&state).unwrap();
    std::fs::create_dir(&state).unwrap();
    bench.work();
    assert_eq!(bench.counter.ran, ["x", "y"]);
}

#[tokio::test]
async fn a_key_in_publication_is_rewound_too_when_what_was_built_upon_it_is_given_up() {
    let mut bench = Bench::new();
    for text in ["x", "y", "z"] {
        bench.arrives(1, "a", text);
        bench.work();
    }
    let newest = bench.counter.handed.iter().copied().max().unwrap();
    bench.lane.lost(1);
    bench.arrives(2, "a", "w");
    bench.work();
    let handed = *bench.counter.handed.last().unwrap();
    assert!(handed > newest, "{:?}: what was undone was handed one of them", bench.counter.handed);
}
