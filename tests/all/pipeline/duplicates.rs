//! A message that comes again doesn't count again.

use super::world::{MAIN, SINK, WORK, World, copies, json, numbers, order, until};

#[tokio::test]
async fn the_same_message_again_is_acknowledged_without_running() {
    let world = World::usual().await;
    world.publish([order(1, "a", "next")]).await;
    world.take("sink", 1).await;
    world.settled("work").await;
    world.publish([order(1, "a", "next"), order(2, "a", "next")]).await;
    let told = world.take("sink", 1).await;
    assert_eq!((numbers(&told, "id"), numbers(&told, "n")), (vec![2], vec![2]));
    world.settled("work").await;
    let figures = world.figures();
    assert_eq!((figures.duplicates, figures.done, figures.id_conflicts), (1, 2, 0));
    assert!(world.rest("sink").is_empty());
    world.end().await;
}

#[tokio::test]
async fn without_keys_a_message_that_comes_again_is_found_as_well() {
    let main = MAIN.replace("key = { header = \"key\" }\n", "");
    let world = World::start(&[WORK, SINK, &main]).await;
    let all = || (1..=50).map(|id| order(id, "", "next"));
    world.publish(all()).await;
    world.settled("work").await;
    world.publish([order(99, "", "next")]).await;
    world.publish(all()).await;
    world.settled("work").await;
    assert_eq!(copies(&world.rest("sink")).values().sum::<usize>(), 51);
    assert_eq!(world.figures().duplicates, 50);
    world.end().await;
}

#[tokio::test]
async fn the_same_id_and_body_of_another_key_is_another_message() {
    let world = World::usual().await;
    let keys: Vec<String> = (0..40).map(|key| format!("meter-{key}")).collect();
    world.publish(keys.iter().map(|key| order(1, key, "next"))).await;
    world.settled("work").await;
    assert_eq!(numbers(&world.rest("sink"), "n"), [1; 40]);
    world.publish(keys.iter().map(|key| order(1, key, "next"))).await;
    world.settled("work").await;
    assert!(world.rest("sink").is_empty());
    let figures = world.figures();
    assert_eq!((figures.done, figures.duplicates, figures.id_conflicts), (40, 40, 0));
    world.end().await;
}

#[tokio::test]
async fn the_same_id_with_another_body_is_another_message_and_counted() {
    let world = World::usual().await;
    world.publish([order(1, "a", "next")]).await;
    world.take("sink", 1).await;
    world.settled("work").await;
    world.publish([order(1, "a", "done")]).await;
    let told = world.take("sink", 1).await;
    assert_eq!(numbers(&told, "n"), [2]);
    world.settled("work").await;
    assert_eq!((world.figures().id_conflicts, world.figures().duplicates), (1, 0));
    world.end().await;
}

#[tokio::test]
async fn identities_from_bodies_tell_messages_apart_without_conflicts() {
    let main = MAIN.replace("key = {", "id = \"hash\"\nkey = {");
    let world = World::start(&[WORK, SINK, &main]).await;
    world.publish((1..=5).map(|id| order(id, "a", "next"))).await;
    world.settled("work").await;
    let mut again = order(3, "a", "next");
    again.properties.message_id = Some("another id".to_owned());
    world.publish([again]).await;
    world.settled("work").await;
    let figures = world.figures();
    assert_eq!((figures.done, figures.duplicates, figures.id_conflicts), (5, 1, 0));
    world.end().await;
}

#[tokio::test]
async fn a_duplicate_waits_for_the_first_that_is_still_in_flight() {
    let world = World::usual().await;
    world.control(sluicegate::admin::Command::Pause("main".to_owned()));
    until("it is paused", || world.state() == sluicegate::admin::PipelineState::Paused).await;
    let orders = [order(1, "a", "next"), order(1, "a", "next"), order(2, "a", "next")];
    world.publish(orders.into_iter().chain([order(3, "b", "next")])).await;
    world.broker.refuse_publishes(true);
    world.control(sluicegate::admin::Command::Resume("main".to_owned()));
    until("the first can't be published", || world.figures().paused.is_some()).await;
    until("all are in hand", || world.figures().in_flight == 4).await;
    assert_eq!(world.figures().duplicates, 0, "the first isn't safe yet");
    world.broker.refuse_publishes(false);
    world.settled("work").await;
    let figures = world.figures();
    assert_eq!((figures.duplicates, figures.done), (1, 3));
    let told = world.rest("sink");
    let of_a: Vec<_> = told.into_iter().filter(|message| json(message)["id"] != 3).collect();
    assert_eq!((numbers(&of_a, "id"), numbers(&of_a, "n")), (vec![1, 2], vec![1, 2]));
    world.end().await;
}
