//! Stopping, pausing, resuming: what is in hand is finished or given back, nothing else.

use std::time::Duration;

use sluicegate::admin::{Command, PipelineState};

use super::world::{MAIN, SINK, WORK, World, copies, order, until};

const GRACE: Duration = Duration::from_secs(60);

fn main() -> String {
    "main".to_owned()
}

/// A host with fifty messages of which none can be finished.
async fn stuck() -> World {
    let world = World::usual().await;
    world.control(Command::Pause(main()));
    until("it is paused", || world.state() == PipelineState::Paused).await;
    world.publish((1..=50).map(|id| order(id, &format!("k{}", id % 5), "next"))).await;
    world.broker.refuse_publishes(true);
    world.control(Command::Resume(main()));
    until("nothing can be published", || world.figures().paused.is_some()).await;
    world
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_hand() {
    let work = MAIN.replace("key = {", "prefetch = 20\nkey = {");
    let mut world = World::start(&[WORK, SINK, &work]).await;
    world.publish((1..=500).map(|id| order(id, &format!("k{}", id % 5), "next"))).await;
    until("it has begun", || world.figures().done > 0).await;
    assert!(!world.stop(GRACE).await.forced);
    let (ready, unsettled) = world.broker.queue_depth("work");
    assert_eq!(unsettled, 0);
    let told = copies(&world.rest("sink"));
    assert_eq!(told.len() + ready, 500, "each is done or still queued");
    assert!(told.values().all(|copies| *copies == 1));
}

#[tokio::test]
async fn a_stop_past_its_limit_releases_the_rest_in_order() {
    let mut world = stuck().await;
    until("a window is in hand", || world.broker.queue_depth("work") == (34, 16)).await;

    assert!(world.stop(Duration::ZERO).await.forced);
    assert_eq!(world.broker.queue_depth("work"), (50, 0), "all are back");
    world.broker.refuse_publishes(false);
    let ids = super::world::numbers(&world.rest("work"), "id");
    assert_eq!(ids, (1..=50).collect::<Vec<_>>());
    assert!(world.rest("sink").is_empty());
}

#[tokio::test]
async fn a_stop_during_an_outage_forgets_no_receipt() {
    let mut world = stuck().await;
    world.broker.set_unreachable(true);
    until("its consumer is gone", || world.state() == PipelineState::Connecting).await;
    // What is being published is still held, of a consumer that is gone.
    world.stop(Duration::ZERO).await;
    world.broker.set_unreachable(false);
    assert_eq!(world.broker.queue_depth("work"), (50, 0));
}

#[tokio::test]
async fn a_paused_pipeline_holds_nothing_and_goes_on_when_told() {
    let world = World::usual().await;
    world.publish((1..=200).map(|id| order(id, &format!("k{}", id % 5), "next"))).await;
    world.control(Command::Pause(main()));
    until("it is paused", || world.state() == PipelineState::Paused).await;
    let (before, unsettled) = world.broker.queue_depth("work");
    assert_eq!((unsettled, world.figures().in_flight), (0, 0));
    world.publish([order(201, "k0", "next")]).await;
    assert_eq!(world.broker.queue_depth("work"), (before + 1, 0), "nothing is taken");
    world.control(Command::Resume(main()));
    world.settled("work").await;
    let told = copies(&world.rest("sink"));
    assert_eq!((told.len(), told.values().sum::<usize>()), (201, 201));
    world.end().await;
}

#[tokio::test]
async fn a_pipeline_paused_while_its_connection_breaks_is_paused() {
    let world = World::usual().await;
    world.publish((1..=200).map(|id| order(id, "a", "next"))).await;
    world.broker.drop_connections();
    world.control(Command::Pause(main()));
    until("it is paused", || world.state() == PipelineState::Paused).await;
    until("nothing is held", || world.figures().in_flight == 0).await;
    assert_eq!(world.broker.queue_depth("work").1, 0);
    world.control(Command::Resume(main()));
    world.settled("work").await;
    assert_eq!(copies(&world.rest("sink")).len(), 200);
    world.end().await;
}
