//! RabbitMQ's MQTT plugin → the real binary, on a node of the test's own.

use sluicegate_tests::guests::HOSTILE;

use super::CABINET;
use crate::mosquitto::client::Client;
use crate::mosquitto::wait;
use crate::rabbit::RabbitNode;
use crate::service::process::Site;

#[tokio::test(flavor = "multi_thread")]
async fn topics_come_through_rabbitmqs_plugin_and_go_back() {
    let node = RabbitNode::with_mqtt();
    let config = format!(
        r#"
[broker.main]
url = "{}"
[[plugin]]
name = "hostile"
file = "hostile.wasm"
[[queue]]
name = "in"
kind = "quorum"
bind = [{{ mqtt = "Türkiye/#" }}, {{ mqtt = "meters/+/reading" }}]
dead_letter = {{ queue = "dead" }}
[[queue]]
name = "out"
bind = [{{ exchange = "amq.topic", key = "back.#" }}]
[[pipeline]]
name = "through"
queue = "in"
key = {{ topic_level = 1 }}
stages = ["hostile"]
outputs.echo = {{ exchange = "amq.fanout", unroutable = "drop" }}
"#,
        node.url()
    );
    let site = Site::new(&config);
    site.write("hostile.wasm", HOSTILE);
    let said = site.about(&["check"]);
    let said =
        String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("retained messages, QoS 2 as QoS 1"), "{said}");
    let host = site.run();
    let port = node.mqtt_port();
    wait("the plugin listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut watcher = Client::connect_v3(port, "watcher", ("guest", "guest"));
    watcher.subscribe("Türkiye/#");
    let mut meters = Client::connect_v3(port, "meters", ("guest", "guest"));
    let raw = node.raw().await;
    let declare = lapin::options::QueueBindOptions::default();
    let nothing = lapin::types::FieldTable::default();
    raw.channel
        .queue_bind("out".into(), "amq.fanout".into(), "".into(), declare, nothing)
        .await
        .unwrap();
    meters.publish(CABINET, b"echo");
    meters.publish("meters/M1/reading", b"echo");
    meters.publish("meters/M.2/reading", b"echo");
    meters.publish("meters/elsewhere", b"echo");
    assert_eq!(watcher.receive().topic, CABINET, "what RabbitMQ makes of it comes back the same");
    raw.await_depth("out", 2).await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        keys.push(raw.get("out").await.unwrap().routing_key.to_string());
    }
    keys.sort();
    let cabinet = "Türkiye.Trabzon.Orta Hisar.KTÜ.Kabin1. Nem-Sıcaklık.Nem";
    assert_eq!(keys, [cabinet, "meters.M1.reading"], "a level with a dot is two");
    host.stop();
}
