//! Every verdict and every way of failing ends as it should.

use serde_json::json;
use sluicegate::message::{FieldValue, Properties};
use sluicegate::verdict::FailureClass;

use super::world::{MAIN, SINK, WORK, World, json, numbers, order, until};

#[tokio::test]
async fn next_and_done_are_acknowledged_and_a_drop_is_counted_apart() {
    let world = World::usual().await;
    world.publish([order(1, "a", "next"), order(2, "a", "done"), order(3, "a", "drop")]).await;
    let told = world.take("sink", 3).await;
    assert_eq!(numbers(&told, "id"), [1, 2, 3]);
    assert_eq!(numbers(&told, "n"), [1, 2, 3]);
    world.settled("work").await;
    let figures = world.figures();
    assert_eq!((figures.done, figures.dropped, figures.dead_lettered), (2, 1, 0));
    assert_eq!(world.broker.queue_depth("dead"), (0, 0));
    world.end().await;
}

#[tokio::test]
async fn a_rejected_message_is_dead_lettered_by_the_broker_and_reported_by_the_host() {
    let world = World::usual().await;
    world.publish([order(1, "a", "reject")]).await;
    let dead = world.take("dead", 1).await.remove(0);
    assert_eq!(json(&dead), json!({ "id": 1, "do": "reject" }));
    let Some(FieldValue::Array(deaths)) = dead.properties.headers.get("x-death") else {
        panic!("no x-death: {dead:?}")
    };
    let [FieldValue::Table(death)] = &deaths[..] else { panic!("{deaths:?}") };
    assert_eq!((death.text("reason"), death.text("queue")), (Some("rejected"), Some("work")));

    let report = world.reports().remove(0);
    let told = ["class", "code", "text", "plugin", "message_id", "queue", "key", "routing_key"]
        .map(|field| report[field].as_str().unwrap_or_default());
    let expected = ["reject", "told", "rejected as told", "ledger", "m1", "work", "a", "order.a"];
    assert_eq!(told, expected);
    assert_eq!(report["attempt"], 1);
    assert_eq!(report["plugin_digest"].as_str().map(str::len), Some(64));
    assert!(world.rest("sink").is_empty());
    // Counted a moment after the broker has it.
    until("it is counted", || world.figures().dead_lettered == 1).await;
    world.end().await;
}

#[tokio::test]
async fn traps_and_broken_contracts_are_dead_lettered_with_their_class() {
    let world = World::usual().await;
    world.publish([order(1, "a", "trap"), order(2, "b", "unknown_output")]).await;
    world.take("dead", 2).await;
    let mut reports = world.reports();
    reports.sort_by_key(|report| report["message_id"].to_string());
    assert_eq!(reports[0]["class"], "trap");
    let text = reports[0]["text"].as_str().expect("a text");
    assert!(text.contains("trapped as told") && text.contains("lib.rs"), "{text}");
    assert_eq!(reports[1]["class"], "malformed");
    assert!(reports[1]["text"].as_str().expect("a text").contains("has: out, void"), "{reports:?}");
    world.end().await;
}

#[tokio::test]
async fn a_retried_message_comes_back_as_it_was_first_published() {
    let world = World::usual().await;
    let mut original = order(1, "a", "retry_until:2");
    original.properties.priority = Some(7);
    original.properties.timestamp = Some(1_700_000_000);
    original.properties.expiration = Some("3600000".to_owned());
    original.properties.correlation_id = Some("c1".to_owned());
    original.properties.kind = Some("order".to_owned());
    original.properties.headers.set("count", FieldValue::I16(-3));
    let before = original.properties.clone();
    // At the end it is seen, as it is, by who reads the dead-letter queue.
    original.body["at"] = json!("");
    world.publish([original]).await;
    let told = world.take("sink", 1).await.remove(0);
    assert_eq!((json(&told)["attempt"].as_u64(), json(&told)["n"].as_u64()), (Some(2), Some(1)));
    assert_eq!(told.routing_key, "order.a", "outputs inherit the original's routing key");
    assert_eq!(told.properties.correlation_id, before.correlation_id);
    world.settled("work").await;
    let figures = world.figures();
    assert_eq!((figures.retried, figures.done, figures.dead_lettered), (1, 1, 0));
    world.end().await;
}

#[tokio::test]
async fn every_attempt_sees_the_same_message() {
    // The echoing guest emits exchange, routing key and all properties of what it sees.
    const ECHO: &str = r##"
        [[plugin]]
        name = "hostile"
        file = "hostile.wasm"
        limits = { call = "2s" }
        [[pipeline]]
        name = "main"
        queue = "work"
        key = { header = "key" }
        stages = [{ plugin = "hostile", when = { header = "echo" } },
                  { plugin = "hostile", when = { type = "doomed" } }]
        retry = { attempts.malformed = 3, rungs = ["20ms"] }
        outputs.echo = { exchange = "out" }
    "##;
    let world = World::start(&[WORK, SINK, ECHO]).await;
    // An answer that breaks the contract is retried here, so that every attempt is seen as a copy.
    let mut first = order(1, "a", "");
    first.properties.kind = Some("doomed".to_owned());
    first.properties.priority = Some(5);
    first.properties.timestamp = Some(1_700_000_000);
    first.properties.headers.set("blob", FieldValue::Bytes(vec![0, 255].into()));
    let properties = first.properties.clone();
    let message = sluicegate::broker::Outgoing {
        exchange: "in".to_owned(),
        routing_key: "order.a".to_owned(),
        properties: first.properties,
        body: "answer: too few verdicts".into(),
    };
    world.publish_raw(vec![message]).await;
    let dead = world.take("dead", 1).await.remove(0);
    let attempts = dead.properties.headers.get("sluicegate-attempt");
    assert_eq!(attempts.and_then(FieldValue::as_i64), Some(3));
    let headers = &dead.properties.headers;
    assert_eq!(headers.text("sluicegate-exchange"), Some("in"));
    assert_eq!(headers.text("sluicegate-routing-key"), Some("order.a"));
    assert_eq!(headers.get("blob"), properties.headers.get("blob"));
    let Properties { priority, timestamp, message_id, kind, .. } = dead.properties;
    assert_eq!(priority, properties.priority);
    assert_eq!(timestamp, properties.timestamp);
    assert_eq!(message_id, properties.message_id);
    assert_eq!(kind, properties.kind);
    let report = world.reports().remove(0);
    assert_eq!((&report["exchange"], &report["routing_key"]), (&json!("in"), &json!("order.a")));
    assert_eq!(report["attempt"], 3);
    assert_eq!(world.figures().failures[&(FailureClass::Malformed, "malformed".to_owned())], 3);
    world.end().await;
}

#[tokio::test]
async fn retries_end_after_the_last_attempt() {
    let world = World::usual().await;
    world.publish([order(1, "a", "retry"), order(2, "a", "next")]).await;
    world.take("dead", 1).await;
    let report = world.reports().remove(0);
    assert_eq!((&report["attempt"], &report["class"]), (&json!(3), &json!("retry")));
    let told = world.rest("sink");
    assert_eq!((numbers(&told, "id"), numbers(&told, "n")), (vec![2], vec![1]));
    assert_eq!((world.figures().retried, world.figures().dead_lettered), (2, 1));
    world.end().await;
}

#[tokio::test]
async fn annotated_dead_letters_carry_their_reason_and_the_original_is_acknowledged() {
    let work = WORK.replace("queue = \"dead\"", "queue = \"dead\", mode = \"annotate\"");
    let world = World::start(&[&work, SINK, MAIN]).await;
    world.publish([order(1, "a", "reject"), order(2, "a", "next")]).await;
    let dead = world.take("dead", 1).await.remove(0);
    let headers = &dead.properties.headers;
    assert!(headers.get("x-death").is_none(), "it is a copy");
    let reason = ["class", "code", "text", "plugin", "pipeline"]
        .map(|name| headers.text(&format!("sluicegate-{name}")).unwrap_or_default().to_owned());
    assert_eq!(reason, ["reject", "told", "rejected as told", "ledger", "main"]);
    let report = world.reports().remove(0);
    assert_eq!(headers.text("sluicegate-failure-id"), report["id"].as_str());
    assert_eq!(dead.routing_key, "order.a");
    world.settled("work").await;
    assert_eq!((world.figures().annotated, world.figures().dead_lettered), (1, 0));
    world.end().await;
}

#[tokio::test]
async fn discarded_messages_are_reported_and_gone() {
    let work = WORK.replace("{ exchange = \"dead\", queue = \"dead\" }", "\"discard\"");
    let world = World::start(&[&work, SINK, MAIN]).await;
    world.publish([order(1, "a", "reject"), order(2, "a", "next")]).await;
    world.take("sink", 1).await;
    world.settled("work").await;
    assert_eq!((world.figures().discarded, world.reports().len()), (1, 1));
    world.end().await;
}

#[tokio::test]
async fn a_copy_that_cannot_be_made_leaves_the_brokers_dead_letter_and_a_report() {
    let world = World::usual().await;
    // With the reason added the headers are larger than a frame.
    let mut large = order(1, "a", "retry");
    let room = sluicegate::limits::HEADERS_BYTES - 64;
    large.properties.headers.set("ballast", "b".repeat(room));
    world.publish([large]).await;
    world.take("dead", 1).await;
    let reports = world.reports();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0]["code"], "told");
    world.end().await;
}
