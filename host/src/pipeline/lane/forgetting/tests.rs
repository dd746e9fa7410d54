#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::super::fixture::{Bench, bodies};
use super::*;
use crate::broker::Settlement;
use crate::pipeline::keeping::Keeping;
use crate::pipeline::publishing::Fate;
use crate::state::{MemoryStore, StateStore};

impl Bench {
    /// Has a key forgotten at all stages; where the answer comes.
    fn forgets(&mut self, key: &str) -> oneshot::Receiver<usize> {
        let (answer, answered) = oneshot::channel();
        let places = self.lane.shape.places.clone();
        self.lane.forget(key.into(), places, answer);
        answered
    }
}

#[tokio::test]
async fn a_key_is_forgotten_behind_what_is_under_way_and_before_what_waits() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "x");
    bench.work();
    let mut answered = bench.forgets("a");
    bench.arrives(1, "a", "y");
    bench.arrives(1, "b", "z");
    bench.work();
    assert_eq!(bench.counter.ran, ["x", "z"], "the key waits, and no other");
    assert!(answered.try_recv().is_err(), "what is published isn't kept yet");
    let first = bench.handed();
    assert_eq!(bodies(&first), ["x=1"]);
    bench.answers(first, |_| Fate::Safe);
    assert_eq!(answered.try_recv(), Ok(1));
    bench.work();
    let second = bench.handed();
    bench.answers(second, |_| Fate::Safe);
    let third = bench.handed();
    assert_eq!(bodies(&third), ["y=1"], "it counts from the beginning");
    bench.answers(third, |_| Fate::Safe);
    assert_eq!(bench.forgets("nobody").try_recv(), Ok(0));
}

#[tokio::test]
async fn a_key_whose_messages_are_undone_is_forgotten_before_they_run_again() {
    let mut bench = Bench::new();
    bench.arrives(1, "a", "w");
    bench.work();
    let first = bench.handed();
    bench.answers(first, |_| Fate::Safe);
    bench.arrives(1, "a", "x");
    bench.work();
    let mut answered = bench.forgets("a");
    let second = bench.handed();
    assert_eq!(bodies(&second), ["x=2"]);
    bench.answers(second, |_| Fate::Abandoned);
    assert_eq!(answered.try_recv(), Ok(1));
    bench.arrives(2, "a", "x");
    bench.work();
    assert_eq!(bodies(&bench.handed()), ["x=1"]);
}

#[tokio::test]
async fn a_key_that_is_damaged_fails_alone_and_is_mended_by_forgetting_it() {
    let mut bench = Bench::new();
    let store = MemoryStore::new();
    bench.lane.keeping = Keeping::here(Arc::clone(&store) as Arc<dyn StateStore>);
    store.damage("torn");
    let failed = bench.arrives(1, "torn", "x");
    let passed = bench.arrives(1, "whole", "y");
    bench.work();
    let items = bench.handed();
    assert_eq!(bodies(&items), ["report", "y=1"]);
    let report = String::from_utf8(items[0].message.body.to_vec()).unwrap();
    assert!(report.contains("state_damaged") && report.contains("key 'torn'"), "{report}");
    bench.answers(items, |_| Fate::Safe);
    assert_eq!(bench.settled(), [(failed, Settlement::DeadLetter), (passed, Settlement::Ack)]);
    assert_eq!(bench.forgets("torn").try_recv(), Ok(1));
    bench.arrives(1, "torn", "z");
    bench.work();
    assert_eq!(bodies(&bench.handed()), ["z=1"]);
}
