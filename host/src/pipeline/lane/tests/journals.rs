//! What a lane keeps on disk: reasons that nobody took, and who ran when a host died.

use super::super::fixture::{Bench, bodies};
use super::*;
use crate::clock::Clock;
use crate::pipeline::breaker::Phase;
use crate::pipeline::crash::CrashJournal;

/// What a delivery of the bench is known by.
fn letter(body: &str) -> String {
    crate::report::letter("work", "", "", None, body.as_bytes())
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

#[tokio::test]
async fn who_ran_when_a_host_died_runs_alone_and_the_condemned_not_at_all() {
    let mut bench = Bench::after(|folder| {
        for _ in 0..=crate::limits::CRASH_DEATHS {
            let journal = CrashJournal::open(folder, &Clock::system());
            journal.enter(&[letter("killer")], true).unwrap();
        }
        let journal = CrashJournal::open(folder, &Clock::system());
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
    assert!(!CrashJournal::open(bench.folder.path(), &Clock::system()).wary(), "all is cleared");
}

#[tokio::test]
async fn what_cant_be_noted_doesnt_run() {
    let mut bench = Bench::after(|folder| drop(CrashJournal::open(folder, &Clock::system())));
    let state = bench.folder.path().to_owned();
    bench.lane.shape.crashes.enter(&[letter("other")], false).unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, b"in the way").unwrap();
    let crashes = Arc::new(CrashJournal::open(&state, &Clock::system()));
    bench.reshape(|shape| shape.crashes = crashes);
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
