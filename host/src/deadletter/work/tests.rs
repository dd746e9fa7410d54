//! Passes over letters on the embedded broker, each letter a real one: published, consumed, nacked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use super::*;
use crate::broker::embedded::Embedded;
use crate::broker::{
    BindingDeclaration, ConsumeRequest, Declaration, Destination, ExchangeDeclaration,
    QueueDeclaration, Settlement,
};
use crate::config::{ExchangeKind, QueueKind};
use crate::deadletter::export::Purge;
use crate::deadletter::ledger::Ledger;
use crate::deadletter::replay::{MaxReplays, Replay, Target};
use crate::limits::{DLQ_WINDOW_MIN, REPLAY_EXCHANGE};
use crate::message::{FieldValue, Table};
use crate::report;

struct World {
    embedded: Arc<Embedded>,
    broker: Arc<dyn Broker>,
}

fn queue(name: &str, kind: QueueKind, arguments: &[(&str, FieldValue)]) -> Declaration {
    Declaration::Queue(QueueDeclaration {
        name: name.to_owned(),
        kind,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: arguments.iter().map(|(n, v)| (*n, v.clone())).collect(),
    })
}

fn exchange(name: &str, kind: ExchangeKind) -> Declaration {
    Declaration::Exchange(ExchangeDeclaration {
        name: name.to_owned(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    })
}

fn binding(source: &str, queue: &str, key: &str) -> Declaration {
    Declaration::Binding(BindingDeclaration {
        source: source.to_owned(),
        destination: Destination::Queue(queue.to_owned()),
        key: key.to_owned(),
        arguments: Table::default(),
    })
}

impl World {
    async fn new() -> Self {
        Self::with(QueueKind::Classic, &[]).await
    }

    /// A work queue behind a topic exchange, its dead-letter queue, the failures queue, the way back.
    async fn with(dead: QueueKind, arguments: &[(&str, FieldValue)]) -> Self {
        let embedded = Embedded::new();
        let broker: Arc<dyn Broker> = Arc::clone(&embedded) as _;
        let dlx = [
            ("x-dead-letter-exchange", FieldValue::from("")),
            ("x-dead-letter-routing-key", "dead".into()),
        ];
        for object in [
            exchange("meters", ExchangeKind::Topic),
            exchange("failures", ExchangeKind::Topic),
            exchange(REPLAY_EXCHANGE, ExchangeKind::Direct),
            queue("work", QueueKind::Classic, &dlx),
            queue("dead", dead, arguments),
            queue("failures", QueueKind::Classic, &[]),
            binding("meters", "work", "meter.#"),
            binding("failures", "failures", "#"),
            binding(REPLAY_EXCHANGE, "work", "work"),
        ] {
            broker.declare(&object).await.unwrap();
        }
        Self { embedded, broker }
    }

    async fn publish(&self, group: &[Outgoing]) {
        let outcomes = self.broker.publisher().await.unwrap().publish(group).await;
        assert!(outcomes.iter().all(|end| *end == Published::Confirmed), "{outcomes:?}");
    }

    async fn nack_all(&self, count: usize) {
        let request = ConsumeRequest {
            queue: "work".to_owned(),
            declare: Vec::new(),
            prefetch: 100,
            exclusive: false,
            tag: "test".to_owned(),
        };
        let mut consumer = self.broker.consume(request).await.unwrap();
        for _ in 0..count {
            consumer.next().await.unwrap().receipt.settle(Settlement::DeadLetter);
        }
        consumer.close().await.unwrap();
    }

    /// So many letters, `m-0` to `m-N`, every third one with code `odd`, each with its report.
    async fn letters(&self, count: usize) {
        let mut group = Vec::new();
        for n in 0..count {
            let mut message = message(n);
            message.properties.headers.set("region", "north");
            group.push(message);
        }
        self.publish(&group).await;
        self.nack_all(count).await;
        let reports: Vec<Outgoing> = (0..count).map(|n| told(n, "")).collect();
        self.publish(&reports).await;
    }

    async fn ledger(&self) -> Ledger {
        Ledger::read(&self.broker, "failures").await.unwrap()
    }

    fn pass(&self, filter: Filter) -> Pass {
        let deliveries = None;
        let place = Place {
            queue: "dead".to_owned(),
            kind: Some(QueueKind::Classic),
            deliveries,
            origins: vec!["work".to_owned()],
        };
        Pass {
            broker: Arc::clone(&self.broker),
            failures: "failures".to_owned(),
            places: vec![place],
            filter,
            limit: None,
            rate_per_s: None,
            by: "somebody@here".to_owned(),
            run: "run-1".to_owned(),
            stop: CancellationToken::new(),
            progress: Arc::new(Progress::default()),
        }
    }

    fn depth(&self, queue: &str) -> usize {
        self.embedded.queue_depth(queue).0
    }

    /// Bodies of a queue in order, which takes them out.
    fn bodies(&self, queue: &str) -> Vec<String> {
        std::iter::from_fn(|| self.embedded.get(queue))
            .map(|message| String::from_utf8(message.body.to_vec()).unwrap())
            .collect()
    }
}

fn message(n: usize) -> Outgoing {
    Outgoing {
        exchange: "meters".to_owned(),
        routing_key: format!("meter.{n}.reading"),
        properties: Properties {
            message_id: Some(format!("m-{n}")),
            user_id: None,
            ..Properties::default()
        },
        body: format!("{{\"n\":{n}}}").into(),
    }
}

fn told(n: usize, again: &str) -> Outgoing {
    let message = message(n);
    let id = message.properties.message_id.clone();
    let report = Report {
        id: format!("f-{n}{again}"),
        letter: report::letter(
            "work",
            "meters",
            &message.routing_key,
            id.as_deref(),
            &message.body,
        ),
        message_id: id,
        queue: "work".to_owned(),
        routing_key: message.routing_key,
        code: if n.is_multiple_of(3) { "odd" } else { "even" }.to_owned(),
        class: "reject".to_owned(),
        end: "dead_lettered".to_owned(),
        ..Report::default()
    };
    Outgoing {
        exchange: "failures".to_owned(),
        routing_key: "p.reject".to_owned(),
        properties: Properties::default(),
        body: serde_json::to_vec(&report).unwrap().into(),
    }
}

fn odd() -> Filter {
    Filter { codes: vec!["odd".to_owned()], ..Filter::default() }
}

fn to_origin() -> Replay {
    Replay::to(Target::Origin, MaxReplays::default())
}

#[tokio::test(start_paused = true)]
async fn what_is_meant_goes_back_to_its_queue_and_the_rest_stays_in_order() {
    let world = World::new().await;
    // More than a window holds.
    let count = usize::from(DLQ_WINDOW_MIN) * 3;
    world.letters(count).await;
    let summary = world.pass(odd()).run(&world.ledger().await, &mut to_origin()).await.unwrap();
    assert_eq!((summary.seen, summary.matched, summary.done), (600, 200, 200), "{summary:?}");
    assert_eq!((summary.unreported, summary.untold), (0, 0));
    assert_eq!((world.depth("dead"), world.depth("work")), (400, 200));
    let first = world.embedded.get("work").unwrap();
    assert_eq!((first.exchange.as_str(), first.routing_key.as_str()), (REPLAY_EXCHANGE, "work"));
    let headers = &first.properties.headers;
    assert_eq!(headers.text("region"), Some("north"));
    assert_eq!(headers.text(headers::EXCHANGE), Some("meters"));
    assert_eq!(headers.text(headers::ROUTING_KEY), Some("meter.0.reading"));
    assert_eq!(headers.text(headers::REPLAY_OF), Some("f-0"));
    assert_eq!(headers.get(headers::REPLAY_COUNT).and_then(FieldValue::as_i64), Some(1));
    assert_eq!(headers.get("x-death"), None);
    assert_eq!(first.properties.message_id.as_deref(), Some("m-0"));
    let left = world.bodies("dead");
    let expected: Vec<String> =
        (0..count).filter(|n| n % 3 != 0).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(left, expected);
    assert_eq!(world.embedded.receipts_dropped(), 0);
    // What was replayed isn't open any more.
    let ledger = world.ledger().await;
    let open: Vec<_> = ledger.entries().filter(|entry| entry.resolution.is_none()).collect();
    assert!(open.iter().all(|entry| entry.report.code == "even"));
    assert_eq!(open.len(), 400);
    let fate = ledger.entries().find_map(|entry| entry.resolution.clone()).unwrap();
    assert_eq!(
        (fate.what.as_str(), fate.by.as_str(), fate.run.as_str()),
        ("replayed", "somebody@here", "run-1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_replayed_letter_that_fails_again_counts_on_and_stops_at_the_limit() {
    let world = World::new().await;
    world.letters(1).await;
    let most = MaxReplays { said: Some(2), ..MaxReplays::default() };
    for round in 1..=2_i64 {
        let mut replay = Replay::to(Target::Origin, most.clone());
        let pass = world.pass(Filter::default());
        let summary = pass.run(&world.ledger().await, &mut replay).await.unwrap();
        assert_eq!(summary.done, 1, "round {round}: {summary:?}");
        world.nack_all(1).await;
        world.publish(&[told(0, &format!("-{round}"))]).await;
    }
    let mut replay = Replay::to(Target::Origin, most);
    let pass = world.pass(Filter::default());
    let summary = pass.run(&world.ledger().await, &mut replay).await.unwrap();
    assert_eq!(summary.done, 0);
    let why = summary.left.keys().next().unwrap();
    assert!(why.contains("replayed 2 times already"), "{why}");
    assert_eq!(world.depth("dead"), 1);
    let letter = Letter::read(world.embedded.get("dead").unwrap());
    assert_eq!(letter.replay_count, 2);
    assert_eq!(letter.message.exchange, "meters");
    assert_eq!(letter.message.routing_key, "meter.0.reading");
}

#[tokio::test(start_paused = true)]
async fn a_letter_whose_copy_nobody_takes_stays_with_the_reason() {
    let world = World::new().await;
    world.letters(3).await;
    let target = Target::Queue("nowhere".to_owned());
    let mut replay = Replay::to(target, MaxReplays::default());
    let pass = world.pass(Filter::default());
    let summary = pass.run(&world.ledger().await, &mut replay).await.unwrap();
    assert_eq!((summary.matched, summary.done, world.depth("dead")), (3, 0, 3));
    assert_eq!(summary.left.values().sum::<u64>(), 3);
    // An outage of the broker's publishing leaves everything too, and what was tried is tried again.
    world.embedded.refuse_publishes(true);
    let pass = world.pass(Filter::default());
    let summary = pass.run(&world.ledger().await, &mut to_origin()).await.unwrap();
    assert_eq!((summary.done, world.depth("dead")), (0, 3));
    world.embedded.refuse_publishes(false);
    let pass = world.pass(Filter::default());
    let summary = pass.run(&world.ledger().await, &mut to_origin()).await.unwrap();
    assert_eq!((summary.done, world.depth("dead"), world.depth("work")), (3, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_lost_confirm_doubles_a_letter_with_the_same_identity_and_loses_none() {
    let world = World::new().await;
    world.letters(5).await;
    world.embedded.lose_confirms(true);
    let pass = world.pass(Filter::default());
    let summary = pass.run(&world.ledger().await, &mut to_origin()).await.unwrap();
    assert_eq!((summary.done, world.depth("dead")), (0, 5));
    world.embedded.lose_confirms(false);
    let pass = world.pass(Filter::default());
    pass.run(&world.ledger().await, &mut to_origin()).await.unwrap();
    assert_eq!(world.depth("dead"), 0);
    let mut identities = BTreeSet::new();
    let mut copies = 0;
    while let Some(mut copy) = world.embedded.get("work") {
        copies += 1;
        let history = headers::restore(&mut copy);
        identities.insert((copy.properties.message_id, copy.body, history.replay_count));
    }
    assert!(copies > 5);
    assert_eq!(identities.len(), 5, "{identities:?}");
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_came_back_after_it_was_sent_is_taken_out_and_not_sent_again() {
    let world = World::new().await;
    world.letters(3).await;
    let ledger = world.ledger().await;
    world.pass(Filter::default()).run(&ledger, &mut to_origin()).await.unwrap();
    assert_eq!((world.depth("dead"), world.depth("work")), (0, 3));
    while world.embedded.get("work").is_some() {}
    // As if the acknowledgements had been lost: the same messages die again, as they did.
    let group: Vec<Outgoing> = (0..3).map(message).collect();
    world.publish(&group).await;
    world.nack_all(3).await;
    let pass = world.pass(Filter::default());
    let summary = pass.run(&world.ledger().await, &mut to_origin()).await.unwrap();
    assert_eq!((summary.done, world.depth("dead"), world.depth("work")), (3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_and_a_stop_take_nothing_out() {
    let world = World::new().await;
    world.letters(300).await;
    let mut replay = Replay { dry: true, rows_max: 10, ..to_origin() };
    let pass = world.pass(odd());
    let summary = pass.run(&world.ledger().await, &mut replay).await.unwrap();
    assert_eq!((summary.done, replay.rows.len(), world.depth("dead")), (100, 10, 300));
    assert_eq!(replay.rows[0].target.as_deref(), Some("queue work"));
    assert_eq!(world.depth("work"), 0);

    let pass = world.pass(odd());
    pass.stop.cancel();
    let summary = pass.run(&world.ledger().await, &mut to_origin()).await.unwrap();
    assert!(summary.interrupted);
    assert_eq!((world.depth("dead"), world.depth("work")), (300, 0));
    assert_eq!(world.bodies("dead").len(), 300);
}

#[tokio::test(start_paused = true)]
async fn purging_with_a_limit_and_a_rate_takes_its_time_and_leaves_the_rest() {
    let world = World::new().await;
    world.letters(50).await;
    let mut pass = world.pass(Filter::default());
    pass.limit = Some(20);
    pass.rate_per_s = Some(10.0);
    let started = Instant::now();
    let summary = pass.run(&world.ledger().await, &mut Purge { dry: false }).await.unwrap();
    assert_eq!((summary.done, world.depth("dead")), (20, 30));
    let took = started.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quorum_queues_letter_is_renewed_before_its_deliveries_are_used_up() {
    let limit = [("x-delivery-limit", FieldValue::from(5))];
    let world = World::with(QueueKind::Quorum, &limit).await;
    world.letters(2).await;
    let ledger = world.ledger().await;
    let mut renewed = 0;
    for _ in 0..20 {
        let mut pass = world.pass(Filter { ids: vec!["nobody".to_owned()], ..Filter::default() });
        pass.places[0].deliveries = Some(5);
        renewed += pass.run(&ledger, &mut Purge { dry: false }).await.unwrap().renewed;
        assert_eq!(world.depth("dead"), 2, "none is lost for being looked at");
    }
    assert!(renewed >= 4, "{renewed}");
    let summary = world.pass(Filter::default()).run(&ledger, &mut to_origin()).await.unwrap();
    assert_eq!((summary.done, summary.unreported), (2, 0));
    let mut copy = world.embedded.get("work").unwrap();
    headers::restore(&mut copy);
    assert_eq!((copy.exchange.as_str(), copy.routing_key.as_str()), ("meters", "meter.0.reading"));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_somebody_reads_alone_is_waited_for_and_then_left() {
    let world = World::new().await;
    world.letters(1).await;
    let first = Browse::open(&world.broker, "dead").await.unwrap();
    let error = Browse::open(&world.broker, "dead").await.err().unwrap();
    assert!(matches!(error, Trouble::Busy { .. }), "{error}");
    first.close().await.unwrap();
    Browse::open(&world.broker, "dead").await.unwrap().close().await.unwrap();
}
