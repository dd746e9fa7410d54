//! Mosquitto → the real binary → RabbitMQ.

use std::collections::BTreeMap;

use lapin::message::BasicGetMessage;
use serde_json::Value;
use sluicegate_tests::guests::HOSTILE;

use super::CABINET;
use super::books::{Books, Reason};
use crate::mosquitto::Mosquitto;
use crate::rabbit::{Raw, node, unique};
use crate::service::process::{Site, until};

/// A host between that broker and the shared RabbitMQ, with queues of that name.
pub(super) fn site(broker: &Mosquitto, name: &str, queue: &str, pipeline: &str) -> Site {
    let site = Site::new(&config(broker, name, queue, pipeline));
    site.write("hostile.wasm", HOSTILE);
    site
}

pub(super) fn config(broker: &Mosquitto, name: &str, queue: &str, pipeline: &str) -> String {
    format!(
        r#"
[broker.meters]
url = "{}"
max_payload = "64KiB"
[broker.main]
url = "{}"
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "hostile"
file = "hostile.wasm"
breaker = false
[[queue]]
name = "{name}.session"
broker = "meters"
dead_letter = {{ queue = "{name}.dead" }}
{queue}
[[exchange]]
name = "{name}.echo"
broker = "main"
kind = "fanout"
[[queue]]
name = "{name}.out"
broker = "main"
bind = [{{ exchange = "{name}.echo" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.session"
stages = ["hostile"]
outputs.echo = {{ exchange = "{name}.echo" }}
{pipeline}
"#,
        broker.url(),
        node().url()
    )
}

/// Another site's config with that host's will and client id.
fn sharing(broker: &Mosquitto, name: &str, host: &str) -> Site {
    let queue =
        format!("client_id = \"{name}-{host}\"\nbind = [{{ mqtt = \"$share/hosts/load/+\" }}]");
    let will = format!(
        "max_payload = \"64KiB\"\nwill = {{ topic = \"hosts/{host}\", payload = \"gone\", retain = true }}"
    );
    let config = config(broker, name, &queue, "prefetch = 50");
    let site = Site::new(&config.replace("max_payload = \"64KiB\"", &will));
    site.write("hostile.wasm", HOSTILE);
    site
}

/// Each topic in a queue, with how often it is there; waits until there are that many topics.
async fn topics(raw: &Raw, queue: &str, count: usize) -> BTreeMap<String, usize> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let patience = std::time::Duration::from_secs(60);
    let mut last = tokio::time::Instant::now();
    while seen.len() < count || raw.depth(queue).await > 0 {
        if let Some(message) = raw.get(queue).await {
            *seen.entry(header(&message, "mqtt-topic")).or_default() += 1;
            last = tokio::time::Instant::now();
        }
        assert!(last.elapsed() < patience, "{} of {count} in {queue}", seen.len());
    }
    seen
}

pub(super) fn header(message: &BasicGetMessage, name: &str) -> String {
    let headers = message.properties.headers().as_ref().expect("it has headers");
    match headers.inner().get(name) {
        Some(lapin::types::AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_by_mqtt_comes_out_of_rabbitmq() {
    let broker = Mosquitto::start();
    let name = unique("mqtt.through");
    let queue = "bind = [{ mqtt = \"Türkiye/#\" }, { mqtt = \"load/+\" }]";
    let pipeline = "key = { topic_level = 1 }";
    let site = site(&broker, &name, queue, pipeline);
    let host = site.run();
    let raw = node().raw().await;
    let mut meters = broker.client("meters");
    meters.publish(CABINET, b"echo");
    let out = format!("{name}.out");
    raw.await_depth(&out, 1).await;
    let message = raw.get(&out).await.unwrap();
    assert_eq!(
        message.routing_key.as_str(),
        "Türkiye.Trabzon.Orta Hisar.KTÜ.Kabin1. Nem-Sıcaklık.Nem"
    );
    assert_eq!(header(&message, "mqtt-topic"), CABINET);

    // What fails is dead-lettered by a confirmed copy, what is too large too, and both are told.
    meters.publish("load/bad", b"panic");
    meters.publish("load/large", &vec![b'x'; 100_000]);
    let dead = format!("{name}.dead");
    raw.await_depth(&dead, 2).await;
    let mut letters: Vec<_> = [raw.get(&dead).await.unwrap(), raw.get(&dead).await.unwrap()]
        .iter()
        .map(|it| (header(it, "mqtt-topic"), header(it, "sluicegate-code")))
        .collect();
    letters.sort();
    let expected = [("load/bad", "trap"), ("load/large", "payload_too_large")]
        .map(|(t, c)| (t.into(), c.into()));
    assert_eq!(letters, expected);
    let failures = format!("{name}.failures");
    raw.await_depth(&failures, 2).await;
    let report: Value = serde_json::from_slice(&raw.get(&failures).await.unwrap().data).unwrap();
    assert_eq!(report["queue"], format!("{name}.session"));

    let status = site.tell(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    println!("{status:#}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_brokers_that_are_killed_lose_nothing_and_what_comes_twice_has_a_reason() {
    let mut broker = Mosquitto::talkative();
    let name = unique("mqtt.killed");
    let site = site(&broker, &name, "bind = [{ mqtt = \"load/+\" }]", "prefetch = 100");
    let host = site.run();
    let raw = node().raw().await;
    // As many as one likes: SLUICEGATE_MQTT_MESSAGES=100000.
    let asked = std::env::var("SLUICEGATE_MQTT_MESSAGES").ok().and_then(|it| it.parse().ok());
    let count: usize = asked.unwrap_or(3000);
    let sixth = count / 6;
    let numbered =
        |from: usize, to: usize| (from..to).map(|n| (format!("load/{n}"), b"slow".to_vec()));
    let mut meters = broker.client("meters");
    meters.publish_all(numbered(0, 2 * sixth));
    host.kill9();
    meters.publish_all(numbered(2 * sixth, 4 * sixth));
    let host = site.run();
    meters.publish_all(numbered(4 * sixth, 5 * sixth));
    broker.kill9();
    host.await_unready("broker 'meters'");
    broker.restart();
    host.await_ready();
    broker.client("meters").publish_all(numbered(5 * sixth, count));
    let seen = topics(&raw, &format!("{name}.out"), count).await;
    assert_eq!(seen.len(), count);
    let books = Books::of(&name, &broker.log());
    let session = format!("{name}.session");
    let reasons = seen.iter().filter(|(_, count)| **count > 1).map(|(topic, count)| {
        let again = books.again(&session, topic);
        let reasoned = again.iter().filter(|reason| **reason != Reason::None).count();
        assert!(reasoned >= count - 1, "{topic} came {count} times, sent again: {again:?}");
        (topic, again)
    });
    let of: Vec<(&String, Vec<Reason>)> = reasons.collect();
    let because = |reason| of.iter().filter(|(_, again)| again.contains(&reason)).count();
    let (unacknowledged, forgotten) = (because(Reason::Unacknowledged), because(Reason::Forgotten));
    let (sent, marked) = books.counts();
    println!(
        "{} of {count} came twice: {unacknowledged} had nobody acknowledged, {forgotten} the broker \
         forgot; it sent {sent}, {marked} marked as sent before",
        of.len()
    );
    assert_eq!(raw.depth(&format!("{name}.dead")).await, 0);
    until("all is acknowledged", || host.metric("sluicegate_in_flight", &[&name]) < 0.5);
    host.stop();
}

/// Mosquitto writes its store now and then: what was acknowledged since, it has forgotten when it loses power.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_forgot_comes_twice_unless_its_id_is_known() {
    let mut broker =
        Mosquitto::with("allow_anonymous true\nlog_type all\nautosave_interval 3600\n");
    let name = unique("mqtt.forgotten");
    let site = site(&broker, &name, "bind = [{ mqtt = \"load/+\" }]", "");
    site.run().stop();
    let mut meters = broker.client("meters");
    for n in 0..200 {
        let (topic, id) = (format!("load/{n}"), n.to_string());
        let user = [("message-id", id.as_str())];
        meters.publish_with(&topic, b"echo", if n < 100 { &[] } else { &user });
    }
    // Its store says that all of it is to be sent, and won't say anything else.
    broker.write();
    let host = site.run();
    let settled = |count: f64| {
        host.metric("sluicegate_messages_received_total", &[&name]) >= count
            && host.metric("sluicegate_in_flight", &[&name]) < 0.5
    };
    until("all is settled", || settled(200.0));
    until("the broker knows", || broker.log().matches("Received PUBACK").count() >= 200);
    broker.lose_power();
    host.await_unready("broker 'meters'");
    broker.restart();
    host.await_ready();
    until("all is settled again", || settled(400.0));
    let raw = node().raw().await;
    let seen = topics(&raw, &format!("{name}.out"), 200).await;
    let books = Books::of(&name, &broker.log());
    for n in 0..200 {
        let topic = format!("load/{n}");
        assert_eq!(books.again(&format!("{name}.session"), &topic), [Reason::Forgotten]);
        assert_eq!(seen[&topic], if n < 100 { 2 } else { 1 }, "{topic}");
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_share_a_subscription_and_the_will_of_one_that_dies_is_published() {
    let broker = Mosquitto::start();
    let name = unique("mqtt.shared");
    let sites = ["one", "two"].map(|host| sharing(&broker, &name, host));
    let [one, two] = [sites[0].run(), sites[1].run()];
    let raw = node().raw().await;
    let mut meters = broker.client("meters");
    meters.publish_all((0..400).map(|n| (format!("load/{n}"), b"slow".to_vec())));
    let out = format!("{name}.out");
    let seen = topics(&raw, &out, 400).await;
    assert!(seen.values().all(|count| *count == 1), "each goes to one of them");
    let of = |host: &crate::service::process::Host| {
        host.metric("sluicegate_messages_received_total", &[&name])
    };
    assert!(of(&one) > 0.0 && of(&two) > 0.0, "both: {} {}", of(&one), of(&two));

    let mut watcher = broker.client("watcher");
    watcher.subscribe("hosts/+");
    one.kill9();
    let will = watcher.receive();
    assert_eq!((will.topic.as_str(), will.payload.as_slice()), ("hosts/one", &b"gone"[..]));
    two.stop();
    let mut later = broker.client("later");
    later.retain("hosts/end", b"");
    later.subscribe("hosts/+");
    assert!(later.receive().retained, "the will of the one that died, and none of the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_in_any_script_goes_there_and_back() {
    let broker = Mosquitto::start();
    let name = unique("mqtt.back");
    let site = site(&broker, &name, "bind = [{ mqtt = \"Türkiye/#\" }]", "");
    // Out of RabbitMQ again, to the broker that it came from.
    let text = std::fs::read_to_string(site.path("sluicegate.toml")).unwrap();
    let back = format!(
        r#"
[[exchange]]
name = "{name}.return"
broker = "main"
kind = "topic"
[[queue]]
name = "{name}.back"
broker = "main"
bind = [{{ exchange = "{name}.return", key = "\#" }}]
dead_letter = "discard"
[[pipeline]]
name = "{name}.back"
queue = "{name}.back"
stages = ["hostile"]
outputs.echo = {{ broker = "meters", exchange = "" }}
[service]"#
    )
    .replace('\\', "");
    site.write("sluicegate.toml", text.replace("[service]", &back).as_bytes());
    let mut watcher = broker.client("watcher");
    watcher.subscribe("Türkiye/#");
    let host = site.run();
    let mut meters = broker.client("meters");
    meters.publish(CABINET, b"echo");
    assert_eq!(watcher.receive().topic, CABINET);
    let out = format!("{name}.out");
    let raw = node().raw().await;
    raw.await_depth(&out, 1).await;
    let came = raw.get(&out).await.unwrap();
    let (exchange, key) = (format!("{name}.return"), came.routing_key.clone());
    let options = lapin::options::BasicPublishOptions::default();
    let properties = came.properties.clone();
    let sent = raw.channel.basic_publish(exchange.into(), key, options, b"echo", properties);
    sent.await.unwrap();
    assert_eq!(watcher.receive().topic, CABINET);
    host.kill9();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_in_the_docs_does_what_it_says() {
    let broker = Mosquitto::start();
    let page = include_str!("../../../docs/mqtt.md");
    let block = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let config = block
        .replace("mqtt://127.0.0.1:1883", &broker.url())
        .replace("amqp://127.0.0.1:5672/%2f", &node().url())
        .replace("will =", "#will =");
    let site = Site::new(&config);
    let host = site.run();
    let raw = node().raw().await;
    let mut meters = broker.client("meters");
    let reading = br#"{"meter":"M-0001","ts":"2026-01-01T00:00:00Z","kwh":0.25}"#;
    meters.publish("meters/M-0001/reading", reading);
    let refused = async || {
        let letter = raw.get("field.dead").await;
        letter.map(|it| header(&it, "sluicegate-text"))
    };
    while raw.depth("billing").await == 0 {
        assert_eq!(refused().await, None, "it is a good reading");
    }
    let message = raw.get("billing").await.unwrap();
    assert_eq!(header(&message, "mqtt-topic"), "meters/M-0001/reading");
    meters.publish("meters/M-0001/reading", br#"{"meter":"M-0001","kwh":-1}"#);
    raw.await_depth("field.dead", 1).await;
    host.stop();
}
