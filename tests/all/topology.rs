//! Topology on a real RabbitMQ: declaring, comparing, importing definitions, and the least that its
//! user must be allowed. Each test has a virtual host of its own.

mod orphans;

use std::fs;
use std::path::Path;

use serde_json::Value;
use sluicegate::broker::amqp::AmqpBroker;
use sluicegate::broker::{Broker as _, BrokerError, ConsumeRequest, Declaration};
use sluicegate::config::{self, BrokerKind, Config, Declare};
use sluicegate::topology::{self, Applied};
use tempfile::TempDir;

use crate::rabbit::{RabbitNode, node, unique};

/// Every kind of exchange and queue, dead letters, retries, and a queue that its consumer declares.
const CONFIG: &str = r##"
[broker.main]
urls = ["URL"]
declare = "DECLARE"
EXTRA

[[exchange]]
name = "meters"
kind = "topic"
alternate = "meters.lost"

[[exchange]]
name = "meters.lost"
kind = "fanout"

[[exchange]]
name = "by (header)"
kind = "headers"
bind = [{ exchange = "meters", key = "#.header" }]

[[queue]]
name = "readings"
kind = "quorum"
max_length = 1000
overflow = "reject-publish"
bind = [{ exchange = "meters", key = "meter.*.reading" }]
dead_letter = { exchange = "meters.dead", queue = "readings.dead", strategy = "at-least-once" }

[[queue]]
name = "faults"
max_priority = 4
message_ttl = "1m"
max_bytes = "1MiB"
single_active_consumer = true
bind = [{ exchange = "by (header)", match = "any", headers = { level = 3, urgent = true } }]
dead_letter = { exchange = "meters.dead", queue = "readings.dead" }

[[queue]]
name = "lost"
max_length = 100
bind = [{ exchange = "meters.lost" }]

[[queue]]
name = "log"
kind = "stream"
max_bytes = "10MiB"
bind = [{ exchange = "meters", key = "#" }]

[[queue]]
name = "probe"
server_named = true
bind = [{ exchange = "meters", key = "probe.#" }]
dead_letter = "discard"

[[plugin]]
name = "p"
file = "p.wasm"

[[pipeline]]
name = "readings"
queue = "readings"
stages = [{ plugin = "p" }]
outputs.again = { exchange = "meters" }

[[pipeline]]
name = "faults"
queue = "faults"
stages = [{ plugin = "p" }]
prefetch = 50

[[pipeline]]
name = "probe"
queue = "probe"
stages = [{ plugin = "p" }]
"##;

/// A virtual host of its own on the shared node.
struct Place {
    node: &'static RabbitNode,
    vhost: String,
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let (node, vhost) = (node(), unique("topology"));
        node.ctl(&["add_vhost", &vhost]);
        node.ctl(&["set_permissions", "-p", &vhost, "guest", ".*", ".*", ".*"]);
        Self { node, vhost, dir: tempfile::tempdir().unwrap() }
    }

    fn config(&self, user: &str, declare: &str, extra: &str) -> Config {
        let url = format!("amqp://{user}:{user}@{}/{}", self.node.address(), self.vhost);
        let text = CONFIG.replace("URL", &url).replace("DECLARE", declare).replace("EXTRA", extra);
        let (config, _warnings) = config::parse(&text, Path::new("test.toml"))
            .unwrap_or_else(|problems| panic!("{}", config::render_all(&problems, &text, false)));
        config
    }

    fn guest(&self, declare: &str) -> Config {
        self.config("guest", declare, "")
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// What the virtual host holds, as `rabbitmqctl` lists it.
    fn list(&self, what: &str) -> String {
        self.node.ctl(&[what, "-p", &self.vhost, "--quiet"])
    }
}

fn broker_of(config: &Config) -> std::sync::Arc<AmqpBroker> {
    match &config.brokers["main"].kind {
        BrokerKind::Amqp(amqp) => AmqpBroker::new("main", amqp.clone()),
        BrokerKind::Mqtt(_) | BrokerKind::Embedded => panic!("the config names a RabbitMQ"),
    }
}

async fn applied(config: &Config) -> Result<Applied, Vec<BrokerError>> {
    let broker = broker_of(config);
    let plan = topology::plan(config).remove("main").unwrap();
    let applied = topology::prepare(&*broker, &config.brokers["main"], &plan).await;
    broker.close().await;
    applied
}

fn shared(config: &Config) -> usize {
    topology::plan(config)["main"].shared.len()
}

#[tokio::test]
async fn a_config_applied_twice_is_there_once_and_verifies() {
    let place = Place::new();
    let config = place.guest("create");
    for _ in 0..2 {
        let applied = applied(&config).await.unwrap();
        assert_eq!(applied, Applied { confirmed: shared(&config), unverified: Vec::new() });
    }
    let verified = applied(&place.guest("verify")).await.unwrap();
    assert!(verified.unverified.iter().all(|what| what.starts_with("binding of ")));
    assert_eq!(verified.confirmed + verified.unverified.len(), shared(&config));
}

#[tokio::test]
async fn mismatches_name_the_object_the_argument_and_both_values_all_at_once() {
    let place = Place::new();
    applied(&place.guest("create")).await.unwrap();
    let mut other = place.guest("create");
    for queue in &mut other.queues {
        match queue.name.as_str() {
            "lost" => queue.max_length = Some(7),
            "faults" => queue.max_priority = None,
            _ => {}
        }
    }
    for mode in [Declare::Create, Declare::Verify] {
        other.brokers.get_mut("main").unwrap().declare = mode;
        let errors = applied(&other).await.unwrap_err();
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        let starts = [
            "queue 'faults' exists with x-max-priority = 4, this config wants none;",
            "queue 'lost' exists with x-max-length = 100, this config wants 7;",
        ];
        for (text, start) in texts.iter().zip(starts) {
            assert!(text.starts_with(start), "{text}");
        }
    }
}

#[tokio::test]
async fn verifying_an_empty_broker_creates_nothing() {
    let place = Place::new();
    let config = place.guest("verify");
    let errors = applied(&config).await.unwrap_err();
    assert!(errors.iter().all(|error| matches!(error, BrokerError::NotFound(_))), "{errors:?}");
    assert_eq!(place.list("list_queues").trim(), "");
    let exchanges = place.list("list_exchanges");
    for name in ["meters", "by (header)", "sluicegate"] {
        assert!(!exchanges.contains(name), "{exchanges}");
    }
}

#[tokio::test]
async fn imported_definitions_verify_against_an_export_with_nothing_left_open() {
    let place = Place::new();
    let (import, export) = (place.path("import.json"), place.path("export.json"));
    let definitions = topology::definitions(&place.guest("verify"), "main");
    fs::write(&import, definitions.to_string()).unwrap();
    place.node.ctl(&["import_definitions", &import]);
    place.node.ctl(&["export_definitions", &export]);

    let extra = format!("definitions = \"{export}\"");
    let config = place.config("guest", "verify", &extra);
    let verified = applied(&config).await.unwrap();
    assert_eq!(verified, Applied { confirmed: shared(&config), unverified: Vec::new() });

    // A binding that somebody took away is missed.
    let mut export_lacks: Value = serde_json::from_slice(&fs::read(&export).unwrap()).unwrap();
    export_lacks["bindings"].as_array_mut().unwrap().retain(|binding| {
        binding["vhost"] != place.vhost.as_str() || binding["destination"] != "lost"
    });
    fs::write(&export, export_lacks.to_string()).unwrap();
    let errors = applied(&config).await.unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().contains("binding of queue 'lost' to exchange 'meters.lost'"));
}

#[tokio::test]
async fn a_user_with_exactly_the_printed_permissions_can_create_and_consume() {
    let place = Place::new();
    let user = unique("user");
    place.node.ctl(&["add_user", &user, &user]);
    let config = place.config(&user, "create", "");
    let permit = |mode| {
        let granted = topology::permissions(&config, "main", mode);
        let [configure, write, read] = [granted.configure, granted.write, granted.read];
        place.node.ctl(&["set_permissions", "-p", &place.vhost, &user, &configure, &write, &read]);
    };

    permit(Declare::None);
    let errors = applied(&config).await.unwrap_err();
    assert!(errors.iter().all(|error| matches!(error, BrokerError::Forbidden(_))), "{errors:?}");

    permit(Declare::Create);
    assert_eq!(applied(&config).await.unwrap().confirmed, shared(&config));

    // What is there already can be used and verified with less; each consumes its own.
    permit(Declare::Verify);
    applied(&place.config(&user, "verify", "")).await.unwrap();
    permit(Declare::None);
    let broker = broker_of(&config);
    let own: Vec<Declaration> = topology::plan(&config)["main"].connection["probe"].clone();
    for (queue, declare) in [("readings", Vec::new()), ("", own)] {
        let request = ConsumeRequest {
            queue: queue.to_owned(),
            declare,
            prefetch: 1,
            exclusive: false,
            tag: String::new(),
        };
        broker.consume(request).await.unwrap_or_else(|error| panic!("{queue}: {error}"));
    }
    broker.close().await;
}

#[tokio::test]
async fn a_classic_queue_that_was_declared_without_saying_so_will_do() {
    let place = Place::new();
    let import = place.path("import.json");
    let mut definitions = topology::definitions(&place.guest("create"), "main");
    for queue in definitions["queues"].as_array_mut().unwrap() {
        let arguments = queue["arguments"].as_object_mut().unwrap();
        if arguments["x-queue-type"] == "classic" {
            arguments.remove("x-queue-type");
        }
    }
    fs::write(&import, definitions.to_string()).unwrap();
    place.node.ctl(&["import_definitions", &import]);
    applied(&place.guest("create")).await.unwrap();
}
