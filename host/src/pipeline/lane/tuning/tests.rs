#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

const BOUNDS: RangeInclusive<usize> = 8..=1024;

/// After many batches of those sizes, each of which takes `fixed` and `each` for a message.
fn tuned(sizes: &[usize], fixed: Duration, each: Duration) -> Tuner {
    let mut tuner = Tuner::default();
    run(&mut tuner, sizes, fixed, each);
    tuner
}

fn run(tuner: &mut Tuner, sizes: &[usize], fixed: Duration, each: Duration) {
    for size in sizes.iter().copied().cycle().take(400) {
        let size = size.min(tuner.limit(&BOUNDS));
        tuner.note(size, fixed + each * u32::try_from(size).unwrap());
    }
}

const MIXED: [usize; 5] = [1, 30, 200, 7, 90];

#[test]
fn the_limit_is_the_most_until_something_is_known() {
    let mut tuner = Tuner::default();
    assert_eq!(tuner.limit(&BOUNDS), 1024);
    for _ in 1..FEWEST {
        assert!(!tuner.note(5, Duration::from_millis(5)));
    }
    assert_eq!(tuner.limit(&BOUNDS), 1024);
}

#[test]
fn a_batch_takes_about_a_millisecond() {
    let tuner = tuned(&[1024], Duration::from_micros(10), Duration::from_micros(4));
    let limit = tuner.limit(&BOUNDS);
    let takes =
        Duration::from_micros(10) + Duration::from_micros(4) * u32::try_from(limit).unwrap();
    let off = takes.as_secs_f64() / BATCH_TIME.as_secs_f64();
    assert!((1.0 - STEADY..=1.0 + STEADY).contains(&off), "{limit} take {takes:?}");
}

#[test]
fn a_dear_plugin_gets_small_batches_and_a_cheap_one_large_ones() {
    let dear = tuned(&MIXED, Duration::from_micros(20), Duration::from_millis(2));
    assert_eq!(dear.limit(&BOUNDS), 8);
    let cheap = tuned(&MIXED, Duration::from_micros(20), Duration::from_nanos(100));
    assert_eq!(cheap.limit(&BOUNDS), 1024);
}

#[test]
fn a_plugin_that_becomes_dear_gets_smaller_batches_and_larger_ones_when_it_is_cheap_again() {
    let mut tuner = tuned(&[1024], Duration::from_micros(10), Duration::from_micros(1));
    let before = tuner.limit(&BOUNDS);
    run(&mut tuner, &[1024], Duration::from_micros(10), Duration::from_micros(100));
    assert!(tuner.limit(&BOUNDS) < before / 4, "{}", tuner.limit(&BOUNDS));
    run(&mut tuner, &[1024], Duration::from_micros(10), Duration::from_micros(1));
    assert!(tuner.limit(&BOUNDS) > before / 2, "{}", tuner.limit(&BOUNDS));
}

#[test]
fn a_batch_that_was_held_up_once_changes_little() {
    let mut tuner = tuned(&[100], Duration::from_micros(10), Duration::from_micros(4));
    let before = tuner.limit(&BOUNDS);
    tuner.note(100, Duration::from_secs(1));
    run(&mut tuner, &[100], Duration::from_micros(10), Duration::from_micros(4));
    let after = tuner.limit(&BOUNDS);
    assert!(after.abs_diff(before) * 3 < before, "{before}, {after}");
}

#[test]
fn bounds_hold_whatever_is_measured() {
    for each in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1)] {
        let tuner = tuned(&MIXED, Duration::from_nanos(1), each);
        assert!(BOUNDS.contains(&tuner.limit(&BOUNDS)));
        let (least, most) = (300, 20);
        assert_eq!(tuner.limit(&(least..=most)), 20);
        assert_eq!(tuner.limit(&(100..=100)), 100);
    }
}
