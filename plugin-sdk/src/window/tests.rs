#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::testing::{Input, Outcome, Tester};
use crate::{Context, Decision, Failure, Message, Plugin, Timer, Tumbling, Verdict, Windows};

/// Gathers numbers by the time that is said with each, and emits those of a window when it closes.
#[derive(Deserialize)]
struct Gather {
    size_s: u64,
    #[serde(default)]
    lateness_s: u64,
    #[serde(default)]
    offset_s: u64,
}

impl Gather {
    fn windows(&self) -> Tumbling {
        Tumbling::of(seconds(self.size_s))
            .lateness(seconds(self.lateness_s))
            .offset(seconds(self.offset_s))
    }
}

impl Plugin for Gather {
    type State = Windows<Vec<u32>>;

    fn process(
        &self,
        message: &Message<'_>,
        windows: &mut Self::State,
        ctx: &mut Context<'_>,
    ) -> Decision {
        let (at_s, number): (u64, u32) = message.decode()?;
        self.windows().open(windows, seconds(at_s), ctx)?.push(number);
        if number == 666 {
            return Err(Failure::reject("told_to", "the number says so"));
        }
        Ok(Verdict::next())
    }

    fn on_timer(
        &self,
        timer: &Timer<'_>,
        windows: &mut Self::State,
        ctx: &mut Context<'_>,
    ) -> Decision {
        for (window, numbers) in self.windows().close(windows, timer, ctx) {
            let (start_s, end_s) = (window.start.as_secs(), window.end.as_secs());
            ctx.emit("closed").json(&(start_s, end_s, numbers))?;
        }
        Ok(Verdict::done())
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Far from 1970, and at the start of a window of any of the sizes.
const START_S: u64 = 1_800_000_000;

fn tester(config: &Value) -> Tester<Gather> {
    Tester::new(config).unwrap().at(seconds(START_S))
}

fn said(at_s: i64, number: u32) -> Input {
    Input::json(&(START_S.saturating_add_signed(at_s), number)).key("a")
}

/// Starts, since [`START_S`], and numbers of windows that closed.
fn closed(outcomes: &[Outcome]) -> Vec<(i64, Vec<u32>)> {
    let emitted = outcomes.iter().flat_map(|outcome| &outcome.emissions);
    let window = |emitted: &crate::testing::Emitted| {
        let (start_s, _, numbers): (u64, u64, Vec<u32>) =
            serde_json::from_slice(&emitted.body).unwrap();
        (start_s.cast_signed() - START_S.cast_signed(), numbers)
    };
    emitted.map(window).collect()
}

#[test]
fn a_window_closes_once_its_end_and_the_lateness_have_passed() {
    let mut tester = tester(&json!({ "size_s": 60, "lateness_s": 10 }));
    tester.run_batch(&[said(0, 1), said(59, 2), said(60, 3)]);
    assert!(closed(&tester.pass(seconds(9))).is_empty());
    // Now it is 9 s past, and the key's time is ahead of that: no later than the host's clock.
    assert!(closed(&tester.pass(seconds(60))).is_empty());
    assert_eq!(closed(&tester.pass(seconds(1))), [(0, vec![1, 2])]);
    assert_eq!(closed(&tester.pass(seconds(600))), [(60, vec![3])]);
}

#[test]
fn messages_of_the_past_close_windows_by_their_own_time() {
    let mut tester = tester(&json!({ "size_s": 60, "lateness_s": 10 }));
    tester.run_batch(&[said(-6000, 1), said(-5935, 2), said(-5999, 3), said(-5930, 4)]);
    assert_eq!(tester.run(said(-5941, 5)).rejected(), Some("late"));
    assert_eq!(closed(&tester.pass(seconds(1))), [(-6000, vec![1, 3])]);
    assert_eq!(tester.run(said(-5941, 6)).rejected(), Some("late"));
    // And where no more of them come, by the host's clock.
    assert_eq!(closed(&tester.pass(seconds(60))), [(-5940, vec![2, 4])]);
}

#[test]
fn a_message_from_the_future_makes_no_other_late() {
    let mut tester = tester(&json!({ "size_s": 60 }));
    tester.run_batch(&[said(3000, 1), said(1, 2)]);
    assert_eq!(tester.run(said(64 * 60 + 1, 3)).rejected(), Some("ahead"));
    assert_eq!(closed(&tester.pass(seconds(60))), [(0, vec![2])]);
    assert_eq!(closed(&tester.pass(seconds(3000))), [(3000, vec![1])]);
}

#[test]
fn a_stream_of_messages_does_not_put_off_the_timer_of_a_window_that_closed() {
    let mut tester = tester(&json!({ "size_s": 60 }));
    tester.run(said(-120, 1));
    let mut seen = Vec::new();
    for number in 0..30 {
        assert!(tester.run(said(-60, number)).is_next());
        seen.extend(closed(&tester.pass(Duration::from_millis(5))));
    }
    assert_eq!(seen, [(-120, vec![1])]);
}

#[test]
fn what_fell_due_while_the_host_was_down_waits_for_the_queue() {
    for timer_first in [true, false] {
        let mut tester = tester(&json!({ "size_s": 60, "lateness_s": 10 }));
        tester.run(said(0, 1));
        if timer_first {
            assert!(closed(&tester.pass_down(seconds(7200))).is_empty());
        } else {
            let back = tester.now() + seconds(7200);
            tester = tester.at(back);
        }
        // What was in the queue.
        assert!(tester.run(said(-3, 2)).is_next());
        assert!(closed(&tester.pass(seconds(59))).is_empty());
        assert!(tester.run_batch(&[said(30, 3), said(2, 4)]).iter().all(Outcome::is_next));
        assert_eq!(closed(&tester.pass(seconds(39))), [(-60, vec![2])]);
        assert_eq!(closed(&tester.pass(seconds(1))), [(0, vec![1, 3, 4])]);
    }
}

#[test]
fn a_key_of_which_nothing_more_comes_is_not_waited_for_twice() {
    let mut tester = tester(&json!({ "size_s": 60, "lateness_s": 10 }));
    tester.run(said(0, 1));
    assert!(closed(&tester.pass_down(seconds(7200))).is_empty());
    assert!(closed(&tester.pass(seconds(59))).is_empty());
    assert_eq!(closed(&tester.pass_down(seconds(7200))), [(0, vec![1])]);
}

#[test]
fn a_message_that_fails_leaves_no_window() {
    let mut tester = tester(&json!({ "size_s": 60 }));
    assert_eq!(tester.run(said(0, 666)).rejected(), Some("told_to"));
    assert!(tester.state("a").is_none() && tester.timer("a", "window").is_none());
    tester.run_batch(&[said(1, 1), said(2, 666), said(3, 2)]);
    assert_eq!(closed(&tester.pass(seconds(60))), [(0, vec![1, 2])]);
}

#[test]
fn windows_begin_where_the_offset_says() {
    let days = Tumbling::of(seconds(86_400)).offset(seconds(23 * 3600));
    let new_year = days.window(seconds(1_767_225_600));
    assert_eq!(new_year.start, seconds(1_767_222_000));
    assert_eq!(new_year.end, seconds(1_767_308_400));
    assert_eq!(days.window(new_year.start), new_year);
    assert_eq!(days.window(new_year.end).start, new_year.end);
    let least = Tumbling::of(Duration::ZERO).window(Duration::from_micros(1999));
    assert_eq!(least.start, Duration::from_millis(1));
}

/// Seconds of a tick of the reference: ten seconds, which a timer may be late, are no whole number of them.
const TICK_S: i64 = 3;

/// The same, tick by tick, from a list of what came, without timers.
#[derive(Debug)]
struct Plain {
    size: i64,
    lateness: i64,
    now: i64,
    time: i64,
    seen: i64,
    closed: i64,
    wait: Option<i64>,
    open: BTreeMap<i64, Vec<u32>>,
}

impl Plain {
    fn said(&mut self, at: i64, number: u32) -> &'static str {
        let start = at.div_euclid(self.size) * self.size;
        if at > self.now + 64 * self.size {
            return "ahead";
        }
        if start + self.size <= self.closed {
            return "late";
        }
        self.seen = self.seen.min(self.now);
        if at.min(self.now) >= self.time {
            (self.time, self.seen, self.wait) = (at.min(self.now), self.now, None);
        }
        self.closed = self.closed.max(self.time - self.lateness);
        self.open.entry(start).or_default().push(number);
        self.look();
        ""
    }

    fn first_open(&self) -> Option<i64> {
        self.open.keys().copied().find(|start| start + self.size > self.closed)
    }

    fn closes(&self, start: i64) -> i64 {
        self.seen + start + self.size + self.lateness - self.time
    }

    /// Looks whether somebody should have been there long ago.
    fn look(&mut self) {
        let overdue =
            self.first_open().is_some_and(|first| TICK_S * (self.now - self.closes(first)) > 10);
        if overdue && self.wait.is_none() {
            self.wait = Some(self.now + self.lateness.max(60 / TICK_S));
        }
    }

    fn tick(&mut self) -> Vec<(i64, Vec<u32>)> {
        self.look();
        if let Some(first) = self.first_open()
            && self.now >= self.wait.unwrap_or_else(|| self.closes(first))
        {
            self.wait = None;
            let time = self.time + self.now - self.seen;
            self.closed = self.closed.max(time - self.lateness);
        }
        let open_s = self.first_open().unwrap_or(i64::MAX);
        let open = self.open.split_off(&open_s);
        std::mem::replace(&mut self.open, open)
            .into_iter()
            .map(|(start, numbers)| (TICK_S * start, numbers))
            .collect()
    }

    fn pass(&mut self, passed: u64) -> Vec<(i64, Vec<u32>)> {
        let mut closed = self.tick();
        for _ in 0..passed {
            self.now += 1;
            closed.extend(self.tick());
        }
        closed
    }
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A message whose time is so far from now.
    Said(i64),
    /// So many ticks pass, while the host is there.
    Passed(u64),
    /// So many ticks pass without it; messages come before timers.
    Down(i64),
    /// The clock is put forward or back.
    Stepped(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (-40..4_i64).prop_map(Event::Said),
        2 => (-600..600_i64).prop_map(Event::Said),
        4 => (1..30_u64).prop_map(Event::Passed),
        1 => (100..1000_u64).prop_map(Event::Passed),
        1 => (1..400_i64).prop_map(Event::Down),
        1 => (-200..200_i64).prop_map(Event::Stepped),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn windows_are_those_of_a_plain_reference(
        (size, lateness) in (1..40_u64, 0..50_u64),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        // Sizes divide the start, so that the reference can count from there.
        let size = (1..=size).rev().find(|size| START_S.is_multiple_of(*size * 3)).unwrap();
        let mut tester = tester(&json!({ "size_s": 3 * size, "lateness_s": 3 * lateness }));
        let [size, lateness] = [size, lateness].map(u64::cast_signed);
        let long_ago = -START_S.cast_signed();
        let mut plain = Plain {
            size, lateness, now: 0, time: long_ago, seen: long_ago, closed: long_ago,
            wait: None, open: BTreeMap::new(),
        };
        let (mut accepted, mut given) = (Vec::new(), Vec::new());
        for (number, event) in (0_u32..).zip(events) {
            let mut passed = 1;
            match event {
                Event::Said(from_now) => {
                    let outcome = tester.run(said(TICK_S * (plain.now + from_now), number));
                    let expected = plain.said(plain.now + from_now, number);
                    prop_assert_eq!(outcome.rejected().unwrap_or_default(), expected);
                    if expected.is_empty() {
                        accepted.push(number);
                    }
                }
                Event::Passed(ticks) => passed = ticks,
                Event::Down(by) | Event::Stepped(by) => {
                    plain.now += by;
                    tester = tester.at(seconds(START_S.saturating_add_signed(TICK_S * plain.now)));
                    // A message first, then the timers.
                    passed = 0;
                }
            }
            if passed > 0 {
                let closed = closed(&tester.pass(seconds(3 * passed)));
                prop_assert_eq!(&closed, &plain.pass(passed));
                given.extend(closed);
            }
        }
        // In the end each number that wasn't refused was in one window, and each window came once.
        given.extend(closed(&tester.pass(seconds(100_000))));
        let mut starts: Vec<i64> = given.iter().map(|(start, _)| *start).collect();
        let mut numbers: Vec<u32> = given.into_iter().flat_map(|(_, numbers)| numbers).collect();
        numbers.sort_unstable();
        prop_assert_eq!(numbers, accepted);
        starts.sort_unstable();
        prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", starts);
    }
}
