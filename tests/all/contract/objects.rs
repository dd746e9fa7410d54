//! Declaring, comparing, and looking without touching.

use sluicegate::broker::{
    BindingDeclaration, BrokerError, Declaration, Depth, Destination, ExchangeDeclaration,
    Settlement, Version,
};
use sluicegate::config::{ExchangeKind, QueueKind};
use sluicegate::message::Table;

use super::World;
use super::world::{body, eventually, message, next, request, table, within};

fn exchange(world: &World, kind: ExchangeKind) -> ExchangeDeclaration {
    ExchangeDeclaration {
        name: world.name("x"),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    }
}

pub(crate) async fn the_server_says_what_it_is(world: &World) {
    let server = within(world.broker.server()).await.expect("it answers");
    assert!(!server.product.is_empty());
    assert!(server.version > Version { major: 3, minor: 0, patch: 0 }, "{server:?}");
}

pub(crate) async fn declaring_again_finds_the_same(world: &World) {
    let arguments = [("x-max-length", 10.into()), ("x-message-ttl", 3_600_000.into())];
    let queue = world.queue("q", &arguments).await;
    let topic = exchange(world, ExchangeKind::Topic);
    for _ in 0..2 {
        let declared = world.declare(Declaration::Exchange(topic.clone())).await;
        assert_eq!(declared.name, topic.name);
        world.bind(&topic.name, &queue, "a.#").await;
    }
    world.publish_confirmed(&[message(&topic.name, "a.b", "once")]).await;
    let again = world.queue_declaration("q", QueueKind::Classic, &arguments);
    let declared = world.declare(Declaration::Queue(again)).await;
    assert_eq!((declared.name.as_str(), declared.messages), (queue.as_str(), 1));
}

pub(crate) async fn a_different_argument_is_named_with_both_values(world: &World) {
    let queue = world.queue("q", &[("x-max-length", 10.into())]).await;
    let other = world.queue_declaration("q", QueueKind::Classic, &[("x-max-length", 11.into())]);
    match within(world.broker.declare(&Declaration::Queue(other))).await {
        Err(BrokerError::Mismatch { object, argument, wanted, found }) => {
            assert!(object.contains("queue") && object.contains(&queue), "{object}");
            assert_eq!(
                (argument.as_str(), wanted.as_str(), found.as_str()),
                ("x-max-length", "11", "10")
            );
        }
        other => panic!("{other:?}"),
    }
    let without = world.queue_declaration("q", QueueKind::Classic, &[]);
    match within(world.broker.declare(&Declaration::Queue(without))).await {
        Err(BrokerError::Mismatch { argument, wanted, found, .. }) => {
            assert_eq!(
                (argument.as_str(), wanted.as_str(), found.as_str()),
                ("x-max-length", "none", "10")
            );
        }
        other => panic!("{other:?}"),
    }
    // Neither attempt broke anything.
    assert_eq!(world.ready("q", &[("x-max-length", 10.into())]).await, 0);
}

pub(crate) async fn a_different_property_is_named_with_both_values(world: &World) {
    world.queue("q", &[]).await;
    let mut transient = world.queue_declaration("q", QueueKind::Classic, &[]);
    transient.durable = false;
    match within(world.broker.declare(&Declaration::Queue(transient))).await {
        Err(BrokerError::Mismatch { argument, wanted, found, .. }) => {
            assert_eq!(
                (argument.as_str(), wanted.as_str(), found.as_str()),
                ("durable", "false", "true")
            );
        }
        other => panic!("{other:?}"),
    }
    let topic = exchange(world, ExchangeKind::Topic);
    world.declare(Declaration::Exchange(topic.clone())).await;
    let fanout = exchange(world, ExchangeKind::Fanout);
    match within(world.broker.declare(&Declaration::Exchange(fanout))).await {
        Err(BrokerError::Mismatch { object, argument, wanted, found }) => {
            assert!(object.contains("exchange") && object.contains(&topic.name), "{object}");
            assert_eq!(
                (argument.as_str(), wanted.as_str(), found.as_str()),
                ("type", "fanout", "topic")
            );
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn what_a_broker_cannot_make_is_refused(world: &World) {
    let mut queue = world.queue_declaration("q", QueueKind::Quorum, &[]);
    queue.durable = false;
    let error = within(world.broker.declare(&Declaration::Queue(queue.clone()))).await.err();
    assert!(matches!(error, Some(BrokerError::Unsupported(_))), "{error:?}");
    let negative =
        world.queue_declaration("n", QueueKind::Classic, &[("x-max-length", (-1).into())]);
    let error = within(world.broker.declare(&Declaration::Queue(negative))).await.err();
    assert!(matches!(error, Some(BrokerError::Unsupported(_))), "{error:?}");
    let exists = within(world.broker.exists(&Declaration::Queue(queue))).await;
    assert_eq!(exists, Ok(false));
}

pub(crate) async fn asking_whether_an_object_exists_creates_nothing(world: &World) {
    let queue = Declaration::Queue(world.queue_declaration("q", QueueKind::Classic, &[]));
    let topic = Declaration::Exchange(exchange(world, ExchangeKind::Topic));
    for object in [&queue, &topic] {
        assert_eq!(within(world.broker.exists(object)).await, Ok(false));
        assert_eq!(within(world.broker.exists(object)).await, Ok(false), "nothing was created");
        world.declare(object.clone()).await;
        assert_eq!(within(world.broker.exists(object)).await, Ok(true));
    }
}

pub(crate) async fn a_queues_depth_counts_what_is_ready_and_who_consumes(world: &World) {
    let queue = world.queue("q", &[]).await;
    let depth = async || within(world.broker.depth(&queue)).await.expect("it is there");
    assert_eq!(depth().await, Depth { messages: 0, consumers: 0 });
    let group: Vec<_> = ["a", "b", "c"].map(|body| message("", &queue, body)).into();
    world.publish_confirmed(&group).await;
    assert_eq!(depth().await, Depth { messages: 3, consumers: 0 });
    let mut consumer = world.consume(&queue, 2).await;
    let held = next(&mut consumer).await;
    assert_eq!(depth().await, Depth { messages: 1, consumers: 1 }, "two are out");
    held.receipt.settle(Settlement::Ack);
    within(consumer.close()).await.expect("it closes");
    let left = || async { (depth().await == Depth { messages: 2, consumers: 0 }).then_some(()) };
    eventually(left).await;
    let missing = within(world.broker.depth(&world.name("missing"))).await;
    assert!(matches!(missing, Err(BrokerError::NotFound(_))), "{missing:?}");
}

pub(crate) async fn a_binding_needs_both_ends(world: &World) {
    let queue = world.queue("q", &[]).await;
    let topic = world.exchange("x", ExchangeKind::Topic).await;
    let missing = world.name("missing");
    let ends = [
        (&missing, Destination::Queue(queue)),
        (&topic, Destination::Queue(missing.clone())),
        (&topic, Destination::Exchange(missing.clone())),
    ];
    for (source, destination) in ends {
        let binding = BindingDeclaration {
            source: source.clone(),
            destination,
            key: "#".to_owned(),
            arguments: Table::default(),
        };
        let error = within(world.broker.declare(&Declaration::Binding(binding))).await.err();
        assert!(
            matches!(&error, Some(BrokerError::NotFound(text)) if text.contains(&missing)),
            "{error:?}"
        );
    }
}

pub(crate) async fn a_server_named_queue_comes_with_its_consumer(world: &World) {
    let topic = world.exchange("x", ExchangeKind::Topic).await;
    let mut queue = world.queue_declaration("", QueueKind::Classic, &[]);
    queue.name = String::new();
    queue.durable = false;
    queue.exclusive = true;
    queue.arguments = table(&[("x-max-length", 10.into())]);
    let binding = BindingDeclaration {
        source: topic.clone(),
        destination: Destination::Queue(String::new()),
        key: "a.*".to_owned(),
        arguments: Table::default(),
    };
    let mut request = request("", 10);
    request.declare = vec![Declaration::Queue(queue), Declaration::Binding(binding)];
    let mut first = within(world.broker.consume(request.clone())).await.expect("it is declared");
    let mut second = within(world.broker.consume(request)).await.expect("it has its own name");
    world.publish_confirmed(&[message(&topic, "a.b", "a")]).await;
    for consumer in [&mut first, &mut second] {
        let delivery = next(consumer).await;
        assert_eq!(body(&delivery), "a");
        delivery.receipt.settle(Settlement::Ack);
    }
    within(first.close()).await.expect("it closes");
    within(second.close()).await.expect("it closes");
}
