#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use super::super::fixture::Bench;
use super::*;
use crate::config::{Retry, RetryOrder};
use crate::pipeline::fixture::Double;
use crate::pipeline::publishing::{Done, Fate};
use crate::plugin::{Batch, CallError, Decisions, StateChange, TimerChange};
use crate::verdict::{Decision, Emission, FailureClass, Verdict};

const SECOND: u64 = 1_000_000;

/// Does what a body says: `set NAME SECOND`. A timer emits its name and how late it is; one whose name
/// begins with `fail` asks for a retry, at each attempt.
#[derive(Default)]
struct Told;

impl Double for Told {
    fn process(&mut self, _: usize, batch: &Batch<'_>) -> Result<Decisions, CallError> {
        let mut timers = Vec::new();
        let mut messages = Vec::new();
        for (input, message) in batch.messages.iter().enumerate() {
            let text = String::from_utf8(message.body.to_vec()).unwrap();
            if let ["set", name, second] = text.split(' ').collect::<Vec<_>>()[..] {
                let due_us = Some(second.parse::<u64>().unwrap() * SECOND);
                timers.push(TimerChange { input, name: name.to_owned(), due_us });
            }
            let mut decision = Decision::from(Verdict::Done);
            if let Some(due_us) = message.due_us {
                let name = message.routing_key;
                let late = (batch.now_us - due_us) / SECOND;
                let text = format!("{name} of {} +{late}", message.key.unwrap());
                decision.emissions.push(Emission {
                    output: "out".to_owned(),
                    body: Some(text.into()),
                    ..Emission::default()
                });
                if name.starts_with("fail") {
                    let (code, text) = ("told_to".to_owned(), message.attempt.to_string());
                    decision = Verdict::Retry { code, text, after: None }.into();
                }
            }
            messages.push(decision);
        }
        let states = batch.states.iter().map(|_| StateChange::Unchanged).collect();
        Ok(Decisions { messages, states, timers })
    }
}

fn bench() -> Bench {
    Bench::with(Retry {
        attempts: BTreeMap::from([(FailureClass::Retry, 2)]),
        rungs: vec![Duration::from_secs(30)],
        class_rungs: BTreeMap::new(),
        order: RetryOrder::Free,
        park: 0,
    })
}

impl Bench {
    /// One batch at that second, published by what `fate` says: its bodies and their ids.
    fn batch_at(&mut self, second: u64, fate: &Fate) -> Option<Vec<(String, String)>> {
        if !self.lane.work(&mut Told, usize::MAX, second * SECOND) {
            return None;
        }
        let Some(items) = self.next_group() else { return Some(Vec::new()) };
        let said = |item: &Planned| {
            let id = item.message.properties.message_id.clone().unwrap_or_default();
            (String::from_utf8(item.message.body.to_vec()).unwrap(), id)
        };
        let said = items.iter().map(said).collect();
        let fates = items.iter().map(|_| fate.clone()).collect();
        self.lane.published(Done { items, fates });
        Some(said)
    }

    /// All that runs at that second.
    fn all_at(&mut self, second: u64) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(more) = self.batch_at(second, &Fate::Safe) {
            said.extend(more.into_iter().map(|(body, _)| body));
        }
        said
    }
}

#[tokio::test]
async fn timers_run_when_they_are_due_in_order_per_key_and_once() {
    let mut bench = bench();
    for (key, text) in [("a", "set x 7"), ("a", "set y 5"), ("b", "set z 6"), ("b", "set w 9")] {
        bench.arrives(1, key, text);
    }
    assert!(bench.all_at(4).is_empty());
    assert_eq!(bench.all_at(8), ["y of a +3", "z of b +2", "x of a +1"]);
    assert_eq!(bench.all_at(60), ["w of b +51"]);
    assert!(bench.all_at(1000).is_empty());
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn a_message_that_was_there_before_takes_a_due_timer_back() {
    let mut bench = bench();
    bench.arrives(1, "a", "set x 5");
    assert!(bench.all_at(1).is_empty());
    bench.arrives(1, "a", "set x 9");
    assert!(bench.all_at(6).is_empty(), "it was set anew by what came before its turn");
    assert_eq!(bench.all_at(10), ["x of a +1"]);
}

#[tokio::test]
async fn a_timer_that_is_set_anew_by_what_is_under_way_isnt_early() {
    let mut bench = bench();
    bench.arrives(1, "b", "set z 3");
    bench.arrives(1, "a", "set x 5");
    assert!(bench.all_at(1).is_empty());
    bench.arrives(1, "a", "set x 9");
    assert!(bench.lane.work(&mut Told, usize::MAX, 4 * SECOND), "with what z emits, on its way");
    assert!(!bench.lane.work(&mut Told, usize::MAX, 6 * SECOND), "x is due at 9 now");
    let items = bench.next_group().unwrap();
    let fates = vec![Fate::Safe; items.len()];
    bench.lane.published(Done { items, fates });
    assert!(bench.all_at(8).is_empty());
    assert_eq!(bench.all_at(10), ["x of a +1"]);
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn a_timer_that_fails_is_tried_again_by_the_policy_then_told_and_dropped() {
    let mut bench = bench();
    bench.arrives(1, "a", "set fail 5");
    bench.arrives(1, "a", "set next 6");
    assert_eq!(bench.all_at(6), ["next of a +0"], "others of its key don't wait for it");
    assert!(bench.all_at(35).is_empty());
    let report = bench.all_at(36);
    assert!(report[0].contains("\"attempt\":2") && report[0].contains("told_to"), "{report:?}");
    assert!(bench.all_at(1000).is_empty());
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn a_timer_that_is_undone_comes_again_under_the_same_ids() {
    let mut bench = bench();
    bench.arrives(1, "a", "set x 5");
    assert!(bench.all_at(1).is_empty());
    let first = bench.batch_at(6, &Fate::Abandoned).unwrap();
    let second = bench.batch_at(7, &Fate::Safe).unwrap();
    assert_eq!((first[0].0.as_str(), second[0].0.as_str()), ("x of a +1", "x of a +2"));
    assert_eq!(first[0].1, second[0].1);
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn timers_wait_while_nothing_is_consumed() {
    let mut bench = bench();
    bench.arrives(1, "a", "set x 5");
    assert!(bench.all_at(1).is_empty());
    bench.lane.flows(false);
    assert!(bench.all_at(60).is_empty());
    bench.lane.timing.held = false;
    assert_eq!(bench.all_at(61), ["x of a +56"]);
}

#[tokio::test]
async fn a_key_too_many_with_timers_fails_and_there_is_room_when_one_has_run() {
    let mut bench = bench();
    bench.reshape(|shape| shape.timer_keys = 2);
    for key in ["a", "b"] {
        bench.arrives(1, key, "set x 5");
    }
    assert!(bench.all_at(1).is_empty());
    bench.arrives(1, "c", "set x 5");
    bench.arrives(1, "b", "set y 6");
    let told = bench.all_at(2);
    assert!(told.len() == 1 && told[0].contains("timers_full"), "{told:?}");
    assert_eq!(bench.all_at(5), ["x of a +0", "x of b +0"]);
    bench.arrives(1, "c", "set x 7");
    assert_eq!(bench.all_at(8), ["y of b +2", "x of c +1"]);
}

#[tokio::test]
async fn of_a_great_many_that_are_due_only_so_many_are_in_hand_and_all_run_in_order() {
    let mut bench = bench();
    bench.reshape(|shape| (shape.timer_keys, shape.state_keys) = (usize::MAX, u64::MAX));
    let many = TIMERS_DUE + 500;
    for n in 0..many {
        bench.arrives(1, &format!("{n:05}"), &format!("set x {}", 5 + n / 1000));
    }
    assert!(bench.all_at(1).is_empty());
    bench.lane.ring(99 * SECOND);
    assert_eq!(bench.lane.timing.flying.len(), TIMERS_DUE);
    assert_eq!(bench.lane.next_due(), None, "the alarm waits for those");
    let ran = bench.all_at(99);
    let wanted = (0..many).map(|n| format!("x of {n:05} +{}", 94 - n / 1000));
    assert!(ran.into_iter().eq(wanted));
    assert_eq!(bench.held(), 0);
}

#[tokio::test]
async fn what_was_noted_of_a_timer_that_failed_goes_when_it_is_set_anew() {
    let mut bench = bench();
    bench.arrives(1, "a", "set fail 5");
    bench.arrives(1, "b", "set fail 5");
    assert!(bench.all_at(6).is_empty());
    assert_eq!(bench.lane.timing.again.len(), 2);
    bench.arrives(1, "a", "set fail 90");
    assert!(bench.all_at(7).is_empty());
    assert_eq!(bench.lane.timing.again.len(), 1);
    assert_eq!(bench.all_at(40).len(), 1, "the other is told of");
    assert!(bench.lane.timing.again.is_empty());
}

#[tokio::test]
async fn timers_go_with_their_keys_to_another_lane_with_what_was_noted_of_their_failures() {
    let mut bench = bench();
    for (key, text) in [("a", "set x 7"), ("a", "set fail 5"), ("b", "set z 6")] {
        bench.arrives(1, key, text);
    }
    // The one that fails is to be tried again at 35.
    assert_eq!(bench.all_at(5), ["fail of a +0"; 0]);
    let spread = crate::pipeline::spread::Spread::over(1);
    let legacy = bench.lane.share(spread);
    assert!(bench.all_at(30).is_empty(), "they aren't its any more");
    bench.lane.take_over(legacy);
    assert_eq!(bench.all_at(30), ["z of b +24", "x of a +23"]);
    let failed_again = bench.all_at(40);
    assert_eq!(
        failed_again.len(),
        1,
        "the second attempt is the last, and is told: {failed_again:?}"
    );
    assert!(bench.all_at(1000).is_empty());
}
