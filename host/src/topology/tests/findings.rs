//! What is said about a topology before a broker is asked.

use super::*;
use crate::broker::Version;
use crate::config::{Amqp, Credentials, Tls};

fn on(config: &Config, version: Option<(u16, u16)>) -> Vec<Finding> {
    let mut config = config.clone();
    let amqp = Amqp {
        urls: vec!["amqp://127.0.0.1".to_owned()],
        credentials: Credentials::Default,
        tls: Tls::default(),
        heartbeat: limits::HEARTBEAT,
        version: None,
        management: None,
        definitions: None,
    };
    if let Some(broker) = config.brokers.get_mut("main") {
        broker.kind = BrokerKind::Amqp(amqp);
    }
    let version = version.map(|(major, minor)| Version { major, minor, patch: 0 });
    findings(&config, &BTreeMap::from([("main".to_owned(), version)]))
}

fn serious(config: &Config, version: Option<(u16, u16)>) -> Vec<(Severity, String, String)> {
    let found = on(config, version).into_iter().filter(|f| f.severity < Severity::Note);
    found.map(|f| (f.severity, f.place, f.text)).collect()
}

fn dead_lettered(name: &str, exchange: &str, key: Option<&str>) -> Queue {
    let mut queue = queue(name, QueueKind::Classic);
    let routing_key = key.map(str::to_owned);
    queue.dead_letter = DeadLetter::To(DeadLetterTarget { routing_key, ..dead_letter(exchange) });
    queue
}

#[test]
fn a_sound_topology_has_nothing_serious() {
    assert_eq!(serious(&readings(), Some((3, 10))), []);
    assert_eq!(serious(&readings(), None), []);
}

#[test]
fn a_queue_that_is_its_own_dead_letter_queue_is_a_cycle_that_never_ends() {
    let mut config = empty();
    config.exchanges = vec![exchange("dlx", ExchangeKind::Fanout)];
    let mut q = dead_lettered("q", "dlx", None);
    q.bind = vec![bind("dlx", "")];
    config.queues = vec![q];
    config.pipelines = vec![pipeline("q")];
    let found = serious(&config, None);
    let (severity, place, text) = &found[0];
    assert_eq!((found.len(), *severity, place.as_str()), (1, Severity::Error, "queue 'q'"));
    assert!(
        text.starts_with("dead-letter cycle: queue 'q' → exchange 'dlx' → queue 'q'; a rejected"),
        "{text}"
    );
}

#[test]
fn a_cycle_over_two_queues_and_exchanges_is_told_once_with_its_way() {
    let mut config = empty();
    config.exchanges = vec![
        exchange("x", ExchangeKind::Direct),
        exchange("y", ExchangeKind::Topic),
        exchange("z", ExchangeKind::Fanout),
    ];
    // y feeds z, z feeds a.
    config.exchanges[2].bind = vec![bind("y", "back.#")];
    let mut a = dead_lettered("a", "x", Some("k"));
    a.bind = vec![bind("z", "")];
    let mut b = dead_lettered("b", "y", Some("back.home"));
    b.bind = vec![bind("x", "k")];
    config.queues = vec![a, b];
    let found = serious(&config, None);
    assert_eq!(found.len(), 1, "{found:?}");
    let way = "queue 'a' → exchange 'x' → queue 'b' → exchange 'y' → queue 'a'";
    assert!(found[0].2.contains(way), "{}", found[0].2);
    assert_eq!(found[0].0, Severity::Error);
}

#[test]
fn a_waiting_queue_on_the_way_makes_it_a_warning() {
    let mut config = empty();
    let work = dead_lettered("work", "", Some("wait"));
    let mut wait = dead_lettered("wait", "", Some("work"));
    wait.message_ttl = Some(Duration::from_secs(10));
    config.queues = vec![work, wait];
    config.pipelines = vec![pipeline("work")];
    let found = serious(&config, None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, Severity::Warning);
}

#[test]
fn keys_that_can_never_come_back_are_no_cycle_and_keys_that_may_are_a_possible_one() {
    let mut config = empty();
    config.exchanges =
        vec![exchange("in", ExchangeKind::Topic), exchange("dlx", ExchangeKind::Topic)];
    let mut q = dead_lettered("q", "dlx", None);
    q.bind = vec![bind("in", "meter.*"), bind("dlx", "valve.#")];
    let mut dead = queue("dead", QueueKind::Classic);
    dead.bind = vec![bind("dlx", "#")];
    config.queues = vec![q, dead];
    let found = serious(&config, None);
    assert_eq!(found.len(), 1, "messages that came by valve.# return by it: {found:?}");

    config.queues[0].bind = vec![bind("in", "meter.*")];
    assert_eq!(serious(&config, None), []);

    config.queues[0].bind = vec![bind("in", "meter.*"), bind("dlx", "*.7")];
    let found = serious(&config, None);
    assert_eq!(found[0].0, Severity::Error, "what came by *.7 always returns: {found:?}");
}

#[test]
fn an_alternate_exchange_can_close_a_cycle() {
    let mut config = empty();
    let mut dlx = exchange("dlx", ExchangeKind::Direct);
    dlx.alternate = Some("all".to_owned());
    config.exchanges = vec![dlx, exchange("all", ExchangeKind::Fanout)];
    let mut q = dead_lettered("q", "dlx", Some("nobody"));
    q.bind = vec![bind("all", "")];
    config.queues = vec![q];
    assert_eq!(serious(&config, None).len(), 1);
}

#[test]
fn priorities_of_quorum_queues_go_by_version() {
    let mut config = readings();
    config.queues[0].max_priority = Some(4);
    let said = |version| {
        let about = on(&config, Some(version));
        let found = about.into_iter().find(|f| f.text.contains("priorities")).unwrap();
        found.severity
    };
    assert_eq!(said((3, 13)), Severity::Error);
    assert_eq!(said((4, 2)), Severity::Warning);
    assert_eq!(said((4, 3)), Severity::Note);
}

#[test]
fn what_a_broker_is_too_old_for_is_an_error_that_names_both_versions() {
    let mut config = readings();
    config.queues.push(queue("log", QueueKind::Stream));
    let texts: Vec<_> = serious(&config, Some((3, 8))).into_iter().map(|f| f.2).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts.iter().all(|text| text.contains("this broker is 3.8.0")));
}

#[test]
fn retrying_from_a_queue_that_goes_with_its_consumer_is_a_warning() {
    let mut config = readings();
    let mut probe = queue("probe", QueueKind::Classic);
    probe.exclusive = true;
    config.queues.push(probe);
    let unused = serious(&config, None);
    assert!(unused[0].2.contains("never declared"), "{unused:?}");
    config.pipelines.push(pipeline("probe"));
    let found = serious(&config, None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1, "pipeline 'probe'");
}

#[test]
fn a_durable_queue_on_a_transient_exchange_loses_its_binding() {
    let mut config = readings();
    config.exchanges[0].durable = false;
    let found = serious(&config, None);
    assert!(found[0].2.contains("goes with a restart"), "{found:?}");
}

#[test]
fn the_delivery_limit_is_a_note_where_the_host_declares_nothing() {
    let mut config = readings();
    config.brokers.get_mut("main").unwrap().declare = Declare::None;
    let limits =
        |version| on(&config, version).iter().filter(|f| f.text.contains("delivery limit")).count();
    assert_eq!((limits(None), limits(Some((4, 0))), limits(Some((3, 13)))), (1, 1, 0));
}

#[test]
fn versions_are_taken_as_stated() {
    let mut config = readings();
    assert_eq!(stated_versions(&config)["main"], None);
    let mut amqp = Amqp {
        urls: Vec::new(),
        credentials: Credentials::Default,
        tls: Tls::default(),
        heartbeat: limits::HEARTBEAT,
        version: Some("3.13".to_owned()),
        management: None,
        definitions: None,
    };
    for (text, patch) in [("3.13", 0), ("3.13.7", 7)] {
        amqp.version = Some(text.to_owned());
        let kind = BrokerKind::Amqp(amqp.clone());
        config.brokers.insert("main".to_owned(), Broker { kind, declare: Declare::Create });
        let version = Version { major: 3, minor: 13, patch };
        assert_eq!(stated_versions(&config)["main"], Some(version));
    }
}
