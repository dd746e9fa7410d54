#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::testing::{Input, Outcome, Tester};
use crate::{Absence, Context, Decision, Message, Plugin, Presence, Timer, Verdict};

/// Tells of silences, by the time that is said with each message.
#[derive(Deserialize)]
struct Watch {
    after_s: u64,
    #[serde(default)]
    lateness_s: u64,
}

impl Watch {
    fn absence(&self) -> Absence {
        Absence::after(seconds(self.after_s)).lateness(seconds(self.lateness_s))
    }
}

impl Plugin for Watch {
    type State = Presence;

    fn process(
        &self,
        message: &Message<'_>,
        key: &mut Presence,
        ctx: &mut Context<'_>,
    ) -> Decision {
        let at_s: u64 = message.decode()?;
        if let Some(silence) = self.absence().heard(key, seconds(at_s), ctx) {
            ctx.emit("told").json(&("back", silence.since.as_secs()))?;
        }
        Ok(Verdict::next())
    }

    fn on_timer(&self, timer: &Timer<'_>, key: &mut Presence, ctx: &mut Context<'_>) -> Decision {
        if let Some(silence) = self.absence().silent(key, timer, ctx) {
            ctx.emit("told").json(&("silent", silence.since.as_secs()))?;
        }
        Ok(Verdict::done())
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const START_S: u64 = 1_800_000_000;

fn tester(config: &Value) -> Tester<Watch> {
    Tester::new(config).unwrap().at(seconds(START_S))
}

fn said(at_s: i64) -> Input {
    Input::json(&START_S.saturating_add_signed(at_s)).key("a")
}

/// What was told, with when the key was last heard of, since [`START_S`].
fn told(outcomes: &[Outcome]) -> Vec<(String, i64)> {
    let emitted = outcomes.iter().flat_map(|outcome| &outcome.emissions);
    let tell = |emitted: &crate::testing::Emitted| {
        let (what, since_s): (String, u64) = serde_json::from_slice(&emitted.body).unwrap();
        (what, since_s.cast_signed() - START_S.cast_signed())
    };
    emitted.map(tell).collect()
}

#[test]
fn a_silence_is_told_once_and_its_end_once() {
    let mut tester = tester(&json!({ "after_s": 60 }));
    tester.run(said(0));
    assert!(told(&tester.pass(seconds(59))).is_empty());
    assert_eq!(told(&tester.pass(seconds(1))), [("silent".to_owned(), 0)]);
    assert!(tester.state("a").unwrap().is_silent());
    assert!(told(&tester.pass(seconds(6000))).is_empty());
    assert_eq!(told(&[tester.run(said(6060))]), [("back".to_owned(), 0)]);
    assert!(told(&[tester.run(said(6060))]).is_empty());
}

#[test]
fn messages_may_be_under_way_as_long_as_the_lateness() {
    let mut tester = tester(&json!({ "after_s": 60, "lateness_s": 30 }));
    tester.run(said(-20));
    assert!(told(&tester.pass(seconds(69))).is_empty());
    assert_eq!(told(&tester.pass(seconds(1))), [("silent".to_owned(), -20)]);
    // What is older than that is a sign of life all the same, and one from the future isn't from there.
    tester.run_batch(&[said(-6000), said(7000)]);
    assert!(told(&tester.pass(seconds(89))).is_empty());
    assert_eq!(told(&tester.pass(seconds(1))), [("silent".to_owned(), 70)]);
}

#[test]
fn nothing_is_silent_because_the_host_was_down() {
    let mut tester = tester(&json!({ "after_s": 60 }));
    tester.run(said(0));
    assert!(told(&tester.pass_down(seconds(7200))).is_empty());
    assert!(told(&tester.pass(seconds(59))).is_empty());
    tester.run(said(7259)); // It was in the queue.
    assert!(told(&tester.pass(seconds(59))).is_empty());
    assert_eq!(told(&tester.pass(seconds(1))), [("silent".to_owned(), 7259)]);
}

#[test]
fn a_key_that_was_waited_for_is_silent_though_the_host_was_down_again() {
    let mut tester = tester(&json!({ "after_s": 60 }));
    tester.run(said(0));
    assert!(told(&tester.pass_down(seconds(7200))).is_empty());
    assert_eq!(told(&tester.pass_down(seconds(7200))), [("silent".to_owned(), 0)]);
}

/// Seconds of a tick of the reference: ten seconds, which a timer may be late, are no whole number of them.
const TICK_S: i64 = 3;

/// The same, tick by tick, from what came, without timers.
#[derive(Debug)]
struct Plain {
    after: i64,
    lateness: i64,
    now: i64,
    heard: Option<i64>,
    silent: bool,
    wait: Option<i64>,
}

impl Plain {
    fn said(&mut self, at: i64) -> Vec<(String, i64)> {
        let at = at.max(self.now - self.lateness).min(self.now);
        let before = self.heard;
        self.heard = Some(before.map_or(at, |before| before.min(self.now).max(at)));
        self.wait = None;
        let was_silent = std::mem::take(&mut self.silent);
        before
            .filter(|_| was_silent)
            .map(|since| ("back".to_owned(), TICK_S * since))
            .into_iter()
            .collect()
    }

    fn tick(&mut self) -> Option<(String, i64)> {
        let heard = self.heard.filter(|_| !self.silent)?;
        let due = heard + self.after + self.lateness;
        if self.wait.is_none() && TICK_S * (self.now - due) > 10 {
            self.wait = Some(self.now + self.lateness.max(60 / TICK_S));
        }
        self.silent = self.now >= self.wait.unwrap_or(due);
        self.silent.then(|| ("silent".to_owned(), TICK_S * heard))
    }

    fn pass(&mut self, passed: u64) -> Vec<(String, i64)> {
        let mut told = Vec::from_iter(self.tick());
        for _ in 0..passed {
            self.now += 1;
            told.extend(self.tick());
        }
        told
    }
}

/// What can happen: a message so far from now, ticks that pass, and a clock that jumps.
#[derive(Clone, Copy, Debug)]
enum Event {
    Said(i64),
    Passed(u64),
    Jumped(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (-60..10_i64).prop_map(Event::Said),
        4 => (1..60_u64).prop_map(Event::Passed),
        1 => (60..1000_u64).prop_map(Event::Passed),
        1 => (1..400_i64).prop_map(Event::Jumped),
        1 => (-200..0_i64).prop_map(Event::Jumped),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn silences_are_those_of_a_plain_reference(
        (after, lateness) in (1..100_u64, 0..50_u64),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut tester = tester(&json!({ "after_s": 3 * after, "lateness_s": 3 * lateness }));
        let [after, lateness] = [after, lateness].map(u64::cast_signed);
        let mut plain =
            Plain { after, lateness, now: 0, heard: None, silent: false, wait: None };
        for event in events {
            match event {
                Event::Said(from_now) => {
                    let expected = plain.said(plain.now + from_now);
                    let outcome = tester.run(said(TICK_S * (plain.now + from_now)));
                    prop_assert_eq!(told(&[outcome]), expected);
                }
                Event::Passed(passed) => {
                    let told = told(&tester.pass(seconds(3 * passed)));
                    prop_assert_eq!(told, plain.pass(passed));
                }
                Event::Jumped(by) => {
                    plain.now += by;
                    tester = tester.at(seconds(START_S.saturating_add_signed(TICK_S * plain.now)));
                }
            }
        }
    }
}
