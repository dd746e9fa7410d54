//! Exchanges of the four kinds, as the config declares them, on the real broker.

use lapin::types::{AMQPValue, FieldTable};

use super::process::Site;
use super::traffic::{Traffic, broker, correlation, death, id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

fn config(n: &str) -> String {
    let pipeline = |name: &str| {
        format!(
            r#"
[[pipeline]]
name = "{n}.{name}"
queue = "{n}.{name}"
stages = ["hostile"]
outputs.echo = {{ exchange = "{n}.out", routing_key = "{name}" }}
"#
        )
    };
    let queue = |name: &str, bind: &str| {
        let dead = format!("dead_letter = {{ exchange = \"{n}.dead\" }}");
        format!("[[queue]]\nname = \"{n}.{name}\"\n{dead}\nbind = [{{ {bind} }}]\n")
    };
    let mut text = format!(
        r##"{}
[failures]
exchange = "{n}.failures"
[[plugin]]
name = "hostile"
file = "hostile.wasm"
[[exchange]]
name = "{n}.out"
kind = "fanout"
[[queue]]
name = "{n}.sink"
bind = [{{ exchange = "{n}.out" }}]
[[exchange]]
name = "{n}.direct"
kind = "direct"
alternate = "{n}.unrouted"
[[exchange]]
name = "{n}.unrouted"
kind = "fanout"
[[exchange]]
name = "{n}.topic"
kind = "topic"
[[exchange]]
name = "{n}.fanout"
kind = "fanout"
bind = [{{ exchange = "{n}.topic", key = "all.#" }}]
[[exchange]]
name = "{n}.headers"
kind = "headers"
[[exchange]]
name = "{n}.dead"
kind = "topic"
[[queue]]
name = "{n}.letters"
dead_letter = "discard"
bind = [{{ exchange = "{n}.dead", key = "#" }}]
"##,
        broker(node())
    );
    text += &queue("by-key", &format!("exchange = \"{n}.direct\", key = \"k\""));
    text += &queue("by-pattern", &format!("exchange = \"{n}.topic\", key = \"meter.*.fault\""));
    text += &queue("by-fan", &format!("exchange = \"{n}.fanout\""));
    let both = "headers = { region = \"north\", level = 2 }, match = \"all\"";
    text += &queue("by-headers", &format!("exchange = \"{n}.headers\", {both}"));
    text += &queue("by-nobody", &format!("exchange = \"{n}.unrouted\""));
    for name in ["by-key", "by-pattern", "by-fan", "by-headers", "by-nobody", "letters"] {
        text += &pipeline(name);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_exchange_routes_to_its_pipelines_and_a_pipeline_reads_the_dead_letters() {
    let n = unique("kinds");
    let site = Site::new(&config(&n));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let headers = |level: i32| {
        let mut headers = FieldTable::default();
        headers.insert("region".into(), AMQPValue::LongString("north".into()));
        headers.insert("level".into(), AMQPValue::LongInt(level));
        headers
    };
    let with = |name: &str, level| id(name).with_headers(headers(level));
    let (direct, topic) = (format!("{n}.direct"), format!("{n}.topic"));
    traffic.publish(&direct, "k", id("direct"), b"echo").await;
    traffic.publish(&direct, "nobody's", id("alternate"), b"echo").await;
    traffic.publish(&topic, "meter.7.fault", id("topic"), b"echo").await;
    traffic.publish(&topic, "all.of.them", id("exchange"), b"echo").await;
    traffic.publish(&format!("{n}.fanout"), "any", id("fanout"), b"echo").await;
    traffic.publish(&format!("{n}.headers"), "any", with("headers", 2), b"echo").await;
    // It traps, is dead-lettered through the topic exchange, and traps the reader of letters as well.
    traffic.publish(&direct, "k", id("letter"), b"trap").await;
    let sink = format!("{n}.sink");
    traffic.raw.await_depth(&sink, 6).await;
    let mut got: Vec<(String, String)> = traffic
        .take_all(&sink)
        .await
        .iter()
        .map(|out| (correlation(out), String::from_utf8_lossy(&out.data).replace(&n, "")))
        .collect();
    got.sort();
    let expected = [
        ("alternate", ".direct"),
        ("direct", ".direct"),
        ("exchange", ".topic"),
        ("fanout", ".fanout"),
        ("headers", ".headers"),
        ("topic", ".topic"),
    ];
    assert_eq!(got, expected.map(|(id, exchange)| (id.to_owned(), exchange.to_owned())));
    traffic.raw.await_depth(&format!("{n}.failures"), 2).await;
    let reports: Vec<serde_json::Value> = traffic
        .take_all(&format!("{n}.failures"))
        .await
        .iter()
        .map(|report| serde_json::from_slice(&report.data).unwrap())
        .collect();
    let queues: Vec<&str> =
        reports.iter().map(|report| report["queue"].as_str().unwrap()).collect();
    assert_eq!(queues, [format!("{n}.by-key"), format!("{n}.letters")]);
    assert_eq!(reports[1]["exchange"], format!("{n}.dead"));
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_binding_takes_fails_or_is_dropped_as_its_output_says() {
    let n = unique("unbound");
    let config = |unroutable: &str| {
        let text = super::traffic::echoing(&n, "", "", "");
        let text = text.replace(&format!("bind = [{{ exchange = \"{n}.echo\" }}]"), "");
        let output = format!("exchange = \"{n}.echo\"");
        text.replace(
            &format!("outputs.echo = {{ {output} }}"),
            &format!("outputs.echo = {{ {output}, unroutable = \"{unroutable}\" }}"),
        )
    };
    let traffic = Traffic::on(node()).await;
    let (input, dead) = (format!("{n}.in"), format!("{n}.dead"));
    for (word, letters) in [("drop", 0), ("fail", 1)] {
        let site = Site::new(&format!("{}{}", broker(node()), config(word)));
        site.write("hostile.wasm", HOSTILE);
        let host = site.run();
        traffic.send(&input, id(word), b"echo").await;
        super::process::until("it is settled", || {
            host.metric("sluicegate_messages_settled_total", &[]) > 0.5
        });
        traffic.raw.await_depth(&dead, letters).await;
        host.stop();
    }
    let letter = traffic.next(&dead).await;
    assert_eq!(death(&letter), "rejected");
    let report = &traffic.reports(&format!("{n}.failures")).await["fail"];
    assert_eq!((&report["class"], &report["code"]), (&"publish".into(), &"unroutable".into()));
}
