use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};

use super::*;

#[tokio::test]
async fn a_clock_that_is_held_wakes_those_who_waited_when_it_is_moved_and_not_before() {
    let clock = Clock::held(5_000_000);
    let other = clock.clone();
    let mut waiting = pin!(other.passed(Duration::from_secs(2)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    clock.advance(Duration::from_secs(1));
    assert_eq!(other.now_s(), 6);
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(waiting.as_mut().poll(&mut context).is_ready());
    other.reached(7_000_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_the_runtime_goes_as_that_does() {
    let clock = Clock::of_runtime(1_000_000);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(clock.now_us(), 3_601_000_000);
    clock.passed(Duration::from_secs(200)).await;
    assert_eq!(clock.now_s(), 3801);
}

#[test]
fn the_systems_clock_is_later_than_this_was_written() {
    assert!(Clock::system().now_s() > 1_700_000_000);
}
