//! A pipeline that uses more shards and fewer while messages flow: each runs once, each key in order.

use std::collections::BTreeMap;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::process::{Host, Site, until};
use super::traffic::{Traffic, broker, echoing, id, tallying};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::{HOSTILE, TALLY};

const KEYS: u64 = 40;
const EACH: u64 = 60;
/// How many shards it uses after each share of the messages.
const WIDTHS: [usize; 6] = [3, 1, 2, 3, 2, 1];

fn counting(name: &str) -> Site {
    let config = tallying(name, "shards = { min = 1, max = 3, latency = \"1h\" }");
    let site = Site::with(&format!("{}{config}", broker(node())), "shards = 3");
    site.write("tally.wasm", TALLY);
    site
}

async fn produce(traffic: &Traffic, queue: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        for key in 0..KEYS {
            let mut headers = FieldTable::default();
            headers.insert("key".into(), AMQPValue::LongString(key.to_string().into()));
            let properties =
                id(number).with_headers(headers).with_content_type("application/json".into());
            let body = format!(r#"{{"id": {number}, "sent_us": {key}}}"#);
            traffic.send(queue, properties, body.as_bytes()).await;
        }
    }
}

fn scaled(site: &Site, host: &Host, name: &str, width: usize) {
    let told = site.tell(&["scale", name, &width.to_string()]);
    assert!(told.status.success(), "{told:?}");
    let uses = || host.metric("sluicegate_pipeline_shards", &[name]);
    until("another number of shards", || uses() == width as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_scaled_up_and_down_every_message_counts_once_and_every_key_stays_in_order() {
    let name = unique("scaling");
    let site = counting(&name);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    let share = EACH / WIDTHS.len() as u64;
    for (turn, width) in (0..).zip(WIDTHS) {
        produce(&traffic, &input, turn * share..(turn + 1) * share).await;
        scaled(&site, &host, &name, width);
    }
    // What was settled before, on whatever shard, is known.
    produce(&traffic, &input, 0..share).await;
    let duplicates = || host.metric("sluicegate_messages_settled", &[&name, "\"duplicate\""]);
    until("known messages are acknowledged", || duplicates() == (KEYS * share) as f64);
    traffic.raw.await_depth(&input, 0).await;
    host.stop();
    assert_eq!(traffic.raw.depth(&format!("{name}.dead")).await, 0);

    let mut lines: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for message in traffic.take_all(&out).await {
        let line: Value = serde_json::from_slice(&message.data).unwrap();
        let number = |field: &str| line[field].as_u64().unwrap();
        lines.entry(number("sent_us")).or_default().push((number("id"), number("n")));
    }
    let expected: Vec<(u64, u64)> = (0..EACH).map(|id| (id, id + 1)).collect();
    for key in 0..KEYS {
        assert_eq!(lines[&key], expected, "key {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_whose_shard_is_busy_while_messages_wait_gets_another_one() {
    let name = unique("scales");
    let pipeline = "prefetch = 20\nshards = { min = 1, max = 2 }\nbatch = { messages = 4 }";
    let config = echoing(&name, r#"call = "5s""#, pipeline, "kind = \"classic\"");
    let site = Site::with(&format!("{}{config}", broker(node())), "shards = 2");
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), 20_000, b"slow").await;
    let uses = || host.metric("sluicegate_pipeline_shards", &[&name]);
    assert!(uses() <= 2.0);
    until("two shards", || uses() == 2.0);
    host.said("another number of shards");
    let refused = site.tell(&["scale", &name, "65"]);
    assert!(!refused.status.success(), "{refused:?}");
    let most = site.tell(&["scale", &name, "9"]);
    assert!(String::from_utf8_lossy(&most.stdout).contains("use 2 of its shards, the most"));
}
