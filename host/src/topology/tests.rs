#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
//! The plan, and the small configs that this room's tests share.

mod apply;
mod delays;
mod findings;
mod handover;

use super::*;
use crate::config::{
    BatchLimits, Broker, BrokerKind, DeadLetterTarget, Declare, Failures, IdSource, IdWindow,
    Overflow, PastLimit, QueueKind, Service, Stage, State,
};
use crate::config::{Retry, RetryOrder};
use crate::message::FieldValue;
use crate::state::Durability;
use crate::verdict::FailureClass;

/// A config with one broker, `main`, embedded, and nothing on it.
fn empty() -> Config {
    let broker = Broker { kind: BrokerKind::Embedded, declare: Declare::Create };
    Config {
        brokers: BTreeMap::from([("main".to_owned(), broker)]),
        exchanges: Vec::new(),
        queues: Vec::new(),
        plugins: BTreeMap::new(),
        tables: BTreeMap::new(),
        pipelines: Vec::new(),
        failures: Failures {
            exchange: limits::FAILURES_EXCHANGE.to_owned(),
            max_length: 1000,
            ttl: Duration::from_secs(60),
        },
        notify: Vec::new(),
        state: State {
            durability: Durability::Process,
            cache_bytes: limits::STATE_CACHE_BYTES,
            keys: limits::STATE_KEYS,
            timers: limits::TIMER_KEYS,
        },
        service: Service {
            http: None,
            socket: None,
            shards: 1,
            watch: false,
            drain: limits::DRAIN,
            state_dir: "state".into(),
            archive_dir: "archive".into(),
            archive_bytes: 1,
            cache_dir: None,
        },
    }
}

fn exchange(name: &str, kind: ExchangeKind) -> Exchange {
    Exchange {
        name: name.to_owned(),
        broker: "main".to_owned(),
        kind,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
        bind: Vec::new(),
        arguments: Table::default(),
    }
}

fn queue(name: &str, kind: QueueKind) -> Queue {
    Queue {
        name: name.to_owned(),
        server_named: false,
        broker: "main".to_owned(),
        kind,
        durable: true,
        exclusive: false,
        auto_delete: false,
        max_priority: None,
        message_ttl: None,
        expires: None,
        max_length: None,
        max_bytes: None,
        overflow: None,
        dead_letter: DeadLetter::Unset,
        delivery_limit: None,
        single_active_consumer: false,
        bind: Vec::new(),
        arguments: Table::default(),
        session: None,
    }
}

fn bind(exchange: &str, key: &str) -> Binding {
    Binding {
        exchange: exchange.to_owned(),
        key: key.to_owned(),
        arguments: Table::default(),
        filter: None,
    }
}

fn dead_letter(exchange: &str) -> DeadLetterTarget {
    DeadLetterTarget {
        broker: "main".to_owned(),
        exchange: exchange.to_owned(),
        routing_key: None,
        at_least_once: false,
        nack: true,
        max_replays: 0,
        past_limit: PastLimit::Drop,
    }
}

/// Retries twice, on rungs of one and thirty seconds.
fn pipeline(queue: &str) -> Pipeline {
    Pipeline {
        state_ttl: None,
        name: queue.to_owned(),
        queue: queue.to_owned(),
        broker: "main".to_owned(),
        key: None,
        key_required: false,
        content_type: None,
        kind: None,
        id: IdSource::None,
        id_window: IdWindow { age: limits::IDENTITY_WINDOW, entries: limits::IDENTITY_ENTRIES },
        stages: vec![Stage { plugin: "p".to_owned(), when: None, tables: Vec::new() }],
        outputs: BTreeMap::new(),
        prefetch: limits::PREFETCH,
        rate: None,
        shards: None,
        batch: BatchLimits {
            messages: limits::BATCH_MESSAGES,
            least: 1,
            bytes: limits::BATCH_BYTES,
        },
        exclusive: false,
        record: crate::config::Record::default(),
        retry: Retry {
            attempts: BTreeMap::from([(FailureClass::Retry, 3), (FailureClass::Trap, 1)]),
            rungs: vec![Duration::from_secs(1), Duration::from_secs(30)],
            class_rungs: BTreeMap::new(),
            order: RetryOrder::Free,
            park: 0,
        },
    }
}

/// Readings by topic into a quorum queue with a pipeline, its dead letters caught.
fn readings() -> Config {
    let mut config = empty();
    let mut meters = exchange("meters", ExchangeKind::Topic);
    meters.alternate = Some("meters.lost".to_owned());
    config.exchanges = vec![
        meters,
        exchange("meters.lost", ExchangeKind::Fanout),
        exchange("meters.dead", ExchangeKind::Topic),
    ];
    let mut work = queue("readings", QueueKind::Quorum);
    work.bind = vec![bind("meters", "meter.*.reading")];
    work.dead_letter =
        DeadLetter::To(DeadLetterTarget { at_least_once: true, ..dead_letter("meters.dead") });
    let mut dead = queue("readings.dead", QueueKind::Classic);
    dead.bind = vec![bind("meters.dead", "#")];
    let mut lost = queue("lost", QueueKind::Classic);
    lost.bind = vec![bind("meters.lost", "")];
    config.queues = vec![work, dead, lost];
    config.pipelines = vec![pipeline("readings")];
    config
}

fn main_plan(config: &Config) -> Plan {
    plan(config).remove("main").unwrap()
}

fn declared<'a>(plan: &'a Plan, name: &str) -> &'a QueueDeclaration {
    let queues = plan.shared.iter().filter_map(|d| match d {
        Declaration::Queue(queue) => Some(queue),
        _ => None,
    });
    queues.into_iter().find(|q| q.name == name).unwrap_or_else(|| panic!("no queue {name}"))
}

fn arguments(queue: &QueueDeclaration) -> BTreeMap<&str, FieldValue> {
    queue.arguments.iter().map(|(name, value)| (name, value.clone())).collect()
}

#[test]
fn exchanges_come_before_queues_and_queues_before_bindings() {
    let plan = main_plan(&readings());
    let ranks = plan.shared.iter().map(|d| match d {
        Declaration::Exchange(_) => 0,
        Declaration::Queue(_) => 1,
        Declaration::Binding(_) => 2,
    });
    assert!(ranks.is_sorted());
}

#[test]
fn bindings_that_catch_come_before_bindings_that_let_in() {
    let plan = main_plan(&readings());
    let sources: Vec<_> = plan
        .shared
        .iter()
        .filter_map(|d| match d {
            Declaration::Binding(binding) => Some(binding.source.as_str()),
            _ => None,
        })
        .collect();
    let catchers = ["meters.dead", "meters.lost", "sluicegate.return", "sluicegate.failures"];
    assert_eq!(sources, [&catchers[..], &["meters", "sluicegate.replay"]].concat());
}

#[test]
fn every_option_of_a_queue_becomes_its_argument() {
    let mut config = empty();
    let mut q = queue("q", QueueKind::Classic);
    q.max_priority = Some(4);
    q.message_ttl = Some(Duration::from_secs(2));
    q.expires = Some(Duration::from_secs(3));
    q.max_length = Some(10);
    q.max_bytes = Some(20);
    q.overflow = Some(Overflow::RejectPublishDlx);
    q.dead_letter = DeadLetter::To(DeadLetterTarget {
        routing_key: Some("k".to_owned()),
        ..dead_letter("dlx")
    });
    q.single_active_consumer = true;
    q.arguments.set("x-queue-version", 2_i64);
    config.queues = vec![q];
    let plan = main_plan(&config);
    let expected: BTreeMap<&str, FieldValue> = BTreeMap::from([
        ("x-queue-type", "classic".into()),
        ("x-max-priority", 4_i64.into()),
        ("x-message-ttl", 2000_i64.into()),
        ("x-expires", 3000_i64.into()),
        ("x-max-length", 10_i64.into()),
        ("x-max-length-bytes", 20_i64.into()),
        ("x-overflow", "reject-publish-dlx".into()),
        ("x-dead-letter-exchange", "dlx".into()),
        ("x-dead-letter-routing-key", "k".into()),
        ("x-single-active-consumer", true.into()),
        ("x-queue-version", 2_i64.into()),
    ]);
    assert_eq!(arguments(declared(&plan, "q")), expected);
}

#[test]
fn a_quorum_queue_gets_a_delivery_limit_and_what_at_least_once_needs() {
    let plan = main_plan(&readings());
    let expected: BTreeMap<&str, FieldValue> = BTreeMap::from([
        ("x-queue-type", "quorum".into()),
        ("x-delivery-limit", i64::from(limits::DELIVERY_LIMIT).into()),
        ("x-overflow", "reject-publish".into()),
        ("x-dead-letter-exchange", "meters.dead".into()),
        ("x-dead-letter-strategy", "at-least-once".into()),
    ]);
    assert_eq!(arguments(declared(&plan, "readings")), expected);
}

#[test]
fn a_server_named_queue_is_its_consumers_with_its_bindings() {
    let mut config = readings();
    let mut probe = queue("probe", QueueKind::Classic);
    probe.server_named = true;
    probe.exclusive = true;
    probe.durable = false;
    probe.bind = vec![bind("meters", "#")];
    config.queues.push(probe);
    config.pipelines.push(pipeline("probe"));
    let plan = main_plan(&config);
    let own = &plan.connection["probe"];
    assert!(matches!(&own[0], Declaration::Queue(q) if q.name.is_empty() && q.exclusive));
    let Declaration::Binding(binding) = &own[1] else { panic!("{own:?}") };
    assert_eq!(binding.destination, Destination::Queue(String::new()));
    assert!(!format!("{:?}", plan.shared).contains("probe"));
}

#[test]
fn failure_reports_have_a_bounded_queue_where_something_is_consumed() {
    let mut config = readings();
    config.brokers.insert("far".to_owned(), config.brokers["main"].clone());
    let plans = plan(&config);
    let expected: BTreeMap<&str, FieldValue> = BTreeMap::from([
        ("x-queue-type", "classic".into()),
        ("x-message-ttl", 60_000_i64.into()),
        ("x-max-length", 1000_i64.into()),
        ("x-overflow", "drop-head".into()),
    ]);
    assert_eq!(arguments(declared(&plans["main"], "sluicegate.failures")), expected);
    assert_eq!(plans["far"], Plan::default());
}

#[test]
fn a_failure_exchange_that_the_config_declares_is_left_as_it_is() {
    let mut config = readings();
    config.exchanges.push(exchange("sluicegate.failures", ExchangeKind::Fanout));
    let plan = main_plan(&config);
    let kinds: Vec<_> = plan
        .shared
        .iter()
        .filter_map(|d| match d {
            Declaration::Exchange(e) if e.name == "sluicegate.failures" => Some(e.kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [ExchangeKind::Fanout]);
}
