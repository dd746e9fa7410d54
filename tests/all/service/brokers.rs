//! Several brokers, several hosts.

use super::process::{Site, until};
use super::traffic::{Traffic, broker, correlation, echoing, id};
use crate::rabbit::{RabbitNode, node, unique};
use sluicegate_tests::guests::HOSTILE;

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_on_one_broker_publishes_to_another() {
    let name = unique("across");
    let other = RabbitNode::start_fresh();
    let config = format!(
        r#"{}
[broker.far]
url = "{}"
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "hostile"
file = "hostile.wasm"
[[queue]]
name = "{name}.in"
broker = "main"
dead_letter = {{ queue = "{name}.dead" }}
[[exchange]]
name = "{name}.x"
broker = "far"
kind = "direct"
[[queue]]
name = "{name}.out"
broker = "far"
bind = [{{ exchange = "{name}.x", key = "k" }}, {{ exchange = "{name}.x", key = "{name}.in" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.in"
stages = ["hostile"]
outputs.echo = {{ exchange = "{name}.x", routing_key = "k", broker = "far" }}
"#,
        broker(node()),
        other.url()
    );
    let site = Site::new(&config);
    site.write("hostile.wasm", HOSTILE);
    let mut host = site.run();
    let (near, far) = (Traffic::on(node()).await, Traffic::on(&other).await);
    // The guest names the input's routing key, so the output is bound by that as well: by the host, which
    // binds it again where a killed broker hadn't written it down.
    let queue = format!("{name}.out");
    near.send(&format!("{name}.in"), id("first"), b"echo").await;
    assert_eq!(correlation(&far.next(&queue).await), "first");
    // Nowhere to publish to: nothing is acked, nothing fails, and the host says which broker it is.
    other.kill9();
    host.await_unready("broker 'far'");
    near.send(&format!("{name}.in"), id("second"), b"echo").await;
    other.restart();
    host.await_ready();
    let far = Traffic::on(&other).await;
    // What was taken just before the kill may be there again.
    while correlation(&far.next(&queue).await) != "second" {}
    assert_eq!(near.raw.depth(&format!("{name}.dead")).await, 0);
    host.signal("INT");
    assert_eq!(host.end(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_on_an_exclusive_pipeline_says_so_and_takes_over() {
    let name = unique("alone");
    let config = format!(
        "{}{}",
        broker(node()),
        echoing(&name, r#"call = "1s""#, "exclusive = true\nkey = { header = \"meter-id\" }", "")
    );
    let (one, two) = (Site::new(&config), Site::new(&config));
    for site in [&one, &two] {
        site.write("hostile.wasm", HOSTILE);
    }
    let first = one.run();
    let second = two.start();
    let reasons = second.await_unready("exclusive");
    assert!(reasons.contains(&format!("{name}.in")), "{reasons}");
    assert_eq!(second.get("/live").0, 200);
    let traffic = Traffic::on(node()).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    traffic.send(&input, id("first"), b"echo").await;
    traffic.raw.await_depth(&out, 1).await;
    first.stop();
    second.await_ready();
    traffic.send(&input, id("second"), b"echo").await;
    traffic.raw.await_depth(&out, 2).await;
    until("one was the second's", || {
        second.metric("sluicegate_messages_received_total", &[]) > 0.5
    });
    second.stop();
}
