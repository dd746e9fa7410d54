//! Delay queues, and the ways back from them.

use super::*;

#[test]
fn each_rung_has_a_delay_queue_that_leads_back_by_the_return_exchange() {
    let plan = main_plan(&readings());
    let expected: BTreeMap<&str, FieldValue> = BTreeMap::from([
        ("x-queue-type", "quorum".into()),
        ("x-message-ttl", 30_000_i64.into()),
        ("x-dead-letter-exchange", "sluicegate.return".into()),
        ("x-dead-letter-routing-key", "readings".into()),
        ("x-dead-letter-strategy", "at-least-once".into()),
        ("x-overflow", "reject-publish".into()),
    ]);
    assert_eq!(arguments(declared(&plan, "sluicegate.retry.readings.quorum.30000")), expected);
    declared(&plan, "sluicegate.retry.readings.quorum.1000");
}

/// Without it, a host with another config could not declare its delay queues beside the old ones.
#[test]
fn delay_queues_of_one_name_are_always_declared_alike() {
    let mut seen: BTreeMap<String, QueueDeclaration> = BTreeMap::new();
    for kind in [QueueKind::Classic, QueueKind::Quorum] {
        for (max_priority, delivery_limit) in [(None, None), (Some(4), Some(7))] {
            let mut work = queue("work", kind);
            work.max_priority = max_priority;
            work.delivery_limit = delivery_limit;
            work.dead_letter = DeadLetter::To(dead_letter("elsewhere"));
            for rung in limits::RETRY_RUNGS {
                let declaration = queue::delay(&work, rung);
                let first = seen.entry(declaration.name.clone()).or_insert(declaration.clone());
                assert_eq!(*first, declaration);
            }
        }
    }
    // Safe against a broker's sudden end, beside a classic queue too.
    assert!(seen.values().all(|delay| delay.kind == QueueKind::Quorum));
    assert_eq!(seen.len(), limits::RETRY_RUNGS.len());
}

#[test]
fn what_comes_back_and_what_is_replayed_reach_each_work_queue_by_exchanges_of_the_hosts() {
    let mut config = readings();
    let mut probe = queue("probe", QueueKind::Classic);
    probe.exclusive = true;
    config.queues.push(probe);
    config.pipelines.push(pipeline("probe"));
    config.pipelines.push(pipeline("readings"));
    let plan = main_plan(&config);
    for (name, internal) in [("sluicegate.return", true), ("sluicegate.replay", false)] {
        let exchanges: Vec<&ExchangeDeclaration> = plan
            .shared
            .iter()
            .filter_map(|d| match d {
                Declaration::Exchange(e) if e.name == name => Some(e),
                _ => None,
            })
            .collect();
        let [exchange] = exchanges[..] else { panic!("{exchanges:?}") };
        assert_eq!(
            (exchange.kind, exchange.durable, exchange.internal),
            (ExchangeKind::Direct, true, internal)
        );
        let bound: Vec<(&str, &Destination)> = plan
            .shared
            .iter()
            .filter_map(|d| match d {
                Declaration::Binding(b) if b.source == name => {
                    Some((b.key.as_str(), &b.destination))
                }
                _ => None,
            })
            .collect();
        assert_eq!(bound, [("readings", &Destination::Queue("readings".to_owned()))]);
    }
}

#[test]
fn a_pipeline_that_retries_nothing_has_no_delay_queues() {
    let mut config = readings();
    config.pipelines[0].retry.attempts.insert(FailureClass::Retry, 1);
    let text = format!("{:?}", main_plan(&config));
    assert!(!text.contains(RETRY_PREFIX));
}

#[test]
fn the_delay_queues_are_those_of_every_class_that_is_tried_again() {
    let mut config = readings();
    let retry = &mut config.pipelines[0].retry;
    retry.attempts = BTreeMap::from([(FailureClass::Retry, 2), (FailureClass::Deadline, 2)]);
    retry.class_rungs = BTreeMap::from([
        (FailureClass::Deadline, vec![Duration::from_secs(5), Duration::from_secs(30)]),
        (FailureClass::Trap, vec![Duration::from_secs(7)]),
    ]);
    let plan = main_plan(&config);
    let delays: Vec<&str> = plan
        .shared
        .iter()
        .filter_map(|d| match d {
            Declaration::Queue(queue) => queue.name.strip_prefix("sluicegate.retry.readings."),
            _ => None,
        })
        .collect();
    assert_eq!(delays, ["quorum.1000", "quorum.5000", "quorum.30000"]);
}

#[test]
fn two_pipelines_on_one_queue_share_its_delay_queues() {
    let mut config = readings();
    config.pipelines.push(pipeline("readings"));
    assert_eq!(main_plan(&config), main_plan(&readings()));
}

#[test]
fn a_long_queue_name_still_gives_a_name_that_amqp_can_carry_and_none_else_has() {
    let long = "é".repeat(127);
    let other = format!("{}x", "é".repeat(126));
    let named = |queue: &str| delay_queue(queue, QueueKind::Quorum, Duration::from_secs(3600));
    let name = named(&long);
    assert!(name.len() <= limits::SHORT_STRING_BYTES, "{}", name.len());
    assert!(name.ends_with(".quorum.3600000"));
    assert_ne!(name, named(&other));
    let short = delay_queue("q", QueueKind::Classic, Duration::from_millis(1500));
    assert_eq!(short, "sluicegate.retry.q.classic.1500");
}
