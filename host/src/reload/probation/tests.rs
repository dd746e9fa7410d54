#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

const SETTINGS: Probation =
    Probation { messages: 1000, time: Duration::from_secs(10), max_rise: 0.05 };

fn judged(old: (u64, u64), new: (u64, u64), elapsed_s: u64) -> Judged {
    let tally = |(failed, messages)| Tally { messages, failed };
    judge(tally(old), tally(new), &SETTINGS, Duration::from_secs(elapsed_s))
}

#[test]
fn a_version_that_fails_everything_is_put_back_after_a_few_messages() {
    assert_eq!(judged((0, 1000), (2, 2), 1), Judged::Wait);
    let Judged::PutBack(why) = judged((0, 1000), (3, 3), 1) else { panic!("it stays") };
    assert_eq!(why, "3 of its first 3 messages failed, where 0 of 1000 failed before");
}

#[test]
fn a_rise_past_the_bound_puts_back_and_one_within_it_doesnt() {
    assert_eq!(judged((10, 1000), (5, 100), 1), Judged::Wait);
    assert!(matches!(judged((10, 1000), (7, 100), 1), Judged::PutBack(_)));
    // The one before failed as much.
    assert_eq!(judged((100, 1000), (14, 100), 1), Judged::Wait);
}

#[test]
fn it_ends_after_enough_messages_or_enough_time() {
    assert_eq!(judged((0, 0), (0, 1000), 0), Judged::Keep);
    assert_eq!(judged((0, 0), (0, 0), 10), Judged::Keep);
    assert_eq!(judged((0, 0), (0, 999), 9), Judged::Wait);
}
