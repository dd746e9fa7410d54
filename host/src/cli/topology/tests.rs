#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;

use super::*;

const CONFIG: &str = r##"
[broker.main]
urls = ["amqp://127.0.0.1/it's"]

[[exchange]]
name = "meters"
kind = "topic"

[[queue]]
name = "readings"
max_length = 10
bind = [{ exchange = "meters", key = "meter.#" }, { exchange = "amq.topic", key = "m.#" }]
dead_letter = { exchange = "dead", queue = "dead.readings" }

[[queue]]
name = "probe"
server_named = true
bind = [{ exchange = "meters", key = "probe" }]
dead_letter = "discard"

[[plugin]]
name = "p"
file = "p.wasm"

[[pipeline]]
name = "readings"
queue = "readings"
stages = [{ plugin = "p" }]
retry = { rungs = ["1s"] }

[[pipeline]]
name = "probe"
queue = "probe"
stages = [{ plugin = "p" }]
"##;

fn parsed() -> Config {
    let parsed = config::parse(CONFIG, Path::new("test.toml"));
    parsed.unwrap_or_else(|problems| panic!("{}", config::render_all(&problems, CONFIG, false))).0
}

#[test]
fn the_tree_shows_what_feeds_each_queue_and_what_becomes_of_its_messages() {
    let expected = "\
broker main (amqp://127.0.0.1/it's), declare = \"create\"
  exchange meters                            topic
    meter.#                                  → queue readings
    probe                                    → queue probe
  exchange dead                              fanout
    (no key)                                 → queue dead.readings
  exchange sluicegate.return                 direct, internal
    readings                                 → queue readings
  exchange sluicegate.replay                 direct
    readings                                 → queue readings
  exchange sluicegate.failures               topic
    #                                        → queue sluicegate.failures
  exchange amq.topic                         not declared here
    m.#                                      → queue readings
  queue readings                             x-queue-type classic, x-max-length 10, x-dead-letter-exchange dead
    consumed by                              pipeline readings
    dead letters                             → exchange dead, at most once
  queue dead.readings                        x-queue-type classic
  queue sluicegate.retry.readings.quorum.1000 x-queue-type quorum, x-message-ttl 1000, x-dead-letter-exchange sluicegate.return, x-dead-letter-routing-key readings, x-dead-letter-strategy at-least-once, x-overflow reject-publish
  queue sluicegate.failures                  x-queue-type classic, x-message-ttl 604800000, x-max-length 100000, x-overflow drop-head
  queue probe                                x-queue-type classic, named by the broker, not durable, exclusive
    consumed by                              pipeline probe
    dead letters                             thrown away
";
    assert_eq!(tree::render(&parsed(), "main"), expected);
}

#[test]
fn the_line_for_the_configs_own_mode_is_ready_for_a_shell_and_the_others_are_comments() {
    let text = permissions(&parsed(), "main");
    let ready: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let [line] = ready.as_slice() else { panic!("{text}") };
    let start = r"rabbitmqctl set_permissions -p 'it'\''s' 'guest' '^(amq\.gen-.*|dead|";
    assert!(line.starts_with(start), "{line}");
    assert_eq!(text.lines().filter(|line| line.starts_with("# rabbitmqctl ")).count(), 2);
}

#[test]
fn a_broker_that_the_config_lacks_is_refused_with_those_it_has() {
    let error = chosen(&parsed(), Some("other")).unwrap_err().to_string();
    assert_eq!(error, "no broker 'other' in this config: main");
}
