//! What an earlier ladder leaves behind, on a real RabbitMQ.

use std::time::Duration;

use sluicegate::broker::{Broker as _, Declaration, Outgoing, Published, QueueDeclaration};
use sluicegate::config::{BrokerKind, Config, DeadLetter, QueueKind};
use sluicegate::message::{Properties, Table};
use sluicegate::topology::{self, Orphan, Orphans, Source};

use super::{Place, applied, broker_of};

const HOUR: Duration = Duration::from_secs(3600);
const ODD: Duration = Duration::from_secs(3601);

/// The same config with a classic queue in place of its quorum queue.
fn make_classic(config: &mut Config) {
    let queue = config.queues.iter_mut().find(|q| q.name == "readings").unwrap();
    queue.kind = QueueKind::Classic;
    queue.delivery_limit = None;
    queue.dead_letter = DeadLetter::Discard;
}

async fn orphans(config: &Config) -> Orphans {
    let broker = broker_of(config);
    let found = topology::orphans(config, "main", &*broker).await.unwrap();
    broker.close().await;
    found
}

fn orphan(kind: QueueKind, rung: Duration, messages: u64) -> Orphan {
    Orphan {
        name: topology::delay_queue("readings", kind, rung),
        rung: Some(rung),
        kind: Some(kind),
        work: Some("readings".to_owned()),
        messages: Some(messages),
    }
}

/// A delay queue as a classic one, which hosts don't declare.
fn classic(rung: Duration) -> Declaration {
    Declaration::Queue(QueueDeclaration {
        name: topology::delay_queue("readings", QueueKind::Classic, rung),
        kind: QueueKind::Classic,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: Table::default(),
    })
}

#[tokio::test]
async fn delay_queues_of_an_earlier_ladder_are_found_counted_and_deleted_when_empty() {
    let place = Place::new();
    let mut config = place.guest("create");
    for pipeline in &mut config.pipelines {
        pipeline.retry.rungs = vec![HOUR, ODD];
    }
    applied(&config).await.unwrap();
    assert_eq!(orphans(&config).await.found, [], "all of them are used");

    // Classic ones can be deleted on the condition that they are empty.
    let broker = broker_of(&config);
    for rung in [HOUR, ODD] {
        broker.declare(&classic(rung)).await.unwrap();
    }
    let full = orphan(QueueKind::Classic, ODD, 1);
    let mut publisher = broker.publisher().await.unwrap();
    let waiting = Outgoing {
        exchange: String::new(),
        routing_key: full.name.clone(),
        properties: Properties::default(),
        body: "waits".into(),
    };
    assert_eq!(publisher.publish(&[waiting]).await, [Published::Confirmed]);

    // Another ladder on the same queue: AMQP alone can only ask for the names that are likely.
    let mut other = config.clone();
    for pipeline in &mut other.pipelines {
        pipeline.retry.rungs = vec![Duration::from_secs(2)];
    }
    applied(&other).await.unwrap();
    let guessed = orphans(&other).await;
    let empty = orphan(QueueKind::Classic, HOUR, 0);
    assert!(guessed.found.contains(&empty), "{guessed:?}");
    assert!(!guessed.found.contains(&full), "nobody could guess it");
    assert!(matches!(guessed.source, Source::Guessed { names: 56, why: None }), "{guessed:?}");

    // An export has them all.
    let export = place.path("export.json");
    place.node.ctl(&["export_definitions", &export]);
    let BrokerKind::Amqp(amqp) = &mut other.brokers.get_mut("main").unwrap().kind else {
        panic!("a RabbitMQ")
    };
    amqp.definitions = Some(export.into());
    let exported = orphans(&other).await;
    assert_eq!(exported.source, Source::Export);
    let of_readings = |orphan: &&Orphan| {
        orphan.work.as_deref() == Some("readings") && orphan.kind == Some(QueueKind::Classic)
    };
    let found: Vec<&Orphan> = exported.found.iter().filter(of_readings).collect();
    assert_eq!(found, [&empty, &full]);

    assert!(broker.delete_if_empty(&empty.name).await.unwrap());
    assert!(!broker.delete_if_empty(&full.name).await.unwrap(), "the broker itself looks");
    let left: Vec<Orphan> = orphans(&other).await.found.into_iter().collect();
    assert!(left.contains(&full) && !left.contains(&empty), "{left:?}");
    broker.close().await;
}

#[tokio::test]
async fn another_kind_of_work_queue_keeps_its_delay_queues() {
    let place = Place::new();
    let config = place.guest("create");
    applied(&config).await.unwrap();
    place.node.ctl(&["delete_queue", "-p", &place.vhost, "readings"]);
    let mut other = config.clone();
    make_classic(&mut other);
    applied(&other).await.unwrap();
    assert_eq!(orphans(&other).await.found, []);
}
