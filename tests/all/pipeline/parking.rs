//! `retry.order = "key"`: a key waits behind its retried message, and nobody else does.

use sluicegate::admin::{Command, PipelineState};

use super::world::{MAIN, SINK, WORK, World, copies, numbers, order, until};

fn main(retry: &str) -> String {
    MAIN.replace(r#"retry = { max_attempts = 3, rungs = ["20ms", "40ms"] }"#, retry)
}

#[tokio::test]
async fn a_keys_order_holds_over_retries_while_other_keys_flow() {
    let main = main(r#"retry = { max_attempts = 5, rungs = ["200ms"], order = "key" }"#);
    let world = World::start(&[WORK, SINK, &main]).await;
    let orders = [
        order(1, "a", "next"),
        order(2, "a", "retry_until:3"),
        order(3, "b", "next"),
        order(4, "a", "next"),
        order(5, "c", "retry_until:2"),
        order(6, "a", "retry_until:2"),
        order(7, "c", "next"),
        order(8, "b", "next"),
        order(9, "a", "next"),
    ];
    world.publish(orders).await;
    let told = world.take("sink", 9).await;
    let of = |key: &str| -> Vec<u64> {
        let of_key = told.iter().filter(|line| line.routing_key == format!("order.{key}"));
        numbers(&of_key.cloned().collect::<Vec<_>>(), "id")
    };
    assert_eq!((of("a"), of("b"), of("c")), (vec![1, 2, 4, 6, 9], vec![3, 8], vec![5, 7]));
    let ids = numbers(&told, "id");
    let place = |id| ids.iter().position(|other| *other == id).expect("it is told");
    assert!(place(8) < place(2), "another key doesn't wait: {ids:?}");
    world.settled("work").await;
    assert_eq!(world.figures().retried, 0, "nothing left the host");
    world.end().await;
}

#[tokio::test]
async fn a_pause_gives_back_what_is_parked_and_it_comes_again_in_order() {
    let main = main(r#"retry = { max_attempts = 2, rungs = ["5m"], order = "key" }"#);
    let world = World::start(&[WORK, SINK, &main]).await;
    world.publish([order(1, "a", "retry_until:2"), order(2, "a", "next")]).await;
    world.publish([order(3, "b", "next")]).await;
    world.take("sink", 1).await;
    until("the key waits", || world.figures().in_flight == 2).await;
    world.control(Command::Pause("main".to_owned()));
    until("it is paused", || world.state() == PipelineState::Paused).await;
    assert_eq!(world.broker.queue_depth("work"), (2, 0), "nothing is held");
    world.control(Command::Resume("main".to_owned()));
    until("the key waits again", || world.figures().in_flight == 2).await;
    assert!(world.rest("sink").is_empty(), "behind its retried message");
    world.end().await;
}

#[tokio::test]
async fn past_the_bound_the_key_waits_on_the_broker_and_nothing_is_lost() {
    let main = main(
        r#"retry = { max_attempts = 2, rungs = ["100ms"], order = "key", park = 3 }
prefetch = 50"#,
    );
    let world = World::start(&[WORK, SINK, &main]).await;
    world.publish((1..=30).map(|id| order(id, "a", "retry_until:2"))).await;
    let told = world.take("sink", 30).await;
    assert_eq!(copies(&told).values().collect::<Vec<_>>(), vec![&1; 30]);
    world.settled("work").await;
    assert!(world.figures().retried > 0);
    world.end().await;
}
