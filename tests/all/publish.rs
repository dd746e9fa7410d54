//! `sluicegate publish` into a real RabbitMQ.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};
use sluicegate::cli::{self, Cli};
use tempfile::NamedTempFile;

use crate::rabbit::{RabbitNode, node, unique};

const HOUSEHOLD: &str = "Date;Time;Global_active_power;Voltage\n\
    16/12/2006;17:24:00;4.216;234.840\n\
    16/12/2006;17:25:00;?;\n\
    16/12/2006;17:26:00;5.374;233.290\n";

fn file(extension: &str, content: &[u8]) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(extension).tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

/// What the verb ends with.
async fn publish(url: &str, file: &NamedTempFile, words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut all = vec!["sluicegate", "publish", "--broker", url, file.path().to_str().unwrap()];
    all.extend(words);
    cli::main(Cli::try_parse_from(all)?).await
}

/// A queue of a new name bound to `amq.topic`.
async fn bound(node: &RabbitNode, key: &str) -> String {
    use lapin::options::{QueueBindOptions, QueueDeclareOptions};
    use lapin::types::FieldTable;
    let name = unique("publish");
    let raw = node.raw().await;
    let (queue, fields) = (QueueDeclareOptions::default(), FieldTable::default());
    raw.channel.queue_declare(name.as_str().into(), queue, fields.clone()).await.unwrap();
    let bind = QueueBindOptions::default();
    raw.channel
        .queue_bind(name.as_str().into(), "amq.topic".into(), key.into(), bind, fields)
        .await
        .unwrap();
    name
}

#[tokio::test]
async fn a_row_of_csv_becomes_the_readings_of_many_meters() {
    let node = node();
    let queue = bound(node, "household.#").await;
    let words = [
        "--exchange",
        "amq.topic",
        "--routing-key",
        "household.m-{copy:03}.reading",
        "--header",
        "meter-id=m-{copy:03}",
        "--header",
        "copy:={copy}",
        "--type",
        "reading",
        "--message-id",
        "{line}-{copy}",
        "--copies",
        "250",
        "--time",
        "ts={Date} {Time}",
        "--time-format",
        "%d/%m/%Y %H:%M:%S",
        "--body",
        r#"{"meter":"m-{copy:03}","ts":"{ts}","kwh":{Global_active_power},"voltage":{Voltage}}"#,
    ];
    let ended = publish(&node.url(), &file(".csv", HOUSEHOLD.as_bytes()), &words).await.unwrap();
    assert_eq!(ended, ExitCode::SUCCESS);
    let raw = node.raw().await;
    let mut ids = BTreeSet::new();
    let mut bodies = Vec::new();
    while let Some(message) = raw.get(&queue).await {
        let delivery = message.delivery;
        ids.insert(delivery.properties.message_id().as_ref().unwrap().to_string());
        if delivery.routing_key.as_str() == "household.m-007.reading" {
            bodies.push(serde_json::from_slice::<Value>(&delivery.data).unwrap());
        }
    }
    assert_eq!(ids.len(), 750);
    bodies.sort_by_key(|body| body["ts"].to_string());
    let reading = |minute, kwh: Value, voltage: Value| {
        let ts = format!("2006-12-16T17:{minute}:00Z");
        json!({"meter": "m-007", "ts": ts, "kwh": kwh, "voltage": voltage})
    };
    assert_eq!(
        bodies,
        [
            reading(24, json!(4.216), json!(234.84)),
            reading(25, json!("?"), Value::Null),
            reading(26, json!(5.374), json!(233.29)),
        ]
    );
}

#[tokio::test]
async fn a_message_that_no_queue_takes_is_an_error_unless_it_is_allowed() {
    let url = node().url();
    let lines = file(".jsonl", b"{\"a\":1}\n");
    let mut words = vec!["--exchange", "amq.topic", "--routing-key", "nobody.listens"];
    assert_eq!(publish(&url, &lines, &words).await.unwrap(), ExitCode::from(1));
    words.push("--allow-unroutable");
    assert_eq!(publish(&url, &lines, &words).await.unwrap(), ExitCode::SUCCESS);
}

#[tokio::test]
async fn a_bad_line_ends_the_run_unless_it_may_be_skipped() {
    let node = node();
    let queue = bound(node, "bad.#").await;
    let lines = file(".jsonl", b"{\"region\":\"north\"}\n{cut\n{\"region\":\"south\"}\n");
    let mut words = vec!["--exchange", "amq.topic", "--routing-key", "bad.{region}"];
    assert_eq!(publish(&node.url(), &lines, &words).await.unwrap(), ExitCode::from(1));
    words.extend(["--on-error", "skip"]);
    assert_eq!(publish(&node.url(), &lines, &words).await.unwrap(), ExitCode::SUCCESS);
    let raw = node.raw().await;
    let mut keys = Vec::new();
    while let Some(message) = raw.get(&queue).await {
        keys.push(message.delivery.routing_key.to_string());
    }
    assert_eq!(keys, ["bad.north", "bad.north", "bad.south"]);
}

#[tokio::test]
async fn an_exchange_that_is_not_there_ends_the_run() {
    let lines = file(".jsonl", b"{}\n");
    let ended = publish(&node().url(), &lines, &["--exchange", "no.such.exchange"]).await;
    assert_eq!(ended.unwrap(), ExitCode::from(1));
}

#[tokio::test]
async fn what_is_wrong_with_the_options_is_told_before_anything_is_published() {
    let lines = file(".jsonl", b"{}\n");
    let unknown = file(".dat", b"{}\n");
    let nowhere = "amqp://127.0.0.1:1/%2f";
    let refused = async |url: &str, file, words: &[&str], part: &str| {
        let mut all = vec!["--exchange", "x"];
        all.extend(words);
        let error = format!("{:#}", publish(url, file, &all).await.unwrap_err());
        assert!(error.contains(part), "{error}");
    };
    refused(nowhere, &lines, &[], "is it running, and the address right?").await;
    refused(nowhere, &unknown, &[], "Say --format jsonl, csv, msgpack or lines").await;
    refused(nowhere, &lines, &["--body", "{\"a\":{b}"], "--body: this can't become JSON").await;
    refused(nowhere, &lines, &["--routing-key", "{a"], "--routing-key: '{a' has no closing").await;
    refused(nowhere, &lines, &["--header", "a"], "write NAME=TEMPLATE").await;
    refused(nowhere, &lines, &["--delimiter", ";"], "--delimiter is for CSV").await;
    refused(nowhere, &lines, &["--rate", "fast"], "write a number above 0").await;
    refused("localhost", &lines, &[], "--broker: ").await;
}
