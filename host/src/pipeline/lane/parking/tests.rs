#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use super::super::fixture::{Bench, bodies};
use super::*;
use crate::broker::Settlement::{Ack, Release};
use crate::config::Retry;
use crate::message::FieldValue;
use crate::pipeline::headers;
use crate::pipeline::publishing::Fate;
use crate::topology;
use crate::verdict::FailureClass;

const SECOND: Duration = Duration::from_secs(1);

fn bench(park: usize) -> Bench {
    Bench::with(Retry {
        attempts: BTreeMap::from([(FailureClass::Retry, 3)]),
        rungs: vec![SECOND],
        class_rungs: BTreeMap::new(),
        order: RetryOrder::Key,
        park,
    })
}

/// Everything that can run and be published, until nothing can: what was published, in order.
fn run(bench: &mut Bench) -> Vec<String> {
    let mut out = Vec::new();
    for _ in 0..100 {
        let worked = bench.lane.work(&mut bench.counter, usize::MAX, 1_000_000);
        if !bench.is_handed(&mut out) && !worked {
            return out;
        }
    }
    panic!("it never ends: {out:?}")
}

impl Bench {
    /// Publishes what was handed over, if anything was.
    fn is_handed(&mut self, out: &mut Vec<String>) -> bool {
        let Some(items) = self.next_group() else { return false };
        out.extend(bodies(&items));
        self.answers(items, |_| Fate::Safe);
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_keys_later_messages_wait_behind_a_retried_one_and_other_keys_flow() {
    let mut bench = bench(10);
    for (key, body) in [("a", "1"), ("a", "late2"), ("b", "x"), ("a", "3"), ("b", "y")] {
        bench.arrives(1, key, body);
    }
    let out = run(&mut bench);
    assert_eq!(out, ["x=1", "y=2", "1=1"], "what ran with it is undone, and runs alone");
    bench.arrives(1, "a", "4");
    bench.arrives(1, "b", "z");
    assert_eq!(run(&mut bench), ["z=3"]);
    assert_eq!(bench.held(), 3, "nothing that waits is acknowledged");

    tokio::time::advance(SECOND - Duration::from_millis(1)).await;
    assert_eq!(run(&mut bench), [""; 0]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(run(&mut bench), ["late2=2", "3=3", "4=4"]);
    assert_eq!(bench.held(), 0);
    assert_eq!(bench.lane.shape.in_flight.park(99, 10), 10, "nothing counts as parked any more");
}

#[tokio::test(start_paused = true)]
async fn a_retried_message_that_runs_again_in_place_knows_its_attempt_until_it_has_none_left() {
    let mut bench = bench(10);
    let tag = bench.arrives(1, "a", "late");
    assert_eq!(run(&mut bench), [""; 0]);
    assert_eq!(bench.counter.ran, ["late"]);
    tokio::time::advance(SECOND).await;
    assert_eq!(run(&mut bench), ["late=1"]);
    assert_eq!(bench.settled(), [(tag, Ack)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_past_the_bound_waits_in_the_delay_queue_in_order_and_as_it_is() {
    let mut bench = bench(2);
    for body in ["late1", "2"] {
        bench.arrives(1, "a", body);
    }
    run(&mut bench);
    let tags = ["3", "4"].map(|body| bench.arrives(1, "a", body));
    let delay = topology::delay_queue("work", topology::DELAY_KIND, SECOND);
    let mut diverted = Vec::new();
    while let Some(items) = bench.next_group() {
        for item in &items {
            assert_eq!(item.message.routing_key, delay);
            let headers = &item.message.properties.headers;
            assert_eq!(headers.get(headers::ATTEMPT).and_then(FieldValue::as_i64), Some(1));
            assert!(headers.get(headers::CODE).is_none(), "it hasn't failed");
        }
        diverted.extend(bodies(&items));
        bench.answers(items, |_| Fate::Safe);
    }
    assert_eq!(diverted, ["3", "4"]);
    assert_eq!(bench.settled(), tags.map(|tag| (tag, Ack)));
    tokio::time::advance(SECOND).await;
    assert_eq!(run(&mut bench), ["late1=1", "2=2"]);
    // They come back as what they were, and aren't taken for what was acknowledged.
    for body in ["3", "4"] {
        bench.arrives(1, "a", body);
    }
    assert_eq!(run(&mut bench), ["3=3", "4=4"]);
}

#[tokio::test(start_paused = true)]
async fn without_room_the_retried_message_goes_to_the_delay_queue_and_its_key_behind_it() {
    let mut bench = bench(1);
    bench.arrives(1, "a", "late1");
    run(&mut bench);
    for body in ["late1", "2", "3"] {
        bench.arrives(1, "b", body);
    }
    assert_eq!(run(&mut bench), ["late1", "2", "3"], "as copies, in order");
    assert_eq!(bench.held(), 1);
    tokio::time::advance(SECOND).await;
    assert_eq!(run(&mut bench), ["late1=1"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_or_a_drain_holds_nothing_back() {
    for drains in [false, true] {
        let mut bench = bench(10);
        let tags = ["late1", "2"].map(|body| bench.arrives(1, "a", body));
        run(&mut bench);
        if drains {
            bench.lane.draining(1)
        } else {
            bench.lane.lost(1)
        }
        assert_eq!(bench.settled(), tags.map(|tag| (tag, Release)), "in order; drains: {drains}");
        assert_eq!((bench.held(), bench.lane.shape.in_flight.park(99, 10)), (0, 10));
        bench.lane.shape.in_flight.unpark(10);
        // What a draining consumer had handed out before isn't parked either.
        let late = bench.arrives(1, "b", "late");
        run(&mut bench);
        let expected: &[_] = if drains { &[(late, Release)] } else { &[] };
        assert_eq!(bench.settled(), expected);
        // Its successor's messages are, and run from the first attempt.
        bench.arrives(2, "a", "late1");
        assert_eq!(run(&mut bench), [""; 0]);
        tokio::time::advance(SECOND).await;
        assert!(run(&mut bench).contains(&"late1=1".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_be_held_too_long_waits_on_the_broker() {
    let mut bench = bench(10);
    bench.arrives(1, "a", "late1");
    tokio::time::advance(RETRY_PARK_TIME).await;
    bench.arrives(1, "a", "2");
    // In one batch with what follows, which goes on.
    assert_eq!(run(&mut bench), ["late1", "2=1"]);
    assert_eq!(bench.held(), 0);
}
