#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::super::fixture::job;
use super::*;
use crate::limits::RETURN_EXCHANGE;
use crate::verdict::{Emission, FailureClass};

fn addresses() -> Addresses {
    let output = |name: &str, routing_key: Option<&str>| OutputTarget {
        name: name.to_owned(),
        broker: 0,
        output: Output {
            broker: "main".to_owned(),
            exchange: format!("x.{name}"),
            routing_key: routing_key.map(str::to_owned),
            unroutable: Unroutable::Fail,
        },
    };
    Addresses {
        pipeline: "p".to_owned(),
        queue: "work".to_owned(),
        broker: 0,
        outputs: vec![output("alerts", None), output("fixed", Some("fixed.key"))],
        key_header: Some("meter-id".to_owned()),
        failures: "sluicegate.failures".to_owned(),
        host: "h".to_owned(),
    }
}

/// A message whose producer set every property that there is.
fn full() -> Job {
    let mut job = job("m-1", 3, "body");
    job.message.exchange = "meters".to_owned();
    job.message.routing_key = "meter.m-1".to_owned();
    let headers = [
        ("meter-id", "m-1"),
        ("traceparent", "00-abc"),
        ("mine", "kept"),
        ("x-death", "old"),
        ("CC", "elsewhere"),
        ("sluicegate-attempt", "9"),
    ];
    job.message.properties = Properties {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        headers: headers.into_iter().collect(),
        delivery_mode: Some(1),
        priority: Some(3),
        correlation_id: Some("c".to_owned()),
        reply_to: Some("r".to_owned()),
        expiration: Some("60000".to_owned()),
        message_id: Some("id".to_owned()),
        timestamp: Some(5),
        kind: Some("reading".to_owned()),
        user_id: Some("guest".to_owned()),
        app_id: Some("app".to_owned()),
        cluster_id: None,
    };
    job
}

fn emitted(output: &str, emission: Emission) -> Emitted {
    let target = addresses().resolve(output).unwrap();
    Emitted {
        stage: 1,
        index: 2,
        target,
        emission: Emission { output: output.to_owned(), ..emission },
        body: Some(Bytes::from_static(b"seen")),
        content_type: Some("text/plain".to_owned()),
    }
}

fn emission() -> Emission {
    Emission {
        output: String::new(),
        routing_key: None,
        properties: Properties::default(),
        body: None,
    }
}

fn failure() -> Failure {
    Failure {
        class: FailureClass::Reject,
        code: "bad".to_owned(),
        text: "é".repeat(FAILURE_TEXT_BYTES),
        stage: None,
        backtrace: Vec::new(),
        retry_after: None,
    }
}

#[tokio::test]
async fn an_emission_inherits_what_belongs_to_its_input_and_nothing_else() {
    let planned = addresses().outputs(&full(), vec![emitted("alerts", emission())]).remove(0);
    let message = planned.message;
    assert_eq!(
        (message.exchange.as_str(), message.routing_key.as_str()),
        ("x.alerts", "meter.m-1")
    );
    assert_eq!(&message.body[..], b"seen");
    let properties = message.properties;
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(properties.correlation_id.as_deref(), Some("c"));
    assert_eq!(properties.delivery_mode, Some(2));
    assert_eq!(properties.message_id, Some(derived_id([0; 16], 1, 2)));
    let names: Vec<&str> = properties.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["traceparent", "meter-id"]);
    assert_eq!((properties.user_id, properties.reply_to, properties.priority), (None, None, None));
}

#[tokio::test]
async fn what_a_plugin_sets_wins_but_for_what_only_hosts_and_brokers_write() {
    let properties = Properties {
        correlation_id: Some("own".to_owned()),
        message_id: Some("own-id".to_owned()),
        user_id: Some("root".to_owned()),
        delivery_mode: Some(1),
        headers: [("meter-id", "other"), ("sluicegate-attempt", "7"), ("CC", "x")]
            .into_iter()
            .collect(),
        ..Properties::default()
    };
    let emission = Emission { properties, routing_key: Some("rk".to_owned()), ..emission() };
    let message = addresses().outputs(&full(), vec![emitted("fixed", emission)]).remove(0).message;
    assert_eq!(message.routing_key, "rk");
    assert_eq!(message.properties.message_id.as_deref(), Some("own-id"));
    assert_eq!(message.properties.correlation_id.as_deref(), Some("own"));
    assert_eq!((message.properties.user_id, message.properties.delivery_mode), (None, Some(2)));
    assert_eq!(message.properties.headers.text("meter-id"), Some("other"));
    assert!(message.properties.headers.get("sluicegate-attempt").is_none());
    assert!(message.properties.headers.get("CC").is_none());
}

#[tokio::test]
async fn an_output_has_a_routing_key_of_its_own() {
    let message =
        addresses().outputs(&full(), vec![emitted("fixed", emission())]).remove(0).message;
    assert_eq!(message.routing_key, "fixed.key");
}

#[test]
fn an_unknown_output_is_told_with_those_there_are() {
    let text = addresses().resolve("alert").unwrap_err();
    assert!(text.contains("'alert'") && text.contains("alerts, fixed"), "{text}");
}

#[tokio::test]
async fn a_retry_copy_comes_back_as_its_original() {
    let mut job = full();
    job.replay_of = Some("f-1".to_owned());
    job.replay_count = 3;
    let rung = Duration::from_secs(5);
    let copy = addresses().retry_copy(&job, &failure(), rung, 1000).unwrap().message;
    assert_eq!(copy.exchange, "");
    assert_eq!(copy.routing_key, topology::delay_queue("work", topology::DELAY_KIND, rung));
    assert_eq!((&copy.properties.expiration, &copy.properties.user_id), (&None, &None));
    let text = copy.properties.headers.text(headers::TEXT).unwrap();
    assert!(text.len() <= FAILURE_TEXT_BYTES && text.ends_with('é'));

    // The broker brings it back, with the delay queue's death on it.
    let mut back = crate::message::Message {
        exchange: RETURN_EXCHANGE.to_owned(),
        routing_key: "work".to_owned(),
        properties: copy.properties,
        body: copy.body,
    };
    let death: Table = [("queue", copy.routing_key.as_str())].into_iter().collect();
    back.properties.headers.set("x-death", FieldValue::Array(vec![FieldValue::Table(death)]));
    let history = headers::restore(&mut back);
    let expected = headers::History {
        attempt: 2,
        first_failed_at: 1000,
        replay_of: Some("f-1".to_owned()),
        replay_count: 3,
    };
    assert_eq!(history, expected);
    let mut original = job.message.clone();
    original.properties.delivery_mode = Some(2);
    headers::strip_own(&mut original.properties.headers);
    for message in [&mut original, &mut back] {
        message.properties.headers.0.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    assert_eq!(back, original, "with the deaths that it had before the first attempt");
}

#[tokio::test]
async fn an_annotated_dead_letter_carries_its_reason() {
    let planned = addresses().annotated(&full(), &failure(), ("dlx", None), 1000);
    let headers = &planned.message.properties.headers;
    assert_eq!(planned.role, Role::Copy);
    assert_eq!(planned.message.routing_key, "meter.m-1");
    assert_eq!(headers.text(headers::CODE), Some("bad"));
    assert_eq!(headers.text(headers::CLASS), Some("reject"));
    assert!(headers.text(headers::FAILURE_ID).is_some());
    let origin = [headers::QUEUE, headers::EXCHANGE, headers::ROUTING_KEY, headers::EXPIRATION];
    assert_eq!(
        origin.map(|name| headers.text(name)),
        [Some("work"), Some("meters"), Some("meter.m-1"), Some("60000")],
        "so that it can be replayed"
    );
}

#[tokio::test]
async fn a_report_says_what_failed_where_and_why() {
    let addresses = addresses();
    let report = addresses.report(&full(), &failure(), "dead_lettered", 1000);
    let report = addresses.tell(&report).message;
    assert_eq!(report.exchange, "sluicegate.failures");
    assert_eq!(report.routing_key, "p.reject");
    let body: serde_json::Value = serde_json::from_slice(&report.body).unwrap();
    assert_eq!(body["message_id"], "id");
    assert_eq!(body["queue"], "work");
    assert_eq!(body["code"], "bad");
    assert_eq!(body["key"], "m-1");
    assert_eq!(body["failed_at"], 1000);
    assert_eq!(body["end"], "dead_lettered");
    assert_eq!(body["letter"].as_str().map(str::len), Some(32));
    assert_eq!(body["fingerprint"].as_str().map(str::len), Some(16));
    assert_eq!(body["body_digest"], blake3::hash(b"body").to_hex().to_string());
}
