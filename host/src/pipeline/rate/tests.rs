#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::VecDeque;

use async_trait::async_trait;
use tokio::time::timeout;

use super::*;
use crate::message::Message;
use crate::pipeline::fixture::delivery;
use crate::telemetry::Telemetry;

/// Hands out what it has, each message from its moment on; then nothing more.
struct Source(VecDeque<Instant>);

#[async_trait]
impl Consumer for Source {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        match self.0.front() {
            Some(at) => sleep_until(*at).await,
            None => std::future::pending().await,
        }
        self.0.pop_front();
        let delivery = delivery(Message::default());
        Ok(delivery)
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        Ok(())
    }
}

fn rate(messages: u32, burst: u32) -> Rate {
    Rate { messages, within: Duration::from_secs(1), burst }
}

/// How many of that many messages, all here from the start, pass within each of so many steps; and the
/// seconds that were counted.
async fn passed(rate: Rate, messages: usize, step: Duration, steps: usize) -> (Vec<usize>, f64) {
    let telemetry = Telemetry::new();
    let metrics = telemetry.pipeline("p");
    let mut bucket = Some(Bucket::new(rate));
    let start = Instant::now();
    let mut source = Source(vec![start; messages].into());
    let mut counts = Vec::new();
    for n in 1..=steps {
        let end = start + step * u32::try_from(n).unwrap();
        let mut count = 0;
        while let Ok(Ok(delivery)) =
            tokio::time::timeout_at(end, next(&mut bucket, &mut source, &metrics)).await
        {
            delivery.receipt.settle(crate::broker::Settlement::Ack);
            count += 1;
        }
        counts.push(count);
    }
    (counts, metrics.snapshot().held_back_s)
}

#[tokio::test(start_paused = true)]
async fn a_burst_passes_at_once_and_then_as_many_as_the_rate_says() {
    let (counts, held) = passed(rate(100, 20), 1000, Duration::from_millis(100), 5).await;
    assert_eq!(counts[1..], [10, 10, 10, 10]);
    assert!((29..=30).contains(&counts[0]), "{counts:?}");
    assert!((0.4..0.55).contains(&held), "{held}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_finer_than_timers_is_kept_all_the_same() {
    let (counts, _) = passed(rate(50_000, 1), 200_000, Duration::from_secs(1), 2).await;
    assert!(counts.iter().all(|count| (49_900..=50_100).contains(count)), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn what_wasnt_used_is_saved_up_to_the_burst_and_no_further() {
    let metrics = Telemetry::new().pipeline("p");
    let mut bucket = Some(Bucket::new(rate(10, 3)));
    let start = Instant::now();
    let late = start + Duration::from_secs(60);
    let mut source = Source([vec![start; 3], vec![late; 5]].concat().into());
    let mut times = Vec::new();
    for _ in 0..8 {
        let delivery = next(&mut bucket, &mut source, &metrics).await.unwrap();
        delivery.receipt.settle(crate::broker::Settlement::Ack);
        times.push(start.elapsed().as_millis());
    }
    assert_eq!(times[..6], [0, 0, 0, 60_000, 60_000, 60_000]);
    assert!(
        (60_100..60_103).contains(&times[6]) && (60_200..60_203).contains(&times[7]),
        "{times:?}"
    );
    let held = metrics.snapshot().held_back_s;
    assert!((0.2..0.21).contains(&held), "a quiet queue holds nothing back: {held}");
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_has_taken_nothing() {
    let metrics = Telemetry::new().pipeline("p");
    let mut bucket = Some(Bucket::new(rate(1, 1)));
    let mut source = Source(vec![Instant::now(); 2].into());
    let first = next(&mut bucket, &mut source, &metrics).await.unwrap();
    first.receipt.settle(crate::broker::Settlement::Ack);
    for _ in 0..4 {
        let early = timeout(Duration::from_millis(200), next(&mut bucket, &mut source, &metrics));
        assert!(early.await.is_err());
    }
    assert_eq!(source.0.len(), 1);
    let second =
        timeout(Duration::from_millis(250), next(&mut bucket, &mut source, &metrics)).await;
    second.unwrap().unwrap().receipt.settle(crate::broker::Settlement::Ack);
}

#[test]
fn a_limited_pipeline_holds_ten_seconds_worth_of_its_prefetch() {
    let slow = Rate { messages: 6, within: Duration::from_secs(3600), burst: 1 };
    assert_eq!(Bucket::window(rate(500, 50), 1000, 0), 1000);
    assert_eq!(Bucket::window(rate(5, 1), 1000, 0), 50);
    assert_eq!(Bucket::window(slow, 1000, 0), 1);
    assert_eq!(Bucket::window(slow, 1000, 100), 101, "what is parked takes nobody's place");
}
