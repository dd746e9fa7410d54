#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;

use super::*;
use crate::config;

const BASE: &str = r##"
[broker.main]
url = "embedded:"

[broker.far]
url = "amqp://far:5672/%2f"

[[exchange]]
name = "in"
kind = "topic"

[[exchange]]
name = "out"
kind = "topic"

[[queue]]
name = "readings"
bind = [{ exchange = "in", key = "#" }]
dead_letter = "discard"

[[queue]]
name = "events"
dead_letter = "discard"

[[plugin]]
name = "validate"
file = "builtin:meter-validate"
config = { least = 1 }

[[pipeline]]
name = "readings"
queue = "readings"
stages = ["validate"]
prefetch = 100
outputs.out = { exchange = "out" }

[[pipeline]]
name = "events"
queue = "events"
stages = ["validate"]
"##;

fn read(text: &str) -> Config {
    config::parse(text, Path::new("test.toml")).unwrap_or_else(|all| panic!("{all:#?}")).0
}

/// What leads from the base to the same with texts replaced.
fn plan(replaced: &[(&str, &str)]) -> Plan {
    let mut text = BASE.to_owned();
    for (from, to) in replaced {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    Plan::between(&read(BASE), &read(&text))
}

#[test]
fn the_same_config_changes_nothing_however_it_is_written() {
    assert!(plan(&[]).is_empty());
    assert!(plan(&[("prefetch = 100", "prefetch = 0x64 # the same")]).is_empty());
    let swapped =
        BASE.replace("name = \"in\"", "name = \"?\"").replace("name = \"out\"", "name = \"in\"");
    let swapped = swapped.replace("name = \"?\"", "name = \"out\"");
    assert!(Plan::between(&read(BASE), &read(&swapped)).is_empty(), "the order is no difference");
}

#[test]
fn one_pipeline_altered_leaves_the_other_alone() {
    let plan = plan(&[("prefetch = 100", "prefetch = 200\nbatch = { messages = 2 }")]);
    assert_eq!(plan.told(), ["pipeline 'readings' altered: prefetch, batch"]);
    assert_eq!(plan.ending().collect::<Vec<_>>(), ["readings"]);
    assert!(plan.begins("readings") && !plan.begins("events"));
}

#[test]
fn what_comes_and_goes_is_told_by_its_name() {
    let plan = plan(&[
        ("name = \"events\"\nqueue", "name = \"others\"\nqueue"),
        ("name = \"validate\"\nfile", "name = \"check\"\nfile"),
        ("stages = [\"validate\"]", "stages = [\"check\"]"),
        ("stages = [\"validate\"]", "stages = [\"check\"]"),
    ]);
    assert_eq!(
        plan.told(),
        [
            "plugin 'check' added",
            "plugin 'validate' removed",
            "pipeline 'events' removed",
            "pipeline 'others' added",
            "pipeline 'readings' altered: stages",
        ]
    );
    assert_eq!(plan.ending().collect::<Vec<_>>(), ["events", "readings"]);
}

#[test]
fn a_plugin_with_another_config_moves_no_pipeline() {
    let plan = plan(&[("least = 1", "least = 2")]);
    assert_eq!(plan.told(), ["plugin 'validate' altered: config"]);
    assert_eq!(plan.ending().count(), 0);
}

#[test]
fn a_broker_reached_in_another_way_moves_who_uses_it_and_nobody_else() {
    let there = [(
        "outputs.out = { exchange = \"out\" }",
        "outputs.out = { broker = \"far\", exchange = \"amq.topic\" }",
    )];
    let mut text = BASE.to_owned();
    for (from, to) in there {
        text = text.replace(from, to);
    }
    let plan = Plan::between(&read(&text), &read(&text.replace("far:5672", "farther:5672")));
    assert_eq!(
        plan.told(),
        ["broker 'far' altered: its settings", "pipeline 'readings' altered: broker 'far'"]
    );
}

#[test]
fn a_queue_moves_its_consumer_only_where_it_is_consumed_in_another_way() {
    let bound = plan(&[("key = \"#\"", "key = \"meter.#\"")]);
    assert_eq!(bound.told(), ["queue 'readings' altered"]);
    let vouched = plan(&[("dead_letter = \"discard\"", "dead_letter = \"policy\"")]);
    assert_eq!(
        vouched.told(),
        ["pipeline 'readings' altered: queue 'readings'", "queue 'readings' altered"]
    );
    let own =
        BASE.replace("name = \"readings\"\nbind", "name = \"readings\"\nexclusive = true\nbind");
    let plan = Plan::between(&read(&own), &read(&own.replace("key = \"#\"", "key = \"meter.#\"")));
    assert_eq!(plan.ending().collect::<Vec<_>>(), ["readings"], "its consumer declares it");
}

#[test]
fn what_counts_at_the_next_start_is_said_and_kept_as_it_is() {
    let old = read(BASE);
    let text = format!("{BASE}\n[service]\nshards = 3\nhttp = \"127.0.0.1:1\"\ndrain = \"5s\"\n");
    let mut new = read(&text);
    let plan = Plan::between(&old, &new);
    assert_eq!(plan.at_next_start, ["service.http", "service.shards"]);
    assert_eq!(plan.told(), ["service.drain altered"]);
    assert!(plan.warnings()[1].contains("service.shards"), "{:?}", plan.warnings());
    plan.keep_what_stays(&old, &mut new);
    assert_eq!((new.service.shards, new.service.http), (0, old.service.http));
    assert_eq!(new.service.drain.as_secs(), 5);
}
