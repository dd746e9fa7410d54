#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::pipeline::breaker::Phase;

fn settings(on_broken: OnBroken) -> Option<PluginBreaker> {
    Some(PluginBreaker { rate: 0.5, at_least: 4, window: Duration::from_secs(10), on_broken })
}

fn guard(on_broken: OnBroken) -> (Guard, Arc<Breaker>) {
    let (guard, breaker) = (Guard::default(), Arc::new(Breaker::default()));
    guard.configure("p", settings(on_broken));
    guard.stop_with(&breaker);
    (guard, breaker)
}

fn trap() -> CallError {
    let text = "boom".to_owned();
    CallError { class: FailureClass::Trap, text, backtrace: Vec::new() }
}

fn fail(guard: &Guard, times: usize) {
    for _ in 0..times {
        let ticket = guard.admit().unwrap();
        guard.note(ticket, "p", 1, Some(&trap()));
    }
}

fn pass(guard: &Guard, messages: usize) {
    let ticket = guard.admit().unwrap();
    guard.note(ticket, "p", messages, None);
}

#[tokio::test(start_paused = true)]
async fn a_plugin_breaks_when_enough_and_a_large_enough_share_fails() {
    let (guard, breaker) = guard(OnBroken::Pause);
    fail(&guard, 3);
    assert_eq!(guard.why(), None, "three are fewer than four");
    pass(&guard, 5);
    fail(&guard, 1);
    assert_eq!(guard.why(), None, "four of nine are less than a half");
    fail(&guard, 1);
    let why = guard.why().unwrap();
    assert!(why.contains("5 of 10 messages") && why.contains("trap: boom"), "{why}");
    assert_eq!(breaker.phase(), Phase::Tripped(why));
    assert!(guard.pauses());
}

#[tokio::test(start_paused = true)]
async fn what_failed_long_ago_is_forgotten() {
    let (guard, _breaker) = guard(OnBroken::Pause);
    fail(&guard, 3);
    tokio::time::advance(Duration::from_secs(10)).await;
    fail(&guard, 3);
    assert_eq!(guard.why(), None);
    fail(&guard, 1);
    assert!(guard.why().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_for_several_counts_for_none() {
    let (guard, _breaker) = guard(OnBroken::Pause);
    for _ in 0..10 {
        let ticket = guard.admit().unwrap();
        guard.note(ticket, "p", 8, Some(&trap()));
    }
    assert_eq!(guard.why(), None);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_passes_in_a_probe_closes_it_and_one_from_before_does_not() {
    let (guard, breaker) = guard(OnBroken::Pause);
    let early = guard.admit().unwrap();
    fail(&guard, 4);
    guard.note(early, "p", 1, None);
    assert!(guard.pauses(), "that call began before the breaker opened");
    breaker.open("it");
    breaker.probe();
    pass(&guard, 1);
    assert_eq!((guard.pauses(), breaker.phase()), (false, Phase::Closed));
    fail(&guard, 3);
    assert_eq!(guard.why(), None, "it counts from the beginning again");
}

#[tokio::test(start_paused = true)]
async fn with_dead_letter_calls_are_refused_but_for_one_now_and_then() {
    let (guard, breaker) = guard(OnBroken::DeadLetter);
    fail(&guard, 4);
    assert_eq!(breaker.phase(), Phase::Closed, "pipelines go on");
    let refused = guard.admit().unwrap_err();
    assert_eq!(refused.class, FailureClass::Trap);
    assert!(refused.text.contains("wasn't called"), "{refused}");
    tokio::time::advance(PLUGIN_PROBE_PAUSE_MIN).await;
    fail(&guard, 1);
    tokio::time::advance(PLUGIN_PROBE_PAUSE_MIN).await;
    assert!(guard.admit().is_err(), "the second pause is twice as long");
    tokio::time::advance(PLUGIN_PROBE_PAUSE_MIN).await;
    pass(&guard, 1);
    assert_eq!(guard.why(), None);
    assert!(guard.admit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn another_version_is_tried_at_once() {
    let (guard, _breaker) = guard(OnBroken::DeadLetter);
    fail(&guard, 4);
    assert!(guard.admit().is_err());
    guard.replaced();
    pass(&guard, 1);
    assert_eq!(guard.why(), None);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_comes_while_the_plugin_is_broken_stops_too() {
    let (guard, _breaker) = guard(OnBroken::Pause);
    fail(&guard, 4);
    let late = Arc::new(Breaker::default());
    guard.stop_with(&late);
    assert!(matches!(late.phase(), Phase::Tripped(_)));
    guard.configure("p", None);
    assert_eq!(guard.why(), None, "without settings nothing breaks");
    fail(&guard, 100);
    assert_eq!(guard.why(), None);
}
