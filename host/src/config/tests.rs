#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use super::*;

const SKETCH: &str = r#"
[broker.main]
urls = ["amqp://127.0.0.1:5672/%2f"]
credentials = { file = "rabbitmq.credentials" }

[[exchange]]
name = "meters"
kind = "topic"

[[exchange]]
name = "meters.alerts"
kind = "fanout"

[[queue]]
name = "meters.readings"
kind = "quorum"
bind = [{ exchange = "meters", key = "meter.*.reading" }]
dead_letter = { exchange = "meters.dead", queue = "meters.dead.readings" }

[[plugin]]
name = "anomaly"
file = "plugins/meter-anomaly.wasm"
config = { threshold = 4.5 }
limits = { memory = "64MiB", call = "50ms" }

[[pipeline]]
name = "readings"
queue = "meters.readings"
key = { header = "meter-id" }
stages = ["anomaly", { plugin = "anomaly", when = { type = "reading" } }]
outputs.alerts = { exchange = "meters.alerts", unroutable = "drop" }
prefetch = 1000
retry = { max_attempts = 5, rungs = ["1s", "30s", "10m"] }
"#;

fn good(text: &str) -> Config {
    match parse(text, Path::new("/etc/sluicegate/sluicegate.toml")) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{}", render_all(&problems, text, false)),
    }
}

#[test]
fn the_sketch_becomes_what_it_means() {
    let config = good(SKETCH);
    assert_eq!(config.queues.len(), 2, "the dead-letter queue is added");
    assert_eq!(config.exchanges.len(), 3, "the dead-letter exchange is added");
    let readings = &config.queues[0];
    assert_eq!(readings.kind, QueueKind::Quorum);
    assert_eq!(readings.broker, "main");
    assert_eq!(readings.delivery_limit, Some(crate::limits::DELIVERY_LIMIT));
    let pipeline = &config.pipelines[0];
    assert_eq!(pipeline.outputs["alerts"].broker, "main");
    assert_eq!(pipeline.retry.rungs, [1, 30, 600].map(Duration::from_secs));
    assert_eq!(pipeline.stages[1].when.as_ref().unwrap().kind.as_deref(), Some("reading"));
    let PluginSource::File(file) = &config.plugins["anomaly"].source else { panic!("a file") };
    assert_eq!(file, Path::new("/etc/sluicegate/plugins/meter-anomaly.wasm"));
    // { "threshold": 4.5 }
    let packed = [&b"\x81\xa9threshold\xcb"[..], &4.5f64.to_be_bytes()].concat();
    assert_eq!(config.plugins["anomaly"].config, packed);
}
