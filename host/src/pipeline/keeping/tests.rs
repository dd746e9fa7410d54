#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::pipeline::breaker::Phase;
use crate::state::MemoryStore;
use crate::telemetry::Telemetry;

fn commit(pipeline: &str) -> Commit {
    Commit::new(pipeline.into(), 0)
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cant_be_written_trips_the_breaker_and_is_tried_until_it_can() {
    let store = MemoryStore::new();
    store.refuse(Some("the disk is full"));
    let telemetry = Telemetry::new();
    let (committer, _) =
        Committer::on_runtime(Arc::clone(&store) as Arc<dyn StateStore>, telemetry.state());
    let (shard, mut events) = mpsc::channel(8);
    let breaker = Arc::new(Breaker::default());
    let keeping = committer.commits().keeping(3, shard);
    assert_eq!(keeping.hand_over(commit("p"), &breaker), Handed::Waits);
    let why = breaker.tripped().await;
    assert!(why.contains("the disk is full"), "{why}");
    assert!(matches!(breaker.phase(), Phase::Tripped(_)));
    assert!(events.try_recv().is_err(), "nobody was told that it is kept");
    store.refuse(None);
    assert!(matches!(events.recv().await, Some(Event::Committed(3))));
}

#[tokio::test(start_paused = true)]
async fn a_committer_that_stops_keeps_what_it_was_handed_and_takes_no_more() {
    let store = MemoryStore::new();
    let committer =
        Committer::start(Arc::clone(&store) as Arc<dyn StateStore>, Telemetry::new().state())
            .unwrap();
    let (shard, mut events) = mpsc::channel(8);
    let keeping = committer.commits().keeping(0, shard);
    let breaker = Arc::new(Breaker::default());
    assert_eq!(keeping.hand_over(commit("p"), &breaker), Handed::Waits);
    committer.stop();
    assert!(matches!(events.recv().await, Some(Event::Committed(0))));
    assert_eq!(keeping.hand_over(commit("p"), &breaker), Handed::Refused);
}
