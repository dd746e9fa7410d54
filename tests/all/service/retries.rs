//! The retry ladder.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::process::Site;
use super::traffic::{Traffic, broker, death, echoing, id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

async fn comes_back_on_every_rung(kind: &str) {
    let name = unique(&format!("ladder.{kind}"));
    let pipeline = "[pipeline.retry]\nrungs = [\"200ms\", \"1s\"]\nmax_attempts = 4";
    let queue = format!("kind = \"{kind}\"\nbind = [{{ exchange = \"{name}.x\", key = \"a.#\" }}]");
    let config = format!(
        "{}{}[[exchange]]\nname = \"{name}.x\"\nkind = \"topic\"\n",
        broker(node()),
        echoing(&name, r#"call = "1s""#, pipeline, &queue)
    );
    let site = Site::new(&config);
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let mut headers = FieldTable::default();
    headers.insert("region".into(), AMQPValue::LongString("north".into()));
    headers.insert("level".into(), AMQPValue::LongInt(-3));
    headers.insert("x-death".into(), AMQPValue::LongString("not a death".into()));
    headers.insert("sluicegate-attempt".into(), AMQPValue::LongInt(99));
    let properties = id("m-1").with_headers(headers).with_priority(3).with_timestamp(1_700_000_000);
    let properties = properties.with_expiration("600000".into()).with_type("fault".into());
    traffic.publish(&format!("{name}.x"), "a.b.c", properties, b"retry").await;
    let letter = traffic.next(&format!("{name}.dead")).await;
    assert_eq!(death(&letter), "rejected");
    let report = &traffic.reports(&format!("{name}.failures")).await["m-1"];
    assert_eq!((&report["class"], &report["attempt"]), (&"retry".into(), &4.into()));
    assert_eq!(
        (&report["exchange"], &report["routing_key"]),
        (&format!("{name}.x").into(), &"a.b.c".into())
    );

    let log = host.log();
    let attempts: Vec<Vec<&str>> = log
        .lines()
        .filter(|line| line.contains("message failed"))
        .filter_map(|line| line.split("text=\"").nth(1)?.split('"').next())
        .map(|text| text.split(' ').collect())
        .collect();
    assert_eq!(attempts.len(), 4, "{log}");
    let exchange = format!("{name}.x");
    let mut times = Vec::new();
    for (n, seen) in attempts.iter().enumerate() {
        let [attempt, now_us, from, key, properties] = seen[..] else { panic!("{seen:?}") };
        assert_eq!((attempt, from, key), ((n + 1).to_string().as_str(), &*exchange, "a.b.c"));
        // Byte for byte what the producer set, at each attempt.
        assert_eq!(properties, attempts[0][4], "attempt {attempt}");
        times.push(now_us.parse::<u64>().unwrap());
    }
    assert!(
        attempts[0][4].contains(&hex("region")) && !attempts[0][4].contains(&hex("sluicegate-"))
    );
    let waits: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
    for (waited, rung) in waits.iter().zip([200, 1000, 1000]) {
        assert!((rung..rung + 10_000).contains(waited), "{waits:?} ms");
    }
    host.stop();
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_message_of_a_classic_queue_comes_back_as_it_was_until_it_is_given_up() {
    comes_back_on_every_rung("classic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_message_of_a_quorum_queue_comes_back_as_it_was_until_it_is_given_up() {
    comes_back_on_every_rung("quorum").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_any_properties_is_retried_as_well() {
    let name = unique("bare");
    let pipeline = "[pipeline.retry]\nrungs = [\"50ms\"]\nmax_attempts = 2";
    let site =
        Site::new(&format!("{}{}", broker(node()), echoing(&name, r#"call = "1s""#, pipeline, "")));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.send(&format!("{name}.in"), BasicProperties::default(), b"retry").await;
    let letter = traffic.next(&format!("{name}.dead")).await;
    assert_eq!((&*letter.data, death(&letter)), (&b"retry"[..], "rejected".to_owned()));
    host.stop();
}
