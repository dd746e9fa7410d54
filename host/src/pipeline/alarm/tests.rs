#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use super::*;

#[tokio::test]
async fn an_alarm_rings_when_the_clock_has_come_so_far_and_once_for_each_time_that_it_is_set() {
    let clock = Clock::held(0);
    let (shard, mut events) = mpsc::channel(8);
    let alarm = Alarm::start(3, shard, clock.clone());
    let due = Times { due_us: Some(5_000_000), parked: None };
    alarm.set(due);
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert!(events.try_recv().is_err(), "it isn't so late yet");
    clock.advance(Duration::from_secs(5));
    assert!(matches!(events.recv().await, Some(Event::Due(3))));
    alarm.set(due);
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert!(events.try_recv().is_err(), "the same time, and nobody heard it yet");
    alarm.heard();
    alarm.set(due);
    assert!(matches!(events.recv().await, Some(Event::Due(3))));
}
