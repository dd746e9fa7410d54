#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
//! A lane from arrival to settlement.

mod journals;

use bytes::Bytes;

use super::fixture::{Bench, bodies};
use super::*;
use crate::verdict::FailureClass;

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
async fn what_is_new_runs_on_the_next_version_at_once_and_what_is_half_told_on_its_own() {
    let mut bench = Bench::new();
    for text in ["told", "lost"] {
        bench.arrives(1, "a", text);
    }
    bench.work();
    assert!(bench.lane.change_versions(), "whatever is under way");
    bench.lane.versions_changed();
    for key in ["a", "b"] {
        bench.arrives(1, key, "new");
    }
    bench.counter.ran.clear();
    bench.work();
    assert_eq!(bench.counter.ran, ["new", "new"], "nothing waits");

    let items = bench.handed();
    bench.answers(items, |body| if body == "lost=2" { impossible() } else { Fate::Safe });
    let others = bench.handed();
    assert_eq!(bodies(&others), ["report", "new=1"], "what its key did since is undone");
    bench.answers(others, |_| Fate::Safe);
    bench.counter.ran.clear();
    assert!(!bench.lane.work(&mut bench.counter, usize::MAX, 0), "its key waits");
    assert!(bench.lane.work_again(&mut bench.counter, usize::MAX, 0), "for the former version");
    assert_eq!(bench.counter.ran, ["told"]);
    let again = bench.next_group();
    assert!(again.is_none(), "what it tells is out");
    bench.work();
    assert_eq!(bench.counter.ran, ["told", "new"]);
    assert!(!bench.lane.needs_former());
}

#[tokio::test]
async fn a_third_version_waits_for_what_ran_on_the_first() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "first");
    bench.work();
    assert!(bench.lane.change_versions());
    bench.lane.versions_changed();
    bench.arrives(1, "b", "second");
    bench.work();
    assert!(!bench.lane.change_versions(), "it may have to run again");
    bench.arrives(1, "c", "third");
    assert!(!bench.lane.work(&mut bench.counter, usize::MAX, 0), "nothing new begins");
    let items = bench.handed();
    bench.answers(items, |_| Fate::Safe);
    assert!(bench.lane.change_versions());
    bench.lane.versions_changed();
    bench.work();
    assert_eq!(bench.counter.ran, ["first", "second", "third"]);
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
