//! What a message is: its stages, its encoding, its key, what its outputs inherit, its deaths.

use std::io::Write as _;

use serde_json::json;
use sluicegate::broker::Outgoing;
use sluicegate::message::Properties;

use super::world::{MAIN, Order, SINK, WORK, World, json, numbers, order};

fn raw(order: Order, body: Vec<u8>) -> Outgoing {
    Outgoing {
        exchange: "in".to_owned(),
        routing_key: order.routing_key,
        properties: order.properties,
        body: body.into(),
    }
}

#[tokio::test]
async fn stages_see_only_the_messages_that_they_are_for() {
    const STAGES: &str = r##"
[[plugin]]
name = "all"
file = "ledger.wasm"
config = { name = "all" }
[[plugin]]
name = "some"
file = "ledger.wasm"
config = { name = "some" }
[[pipeline]]
name = "main"
queue = "work"
key = { header = "key" }
stages = [
  "all",
  { plugin = "some", when = { type = "urgent" } },
  { plugin = "some", when = { header = { name = "changed-by", value = "all" } } },
  { plugin = "some", when = { routing_key = "order.b" } },
]
outputs.out = { exchange = "out" }
"##;
    let world = World::start(&[WORK, SINK, STAGES]).await;
    let mut urgent = order(1, "a", "next");
    urgent.properties.kind = Some("urgent".to_owned());
    let mut changed = order(2, "a", "change");
    changed.body["at"] = json!("all");
    world.publish([urgent, changed, order(3, "b", "next"), order(4, "a", "next")]).await;
    world.settled("work").await;
    let told = world.rest("sink");
    let stages = |id: u64| -> Vec<String> {
        let of_id = told.iter().map(json).filter(|line| line["id"] == id);
        of_id.map(|line| line["stage"].as_str().expect("a stage").to_owned()).collect()
    };
    assert_eq!(stages(1), ["all", "some"]);
    assert_eq!(stages(2), ["all", "some"], "a header that a stage before has set");
    assert_eq!(stages(3), ["all", "some"]);
    assert_eq!(stages(4), ["all"]);
    world.end().await;
}

#[tokio::test]
async fn gzip_is_taken_off_and_what_cannot_be_is_dead_lettered_by_name() {
    let world = World::usual().await;
    let encoded = |id, encoding: &str| {
        let mut order = order(id, "a", "next");
        order.properties.content_encoding = Some(encoding.to_owned());
        order
    };
    let good = encoded(1, "gzip");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(good.body.to_string().as_bytes()).expect("a vector takes it");
    let good = raw(good, gzip.finish().expect("a vector takes it"));
    let broken = raw(encoded(2, "gzip"), b"no gzip".to_vec());
    let unknown = raw(encoded(3, "br"), b"{}".to_vec());
    world.publish_raw(vec![good.clone(), broken.clone(), unknown.clone()]).await;
    assert_eq!(numbers(&world.take("sink", 1).await, "id"), [1]);
    let dead = world.take("dead", 2).await;
    assert_eq!(dead[0].body, broken.body, "as it came");
    let mut codes: Vec<_> =
        world.reports().iter().map(|report| report["code"].to_string()).collect();
    codes.sort();
    assert_eq!(codes, ["\"content_encoding\"", "\"gzip\""]);
    world.end().await;
}

#[tokio::test]
async fn a_message_without_its_required_key_is_dead_lettered() {
    let main = MAIN.replace("{ header = \"key\" }", "{ header = \"key\", required = true }");
    let world = World::start(&[WORK, SINK, &main]).await;
    world.publish([order(1, "", "next"), order(2, "a", "next")]).await;
    assert_eq!(numbers(&world.take("dead", 1).await, "id"), [1]);
    assert_eq!(numbers(&world.take("sink", 1).await, "id"), [2]);
    let report = world.reports().remove(0);
    assert_eq!((&report["class"], &report["code"]), (&json!("intake"), &json!("no_key")));
    assert!(report["text"].as_str().expect("a text").contains("header 'key'"));
    world.end().await;
}

#[tokio::test]
async fn outputs_inherit_correlation_trace_and_key() {
    let world = World::usual().await;
    let mut traced = order(1, "a", "next");
    traced.properties.correlation_id = Some("conversation".to_owned());
    traced.properties.headers.set("traceparent", "00-aa-bb-01");
    traced.properties.headers.set("tracestate", "x=1");
    traced.properties.headers.set("private", "stays");
    world.publish([traced, order(2, "a", "next")]).await;
    let told = world.take("sink", 2).await;
    let Properties { correlation_id, headers, delivery_mode, content_type, .. } =
        &told[0].properties;
    assert_eq!(correlation_id.as_deref(), Some("conversation"));
    let inherited = ["traceparent", "tracestate", "key", "private"].map(|name| headers.text(name));
    assert_eq!(inherited, [Some("00-aa-bb-01"), Some("x=1"), Some("a"), None]);
    assert_eq!((*delivery_mode, content_type.as_deref()), (Some(2), Some("application/json")));
    let second = told[1].properties.correlation_id.as_deref();
    assert_eq!(second, Some("m2"), "without one, the input's id");
    world.end().await;
}

#[tokio::test]
async fn a_pipeline_on_a_dead_letter_queue_reads_how_its_messages_died() {
    const MORGUE: &str = r##"
[[queue]]
name = "findings"
[[queue]]
name = "morgue"
bind = [{ exchange = "dead" }]
dead_letter = { queue = "buried" }
[[pipeline]]
name = "morgue"
queue = "morgue"
key = { header = "key" }
stages = [{ plugin = "ledger" }]
retry = { max_attempts = 3, rungs = ["20ms"] }
outputs.out = { exchange = "", routing_key = "findings" }
"##;
    let world = World::start(&[WORK, SINK, MAIN, MORGUE]).await;
    // Rejected in `main`, and on the dead-letter queue again, after a second attempt there.
    world.publish([order(1, "a", "reject"), order(2, "b", "retry")]).await;
    let dead = world.take("buried", 2).await;
    assert_eq!(dead.len(), 2);
    world.settled("morgue").await;
    let reports = world.reports();
    let of_morgue = |report: &&serde_json::Value| report["pipeline"] == "morgue";
    assert_eq!(reports.iter().filter(of_morgue).count(), 2);
    world.end().await;
}

#[tokio::test]
async fn deaths_are_read_at_every_attempt() {
    const LATER: &str = r##"
[[queue]]
name = "late"
message_ttl = "10ms"
dead_letter = { exchange = "", routing_key = "work2" }
bind = [{ exchange = "in", key = "late" }]
[[plugin]]
name = "reader"
file = "ledger.wasm"
[[queue]]
name = "work2"
dead_letter = { queue = "buried" }
[[pipeline]]
name = "reader"
queue = "work2"
key = { header = "key" }
stages = ["reader"]
retry = { max_attempts = 3, rungs = ["20ms"] }
outputs.out = { exchange = "out" }
"##;
    let world = World::start(&[SINK, LATER]).await;
    let mut late = order(1, "a", "retry_until:2");
    late.routing_key = "late".to_owned();
    let mut soon = order(2, "a", "next");
    soon.routing_key = "late".to_owned();
    world.publish([late, soon]).await;
    let mut told: Vec<_> = world.take("sink", 2).await.iter().map(json).collect();
    told.sort_by_key(|line| line["id"].as_u64());
    assert_eq!((&told[0]["deaths"], &told[0]["attempt"]), (&json!(["expired"]), &json!(2)));
    assert_eq!((&told[1]["deaths"], &told[1]["attempt"]), (&json!(["expired"]), &json!(1)));
    world.end().await;
}
