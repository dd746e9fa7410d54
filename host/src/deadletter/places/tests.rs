#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;

use super::*;
use crate::config;

const CONFIG: &str = r#"
[broker.main]
url = "amqp://localhost"
[[plugin]]
name = "p"
file = "builtin:meter-validate"
[[queue]]
name = "readings"
dead_letter = { exchange = "dead", queue = "dead.readings" }
[[queue]]
name = "events"
dead_letter = { queue = "dead.events", kind = "quorum" }
[[queue]]
name = "faults"
dead_letter = { exchange = "dead", queue = "dead.readings" }
[[queue]]
name = "lost"
dead_letter = "discard"
[[pipeline]]
name = "readings"
queue = "readings"
stages = ["p"]
"#;

#[test]
fn every_dead_letter_queue_is_found_once_with_those_it_catches() {
    let (config, _) = config::parse(CONFIG, Path::new("test.toml")).unwrap();
    let found = places(&config, "main");
    let names: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|place| (&*place.queue, place.origins.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(
        names,
        [("dead.readings", vec!["readings", "faults"]), ("dead.events", vec!["events"])]
    );
    assert_eq!((found[0].kind, found[0].deliveries), (Some(QueueKind::Classic), None));
    assert_eq!(
        (found[1].kind, found[1].deliveries),
        (Some(QueueKind::Quorum), Some(DELIVERY_LIMIT))
    );
    assert!(places(&config, "other").is_empty());
}

#[test]
fn a_queue_that_the_config_does_not_know_may_count_deliveries() {
    let (config, _) = config::parse(CONFIG, Path::new("test.toml")).unwrap();
    let found = place(&config, "main", "elsewhere");
    assert_eq!((found.kind, found.deliveries), (None, Some(DLQ_DELIVERIES)));
    assert_eq!(place(&config, "main", "readings").deliveries, None);
}
