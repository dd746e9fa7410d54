//! Pipelines that take no more within a time than their config says.

use std::time::Duration;

use tokio::time::Instant;

use super::world::{MAIN, SINK, WORK, World, copies, order, until};

fn limited(rate: &str) -> String {
    MAIN.replace("key = {", &format!("{rate}\nkey = {{"))
}

#[tokio::test]
async fn a_rate_holds_for_all_shards_together_and_goes_with_its_config() {
    let slow = limited("rate = \"50/s\"\nburst = 10");
    let mut world = World::start(&[WORK, SINK, &slow]).await;
    let start = Instant::now();
    world.publish((1..=50).map(|id| order(id, &format!("k{}", id % 7), "next"))).await;
    let told = copies(&world.take("sink", 50).await);
    assert!(start.elapsed() >= Duration::from_millis(780), "{:?}", start.elapsed());
    assert_eq!((told.len(), told.values().sum::<usize>()), (50, 50));
    let held = world.figures().held_back_s;
    assert!((0.3..=start.elapsed().as_secs_f64()).contains(&held), "{held}");

    let reloaded = world.reconfigure(&[WORK, SINK, MAIN]).await;
    assert_eq!(reloaded.done, ["pipeline 'main' altered: rate"]);
    let before = world.figures().held_back_s;
    world.publish((51..=500).map(|id| order(id, &format!("k{}", id % 7), "next"))).await;
    world.take("sink", 450).await;
    assert!((world.figures().held_back_s - before).abs() < f64::EPSILON, "nothing holds it back");
    assert!(!world.stop(Duration::from_secs(60)).await.forced);
}

#[tokio::test]
async fn a_limited_pipeline_leaves_what_it_cant_take_soon_on_the_broker_and_stops_at_once() {
    let slow = limited("rate = \"6/m\"\nburst = 2");
    let mut world = World::start(&[WORK, SINK, &slow]).await;
    world.publish((1..=40).map(|id| order(id, "k", "next"))).await;
    world.take("sink", 2).await;
    until("both are acknowledged", || world.figures().done == 2).await;
    until("they are gone", || {
        let (ready, unsettled) = world.broker.queue_depth("work");
        ready + unsettled == 38
    })
    .await;
    let (ready, unsettled) = world.broker.queue_depth("work");
    assert!(unsettled <= 1, "{ready} ready, {unsettled} unsettled");
    assert!(!world.stop(Duration::from_secs(5)).await.forced);
    assert_eq!(world.broker.queue_depth("work"), (38, 0));
}
