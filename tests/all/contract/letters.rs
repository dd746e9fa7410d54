//! Dead letters: what becomes of a message that is rejected, too old, or one too many.

use sluicegate::broker::{
    Declaration, Delivery, ExchangeDeclaration, Outgoing, Published, Settlement,
};
use sluicegate::config::{ExchangeKind, QueueKind};
use sluicegate::message::{FieldValue, Message, Table};

use super::World;
use super::world::{message, next, text, within};

/// A queue whose dead letters go through an exchange of their own to a queue that takes them all.
struct Scene {
    exchange: String,
    queue: String,
    dead_exchange: String,
    dead: String,
}

impl Scene {
    /// Sets it up with further arguments of the queue.
    async fn new(world: &World, arguments: &[(&str, FieldValue)]) -> Self {
        Self::of_kind(world, QueueKind::Classic, arguments).await
    }

    async fn of_kind(world: &World, kind: QueueKind, arguments: &[(&str, FieldValue)]) -> Self {
        let exchange = world.exchange("x", ExchangeKind::Topic).await;
        let dead_exchange = world.exchange("dlx", ExchangeKind::Topic).await;
        let dead = world.queue("dead", &[]).await;
        world.bind(&dead_exchange, &dead, "#").await;
        let mut all = vec![("x-dead-letter-exchange", dead_exchange.as_str().into())];
        all.extend_from_slice(arguments);
        let queue = world.queue_declaration("q", kind, &all);
        let queue = world.declare(Declaration::Queue(queue)).await.name;
        world.bind(&exchange, &queue, "#").await;
        Self { exchange, queue, dead_exchange, dead }
    }

    fn message(&self, body: &str) -> Outgoing {
        message(&self.exchange, "meter.7", body)
    }

    /// Takes the next dead letter, which must come.
    async fn letter(&self, world: &World) -> Message {
        let mut consumer = world.consume(&self.dead, 1).await;
        let Delivery { message, receipt, .. } = next(&mut consumer).await;
        receipt.settle(Settlement::Ack);
        within(consumer.close()).await.expect("it closes");
        message
    }
}

/// The entries of `x-death`, newest first.
fn deaths(letter: &Message) -> Vec<Table> {
    let Some(FieldValue::Array(entries)) = letter.properties.headers.get("x-death") else {
        panic!("no x-death in {:?}", letter.properties.headers);
    };
    entries
        .iter()
        .map(|entry| match entry {
            FieldValue::Table(entry) => entry.clone(),
            other => panic!("not a table: {other:?}"),
        })
        .collect()
}

/// Asserts that a message died once, of this reason, in the scene's queue.
fn assert_died_of(letter: &Message, scene: &Scene, reason: &str) {
    let deaths = deaths(letter);
    assert_eq!(deaths.len(), 1, "{deaths:?}");
    let death = &deaths[0];
    assert_eq!(death.get("count").and_then(FieldValue::as_i64), Some(1));
    assert_eq!(death.text("reason"), Some(reason));
    assert_eq!(death.text("queue"), Some(scene.queue.as_str()));
    assert_eq!(death.text("exchange"), Some(scene.exchange.as_str()));
    assert_eq!(death.get("routing-keys"), Some(&FieldValue::Array(vec!["meter.7".into()])));
    assert!(matches!(death.get("time"), Some(FieldValue::Timestamp(1..))), "{death:?}");
    let headers = &letter.properties.headers;
    assert_eq!(headers.text("x-first-death-reason"), Some(reason));
    assert_eq!(headers.text("x-first-death-queue"), Some(scene.queue.as_str()));
    assert_eq!(headers.text("x-first-death-exchange"), Some(scene.exchange.as_str()));
    assert_eq!(letter.exchange, scene.dead_exchange);
}

pub(crate) async fn a_rejected_message_is_dead_lettered(world: &World) {
    let scene = Scene::new(world, &[]).await;
    let mut outgoing = scene.message("a");
    outgoing.properties.headers.set("meter-id", "m-7");
    outgoing.properties.correlation_id = Some("c-1".to_owned());
    world.publish_confirmed(&[outgoing, scene.message("b")]).await;
    let mut consumer = world.consume(&scene.queue, 10).await;
    next(&mut consumer).await.receipt.settle(Settlement::DeadLetter);
    next(&mut consumer).await.receipt.settle(Settlement::Ack);

    let letter = scene.letter(world).await;
    assert_eq!(text(&letter), "a");
    assert_eq!(letter.routing_key, "meter.7");
    assert_eq!(letter.properties.headers.text("meter-id"), Some("m-7"));
    assert_eq!(letter.properties.correlation_id.as_deref(), Some("c-1"));
    assert_died_of(&letter, &scene, "rejected");
    assert_eq!(world.ready("dead", &[]).await, 0);
}

pub(crate) async fn without_a_dead_letter_exchange_a_rejected_message_is_gone(world: &World) {
    let queue = world.queue("q", &[]).await;
    world.publish_confirmed(&[message("", &queue, "a"), message("", &queue, "b")]).await;
    let mut consumer = world.consume(&queue, 1).await;
    next(&mut consumer).await.receipt.settle(Settlement::DeadLetter);
    let second = next(&mut consumer).await;
    assert_eq!(text(&second.message), "b");
    second.receipt.settle(Settlement::Ack);
}

pub(crate) async fn a_dead_letter_routing_key_replaces_the_own_one(world: &World) {
    let scene = Scene::new(world, &[("x-dead-letter-routing-key", "graveyard".into())]).await;
    world.publish_confirmed(&[scene.message("a")]).await;
    let mut consumer = world.consume(&scene.queue, 1).await;
    next(&mut consumer).await.receipt.settle(Settlement::DeadLetter);
    let letter = scene.letter(world).await;
    assert_eq!(letter.routing_key, "graveyard");
    assert_died_of(&letter, &scene, "rejected");
}

pub(crate) async fn a_queues_time_to_live_expires_messages(world: &World) {
    let scene = Scene::new(world, &[("x-message-ttl", 1.into())]).await;
    world.publish_confirmed(&[scene.message("a")]).await;
    let letter = scene.letter(world).await;
    assert_eq!(text(&letter), "a");
    assert_died_of(&letter, &scene, "expired");
    assert_eq!(deaths(&letter)[0].get("original-expiration"), None);
}

pub(crate) async fn a_messages_own_expiration_is_kept_in_its_death_alone(world: &World) {
    let scene = Scene::new(world, &[]).await;
    let mut outgoing = scene.message("a");
    outgoing.properties.expiration = Some("1".to_owned());
    world.publish_confirmed(&[outgoing]).await;
    let letter = scene.letter(world).await;
    assert_died_of(&letter, &scene, "expired");
    assert_eq!(letter.properties.expiration, None, "it would expire again");
    assert_eq!(deaths(&letter)[0].text("original-expiration"), Some("1"));
}

pub(crate) async fn the_shorter_time_to_live_counts(world: &World) {
    let scene = Scene::new(world, &[("x-message-ttl", 1.into())]).await;
    let mut outgoing = scene.message("a");
    outgoing.properties.expiration = Some("3600000".to_owned());
    world.publish_confirmed(&[outgoing]).await;
    let letter = scene.letter(world).await;
    assert_died_of(&letter, &scene, "expired");
}

pub(crate) async fn a_full_queue_drops_its_oldest_message(world: &World) {
    let scene = Scene::new(world, &[("x-max-length", 2.into())]).await;
    world.publish_confirmed(&["a", "b", "c"].map(|body| scene.message(body))).await;
    let letter = scene.letter(world).await;
    assert_eq!(text(&letter), "a");
    assert_died_of(&letter, &scene, "maxlen");
    assert_eq!(world.drain(&scene.queue, 2).await, ["b", "c"]);
}

pub(crate) async fn a_queue_full_of_bytes_drops_its_oldest_message(world: &World) {
    let scene = Scene::new(world, &[("x-max-length-bytes", 10.into())]).await;
    world.publish_confirmed(&["aaaaaa", "bbbbbb", "cccc"].map(|body| scene.message(body))).await;
    let letter = scene.letter(world).await;
    assert_eq!(text(&letter), "aaaaaa");
    assert_died_of(&letter, &scene, "maxlen");
    assert_eq!(world.drain(&scene.queue, 2).await, ["bbbbbb", "cccc"]);
}

pub(crate) async fn a_refused_publish_may_be_dead_lettered(world: &World) {
    let arguments = [("x-max-length", 1.into()), ("x-overflow", "reject-publish-dlx".into())];
    let scene = Scene::new(world, &arguments).await;
    let outcomes = world.publish(&["a", "b"].map(|body| scene.message(body))).await;
    assert_eq!(outcomes[0], Published::Confirmed);
    assert!(matches!(outcomes[1], Published::Refused(_)), "{outcomes:?}");
    let letter = scene.letter(world).await;
    assert_eq!(text(&letter), "b");
    assert_died_of(&letter, &scene, "maxlen");
}

pub(crate) async fn a_message_delivered_too_often_is_dead_lettered(world: &World) {
    let arguments = [("x-delivery-limit", 1.into())];
    let scene = Scene::of_kind(world, QueueKind::Quorum, &arguments).await;
    world.publish_confirmed(&[scene.message("a")]).await;
    for _ in 0..2 {
        let mut consumer = world.consume(&scene.queue, 1).await;
        let held = next(&mut consumer).await;
        within(consumer.close()).await.expect("it closes");
        held.receipt.settle(Settlement::Release);
    }
    let letter = scene.letter(world).await;
    assert_eq!(text(&letter), "a");
    assert_died_of(&letter, &scene, "delivery_limit");
}

pub(crate) async fn the_same_death_again_is_counted_up(world: &World) {
    // Rejected messages go straight back to where they were.
    let name = world.name("q");
    let back = [
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", name.as_str().into()),
    ];
    let queue = world.queue("q", &back).await;
    world.publish_confirmed(&[message("", &queue, "a")]).await;
    let mut consumer = world.consume(&queue, 1).await;
    next(&mut consumer).await.receipt.settle(Settlement::DeadLetter);
    for count in 1..4 {
        let delivery = next(&mut consumer).await;
        let deaths = deaths(&delivery.message);
        assert_eq!(deaths.len(), 1, "{deaths:?}");
        assert_eq!(deaths[0].get("count").and_then(FieldValue::as_i64), Some(count));
        assert!(!delivery.redelivered, "a dead letter is a new message");
        delivery.receipt.settle(Settlement::DeadLetter);
    }
    next(&mut consumer).await.receipt.settle(Settlement::Ack);
}

pub(crate) async fn the_newest_death_comes_first(world: &World) {
    let scene = Scene::new(world, &[]).await;
    let last = world.queue("last", &[]).await;
    let onward = [
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", last.as_str().into()),
        ("x-message-ttl", 1.into()),
    ];
    let waiting = world.queue("waiting", &onward).await;
    world.bind(&scene.dead_exchange, &waiting, "#").await;
    world.publish_confirmed(&[scene.message("a")]).await;
    let mut consumer = world.consume(&scene.queue, 1).await;
    next(&mut consumer).await.receipt.settle(Settlement::DeadLetter);

    let mut consumer = world.consume(&last, 1).await;
    let letter = next(&mut consumer).await;
    let deaths = deaths(&letter.message);
    let seen: Vec<_> = deaths.iter().map(|d| (d.text("queue"), d.text("reason"))).collect();
    let expected =
        [(Some(waiting.as_str()), Some("expired")), (Some(scene.queue.as_str()), Some("rejected"))];
    assert_eq!(seen, expected);
    assert_eq!(deaths[0].text("exchange"), Some(scene.dead_exchange.as_str()));
    let headers = &letter.message.properties.headers;
    assert_eq!(headers.text("x-first-death-reason"), Some("rejected"));
    letter.receipt.settle(Settlement::Ack);
}

/// What retried messages come back by, on queues of both kinds.
pub(crate) async fn dead_letters_pass_an_internal_exchange_that_no_client_may_publish_to(
    world: &World,
) {
    let internal = ExchangeDeclaration {
        name: world.name("internal"),
        kind: ExchangeKind::Direct,
        durable: true,
        auto_delete: false,
        internal: true,
        arguments: Table::default(),
    };
    world.declare(Declaration::Exchange(internal.clone())).await;
    let work = world.queue("work", &[]).await;
    world.bind(&internal.name, &work, &work).await;
    let back: [(&str, FieldValue); 3] = [
        ("x-message-ttl", 1.into()),
        ("x-dead-letter-exchange", internal.name.as_str().into()),
        ("x-dead-letter-routing-key", work.as_str().into()),
    ];
    let safe = [("x-dead-letter-strategy", "at-least-once".into())];
    let safe = [&back[..], &safe, &[("x-overflow", "reject-publish".into())]].concat();
    let mut consumer = world.consume(&work, 1).await;
    for (word, kind, arguments) in
        [("classic", QueueKind::Classic, &back[..]), ("quorum", QueueKind::Quorum, &safe)]
    {
        let delay = world.queue_declaration(word, kind, arguments);
        let delay = world.declare(Declaration::Queue(delay)).await.name;
        world.publish_confirmed(&[message("", &delay, word)]).await;
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery.message), word);
        assert_eq!(delivery.message.exchange, internal.name, "the broker says where it came from");
        delivery.receipt.settle(Settlement::Ack);
    }
    let outcomes = world.publish(&[message(&internal.name, &work, "forged")]).await;
    assert!(matches!(outcomes[..], [Published::NoTarget(_)]), "{outcomes:?}");
}
