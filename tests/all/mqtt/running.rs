//! A host that is running: what it says of its sessions, what another config does to them, and retries.

use std::time::Duration;

use serde_json::Value;
use sluicegate_tests::guests::HOSTILE;

use super::hosts::{config, header, site};
use crate::mosquitto::Mosquitto;
use crate::rabbit::{Raw, node, unique};
use crate::service::process::{Site, until};

fn status(site: &Site) -> Value {
    let told = site.tell(&["status", "--json"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

fn named<'s>(list: &'s Value, name: &str) -> &'s Value {
    let list = list.as_array().unwrap();
    list.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name} in {list:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_in_status_and_metrics_and_so_is_its_broker_while_it_is_gone() {
    let mut broker = Mosquitto::start();
    let name = unique("mqtt.status");
    let site = site(&broker, &name, "bind = [{ mqtt = \"load/+\" }]", "");
    let host = site.run();
    let raw = node().raw().await;
    let mut meters = broker.client("meters");
    meters.publish_all((0..5).map(|n| (format!("load/{n}"), b"echo".to_vec())));
    raw.await_depth(&format!("{name}.out"), 5).await;
    let told = status(&site);
    let field = named(&told["brokers"], "meters");
    assert_eq!((&field["kind"], &field["connected"]), (&"mqtt".into(), &true.into()), "{told}");
    assert_eq!(field["server"], "MQTT 5.0.0");
    let pipeline = named(&told["pipelines"], &name);
    assert_eq!(pipeline["queue"], format!("{name}.session"));
    assert_eq!(pipeline["state"], "running");
    until("all is settled", || host.metric("sluicegate_in_flight", &[&name]) < 0.5);
    let count = |name: &str, parts: &[&str]| host.metric(name, parts);
    assert_eq!(count("sluicegate_messages_received_total", &[&name]), 5.0);
    let connected = || count("sluicegate_broker_connected", &["broker=\"meters\""]);
    assert_eq!(connected(), 1.0);

    broker.kill9();
    host.await_unready("broker 'meters'");
    assert_eq!(connected(), 0.0);
    let told = status(&site);
    let field = named(&told["brokers"], "meters");
    assert_eq!(field["connected"], false);
    assert!(field["error"].as_str().is_some_and(|why| why.contains("127.0.0.1")), "{field}");
    assert_ne!(named(&told["pipelines"], &name)["state"], "running");
    broker.restart();
    host.await_ready();
    assert_eq!(connected(), 1.0);
    assert!(count("sluicegate_broker_reconnects_total", &["broker=\"meters\""]) >= 1.0);
    host.stop();
}

/// Another session and pipeline for the same site.
fn second(name: &str) -> String {
    format!(
        r#"
[[queue]]
name = "{name}.second"
broker = "meters"
bind = [{{ mqtt = "second/+" }}]
dead_letter = {{ queue = "{name}.dead" }}
[[pipeline]]
name = "{name}.second"
queue = "{name}.second"
stages = ["hostile"]
outputs.echo = {{ exchange = "{name}.echo" }}
"#
    )
}

/// The topics of what is in that queue, once there are so many.
async fn topics(raw: &Raw, queue: &str, count: u32) -> Vec<String> {
    raw.await_depth(queue, count).await;
    let mut all = Vec::new();
    while let Some(message) = raw.get(queue).await {
        all.push(header(&message, "mqtt-topic"));
    }
    all.sort();
    all
}

fn reload(site: &Site, config: &str) {
    site.configure(config, "");
    let told = site.tell(&["reload"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_come_and_go_and_change_their_filters_with_the_config() {
    let broker = Mosquitto::start();
    let name = unique("mqtt.reloaded");
    let with = |filters: &str| config(&broker, &name, &format!("bind = [{filters}]"), "");
    let first = with("{ mqtt = \"a/+\" }, { mqtt = \"b/+\" }");
    let site = Site::new(&first);
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let raw = node().raw().await;
    let mut meters = broker.client("meters");
    let out = format!("{name}.out");
    let mut publish = |topics: &[&str]| {
        topics.iter().for_each(|topic| meters.publish(topic, b"echo"));
    };

    reload(&site, &(first.clone() + &second(&name)));
    host.await_ready();
    publish(&["a/1", "second/1"]);
    assert_eq!(topics(&raw, &out, 2).await, ["a/1", "second/1"], "one is added, one goes on");

    // A filter goes, another comes; and nothing that is published meanwhile is lost.
    publish(&["b/2"]);
    reload(&site, &(with("{ mqtt = \"a/+\" }, { mqtt = \"c/+\" }") + &second(&name)));
    host.await_ready();
    publish(&["a/3", "b/3", "c/3", "second/3"]);
    assert_eq!(topics(&raw, &out, 4).await, ["a/3", "b/2", "c/3", "second/3"]);

    // What is taken out of the config stays on the broker, as a queue would, until it expires.
    let without = with("{ mqtt = \"a/+\" }, { mqtt = \"c/+\" }");
    reload(&site, &without);
    publish(&["second/4", "c/4"]);
    assert_eq!(topics(&raw, &out, 1).await, ["c/4"]);
    reload(&site, &(without + &second(&name)));
    assert_eq!(topics(&raw, &out, 1).await, ["second/4"]);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_message_waits_here_with_its_key_and_its_acknowledgement() {
    let mut broker = Mosquitto::start();
    let name = unique("mqtt.retried");
    let pipeline = "key = { topic_level = 1 }\n\
                    retry = { order = \"key\", max_attempts = 3, rungs = [\"200ms\"] }";
    let site = site(&broker, &name, "bind = [{ mqtt = \"load/+\" }]", pipeline);
    let host = site.run();
    let raw = node().raw().await;
    let mut meters = broker.client("meters");
    meters.publish("load/a", b"echo at 3");
    meters.publish("load/b", b"echo");
    meters.publish("load/c", b"retry");
    assert_eq!(topics(&raw, &format!("{name}.out"), 2).await, ["load/a", "load/b"]);
    let dead = format!("{name}.dead");
    raw.await_depth(&dead, 1).await;
    let letter = raw.get(&dead).await.unwrap();
    assert_eq!(header(&letter, "mqtt-topic"), "load/c");
    let report: Value =
        serde_json::from_slice(&raw.get(&format!("{name}.failures")).await.unwrap().data).unwrap();
    assert_eq!(report["attempt"], 3, "{report}");
    until("all is acknowledged", || host.metric("sluicegate_in_flight", &[&name]) < 0.5);

    // One that waits when its host dies comes again, to the next one.
    meters.publish("load/d", b"echo at 2");
    let waits = || host.log().matches("message failed").count() >= 6;
    until("it failed once", waits);
    host.kill9();
    broker.kill9();
    broker.restart();
    let host = site.run();
    assert_eq!(topics(&raw, &format!("{name}.out"), 1).await, ["load/d"]);
    host.stop();
}

/// Without a key to wait with, and without an order to keep, there is nowhere to wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_wait_is_dead_lettered_and_says_so() {
    let broker = Mosquitto::start();
    let name = unique("mqtt.keyless");
    let pipeline = "key = { topic_level = 5 }\n\
                    retry = { order = \"key\", max_attempts = 3, rungs = [\"200ms\"] }";
    let site = site(&broker, &name, "bind = [{ mqtt = \"load/+\" }]", pipeline);
    let host = site.run();
    let raw = node().raw().await;
    broker.client("meters").publish("load/a", b"retry");
    let dead = format!("{name}.dead");
    raw.await_depth(&dead, 1).await;
    let text = header(&raw.get(&dead).await.unwrap(), "sluicegate-text");
    assert!(text.contains("no queue where it could wait"), "{text}");
    host.stop();
}

/// The publisher's connection is idle for longer than its keep-alive, and isn't the broker's to close.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_publisher_keeps_its_connection() {
    use sluicegate::broker::{Broker as _, Published};
    let broker = Mosquitto::talkative();
    let mut settings = super::settings(&broker, sluicegate::config::MqttVersion::V5);
    settings.keep_alive = Duration::from_secs(1);
    let host = super::host(settings);
    let mut publisher = host.publisher().await.unwrap();
    let message = super::outgoing("a", "b");
    let outcome = publisher.publish(std::slice::from_ref(&message)).await;
    assert_eq!(outcome, [Published::Unroutable]);
    until("it gives signs of life", || broker.log().matches("Received PINGREQ").count() >= 2);
    assert!(host.link().publish);
    let outcome = publisher.publish(&[message]).await;
    assert_eq!(outcome, [Published::Unroutable]);
    assert_eq!(broker.log().matches("New client connected").count(), 1, "one connection");
}
