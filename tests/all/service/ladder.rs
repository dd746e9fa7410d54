//! What a retry costs in time and keeps of a message, on a real RabbitMQ.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use sluicegate::topology;

use super::process::Site;
use super::properties::every_type;
use super::traffic::{Traffic, broker, correlation, death, echoing, id, message_id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

const KIB: usize = 1024;

/// Every property that there is, and headers of every type, some of which brokers act on.
fn everything() -> BasicProperties {
    let mut headers = every_type();
    let mut copies = FieldArray::default();
    copies.push(AMQPValue::LongString("nowhere".into()));
    headers.insert("CC".into(), AMQPValue::FieldArray(copies));
    headers.insert("x-death".into(), AMQPValue::LongString("not a death".into()));
    headers.insert("sluicegate-attempt".into(), AMQPValue::LongInt(99));
    BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_headers(headers)
        .with_delivery_mode(1)
        .with_priority(7)
        .with_correlation_id("c-1".into())
        .with_reply_to("answers".into())
        .with_expiration("600000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_700_000_000)
        .with_type("reading".into())
        .with_user_id("guest".into())
        .with_app_id("meter".into())
}

async fn the_third_attempt_sees_the_original(kind: &str) {
    let name = unique(&format!("original.{kind}"));
    let retry = "[pipeline.retry]\nrungs = [\"50ms\", \"100ms\"]\nmax_attempts = 4";
    let queue = format!("kind = \"{kind}\"\nbind = [{{ exchange = \"{name}.x\", key = \"a.#\" }}]");
    let config = format!(
        "{}{}[[exchange]]\nname = \"{name}.x\"\nkind = \"topic\"\n",
        broker(node()),
        echoing(&name, r#"call = "1s""#, retry, &queue)
    );
    let site = Site::new(&config);
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.publish(&format!("{name}.x"), "a.b.c", everything(), b"echo at 3").await;
    // The plugin emits the properties that it sees; an output has no user and nothing of brokers'.
    let sent = everything().with_headers(every_type()).with_delivery_mode(2);
    let seen = traffic.next(&format!("{name}.out")).await.delivery;
    assert_eq!(seen.properties.user_id(), &None);
    assert_eq!(seen.properties.with_user_id("guest".into()), sent);
    assert_eq!(seen.routing_key.as_str(), "a.b.c");
    assert_eq!(seen.data, format!("{name}.x").as_bytes(), "the body is the exchange it saw");

    // A dead letter that is replayed is the original again, and counted.
    let mut replayed = every_type();
    for (header, value) in [
        ("sluicegate-exchange", format!("{name}.x")),
        ("sluicegate-routing-key", "a.b.c".to_owned()),
        ("sluicegate-expiration", "600000".to_owned()),
        ("sluicegate-user-id", "guest".to_owned()),
        ("sluicegate-replay-of", "f-1".to_owned()),
    ] {
        replayed.insert(header.into(), AMQPValue::LongString(value.into()));
    }
    replayed.insert("sluicegate-replay-count".into(), AMQPValue::LongInt(2));
    let again = |body: &'static [u8]| {
        let properties = BasicProperties::default().with_headers(replayed.clone());
        (properties.with_message_id("m-1".into()), body)
    };
    let exchange = sluicegate::limits::REPLAY_EXCHANGE;
    let (properties, body) = again(b"echo at 3");
    traffic.publish(exchange, &format!("{name}.in"), properties, body).await;
    let seen = traffic.next(&format!("{name}.out")).await.delivery;
    assert_eq!(seen.properties.headers().as_ref(), Some(&every_type()));
    assert_eq!(seen.properties.expiration().as_ref().map(|text| text.as_str()), Some("600000"));
    assert_eq!(seen.routing_key.as_str(), "a.b.c");
    assert_eq!(seen.data, format!("{name}.x").as_bytes());

    // And what it was replayed after is with it to the end.
    let (properties, body) = again(b"retry");
    traffic.publish(exchange, &format!("{name}.in"), properties, body).await;
    let letter = traffic.next(&format!("{name}.dead")).await;
    assert_eq!(death(&letter), "rejected");
    let headers = letter.properties.headers().as_ref().unwrap().inner();
    assert_eq!(headers.get("sluicegate-replay-of"), Some(&AMQPValue::LongString("f-1".into())));
    let report = &traffic.reports(&format!("{name}.failures")).await["m-1"];
    assert_eq!((&report["attempt"], &report["replay_count"]), (&4.into(), &2.into()));
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_everything_set_is_the_original_at_each_attempt_on_a_classic_queue() {
    the_third_attempt_sees_the_original("classic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_everything_set_is_the_original_at_each_attempt_on_a_quorum_queue() {
    the_third_attempt_sees_the_original("quorum").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_leave_no_room_for_the_hosts_end_the_message_with_that_reason() {
    let name = unique("headers");
    let retry = "[pipeline.retry]\nrungs = [\"50ms\"]\nmax_attempts = 3";
    let config = echoing(&name, r#"call = "1s""#, retry, "");
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    for (message, kib) in [("fits", 118), ("too-large", 120)] {
        let mut headers = FieldTable::default();
        headers.insert("large".into(), AMQPValue::LongString("h".repeat(kib * KIB).into()));
        let properties = id(message).with_headers(headers);
        traffic.send(&format!("{name}.in"), properties, b"retry").await;
        let letter = traffic.next(&format!("{name}.dead")).await;
        assert_eq!((message_id(&letter).as_str(), death(&letter).as_str()), (message, "rejected"));
        let headers = letter.properties.headers().as_ref().unwrap().inner();
        let Some(AMQPValue::LongString(large)) = headers.get("large") else { panic!("{message}") };
        assert_eq!(large.as_bytes().len(), kib * KIB, "the producer's own is whole");
    }
    let reports = traffic.reports(&format!("{name}.failures")).await;
    assert_eq!(reports["fits"]["attempt"], 3);
    assert_eq!(reports["too-large"]["attempt"], 1);
    let text = reports["too-large"]["text"].as_str().unwrap();
    assert!(text.contains("can't be tried again") && text.contains("frame"), "{text}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_order_holds_over_retries() {
    let name = unique("in-order");
    let pipeline = "key = { header = \"meter\" }\n[pipeline.retry]\nrungs = [\"500ms\"]\n\
                    max_attempts = 3\norder = \"key\"";
    let config = echoing(&name, r#"call = "1s""#, pipeline, "kind = \"quorum\"");
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    for n in 0..20 {
        for key in ["a", "b"] {
            let mut headers = FieldTable::default();
            headers.insert("meter".into(), AMQPValue::LongString(key.into()));
            let late = key == "a" && n % 8 == 2;
            let properties = id(format!("{key}{n:02}")).with_headers(headers);
            let body: &[u8] = if late { b"echo at 2" } else { b"echo" };
            traffic.send(&format!("{name}.in"), properties, body).await;
        }
    }
    let out = format!("{name}.out");
    traffic.await_at_least(&out, 40).await;
    let told: Vec<String> = traffic.take_all(&out).await.iter().map(correlation).collect();
    let of = |key: &str| told.iter().filter(|id| id.starts_with(key)).collect::<Vec<_>>();
    assert!(of("a").is_sorted() && of("b").is_sorted(), "{told:?}");
    assert_eq!((of("a").len(), of("b").len()), (20, 20), "once each: {told:?}");
    let last = |key: &str| told.iter().rposition(|id| id.starts_with(key)).unwrap();
    assert!(last("b") < last("a"), "the other key doesn't wait: {told:?}");
    host.stop();
}

/// The second attempts of many messages, measured: how long after the first each came, beyond the rung.
async fn second_attempts(kind: &str, count: usize, rung_ms: u64) {
    let name = unique(&format!("timing.{kind}"));
    let pipeline = format!(
        "prefetch = 2000\n[pipeline.retry]\nrungs = [\"{rung_ms}ms\"]\nmax_attempts = 2\n\
         trap = {{ max_attempts = 2, rungs = [\"1h\"] }}"
    );
    let queue = format!("kind = \"{kind}\"");
    let config = echoing(&name, r#"call = "5s""#, &pipeline, &queue);
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (input, dead) = (format!("{name}.in"), format!("{name}.dead"));
    // A long rung that is in use holds no short one up.
    traffic.fill(&input, 50, b"trap").await;
    let long =
        topology::delay_queue(&input, topology::DELAY_KIND, std::time::Duration::from_secs(3600));
    traffic.await_at_least(&long, 50).await;
    traffic.fill(&input, count, b"retry").await;
    let short = topology::delay_queue(
        &input,
        topology::DELAY_KIND,
        std::time::Duration::from_millis(rung_ms),
    );
    let waiting = traffic.raw.depth(&short).await;
    traffic.await_at_least(&dead, u32::try_from(count).unwrap()).await;
    traffic.await_at_least(&format!("{name}.failures"), u32::try_from(count).unwrap()).await;
    assert_eq!(traffic.raw.depth(&long).await, 50);
    let reports = traffic.reports(&format!("{name}.failures")).await;
    let mut late_ms = BTreeMap::new();
    for letter in traffic.take_all(&dead).await {
        let headers = letter.properties.headers().as_ref().unwrap().inner().clone();
        let Some(AMQPValue::LongString(first)) = headers.get("sluicegate-text") else {
            panic!("no text of the first failure: {headers:?}")
        };
        let second = &reports[&message_id(&letter)];
        assert_eq!(second["attempt"], 2);
        let waited_us = at_us(second["text"].as_str().unwrap()) - at_us(&first.to_string());
        let late = i64::try_from(waited_us / 1000).unwrap() - i64::try_from(rung_ms).unwrap();
        assert!(late >= 0, "{late} ms early");
        late_ms.insert(message_id(&letter), late);
    }
    assert_eq!(late_ms.len(), count, "each comes back, once");
    let mut sorted: Vec<i64> = late_ms.into_values().collect();
    sorted.sort_unstable();
    let at = |share: usize| sorted[(sorted.len() - 1) * share / 100];
    println!(
        "{kind}: {count} second attempts after {rung_ms} ms, late by {} ms at least, {} half, {} 99 %, \
         {} at most; {waiting} were waiting when the last was published",
        at(0),
        at(50),
        at(99),
        at(100)
    );
    // How late many are is how long the host takes to run them all, on a machine that others use too.
    let patience_ms = 10_000 + 4 * i64::try_from(count).unwrap();
    assert!(at(50) < patience_ms, "half of them are {} ms late", at(50));
    host.stop();
}

/// When the guest says that it ran: attempt, microseconds, and more.
fn at_us(text: &str) -> u64 {
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// How many; `SLUICEGATE_RETRIES` asks for more.
fn count() -> (usize, u64) {
    let asked = std::env::var("SLUICEGATE_RETRIES").ok().and_then(|text| text.parse().ok());
    asked.map_or((500, 1000), |count| (count, 20_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_come_at_the_promised_delay_on_a_classic_queue() {
    let (count, rung_ms) = count();
    second_attempts("classic", count, rung_ms).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_come_at_the_promised_delay_on_a_quorum_queue() {
    let (count, rung_ms) = count();
    second_attempts("quorum", count, rung_ms).await;
}
