#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::Pace;

async fn pass(pace: &mut Pace, messages: usize) -> Duration {
    let start = Instant::now();
    let mut passed = 0;
    while passed < messages {
        passed += pace.take(messages - passed).await;
    }
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_held() {
    for (per_s, messages) in [(0.5, 5), (7.0, 70), (1000.0, 10_000), (20_000.0, 200_000)] {
        let took = pass(&mut Pace::new(Some(per_s)), messages + 1).await.as_secs_f64();
        assert!((9.9..10.2).contains(&took), "{per_s}/s took {took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_not_caught_up_with() {
    let mut pace = Pace::new(Some(100.0));
    advance(Duration::from_secs(60)).await;
    assert!(pace.take(1000).await <= 11);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_may_pass_later() {
    let mut pace = Pace::new(Some(1.0));
    assert_eq!(pace.take(10).await, 1);
    pace.unused(1);
    let start = Instant::now();
    assert_eq!(pace.take(10).await, 1);
    assert!(start.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_nobody_waits() {
    assert_eq!(pass(&mut Pace::new(None), 1_000_000).await, Duration::ZERO);
}
