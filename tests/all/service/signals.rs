//! Being told what to do: signals, and verbs over the control socket.

use serde_json::Value;

use super::process::Site;
use super::traffic::{Traffic, broker, echoing, id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

fn site(name: &str, limits: &str, service: &str) -> Site {
    let config = format!("{}{}", broker(node()), echoing(name, limits, "", ""));
    at(&config, service)
}

/// A site whose outputs are soon refused: their queue is full after one.
fn stuck(name: &str, service: &str) -> Site {
    let config = echoing(name, r#"call = "5s""#, "", "");
    let out = format!("name = \"{name}.out\"\n");
    let full = format!("{out}max_length = 1\noverflow = \"reject-publish\"\n");
    at(&format!("{}{}", broker(node()), config.replace(&out, &full)), service)
}

fn at(config: &str, service: &str) -> Site {
    let site = Site::with(config, service);
    site.write("hostile.wasm", HOSTILE);
    site
}

/// What isn't out is back in the queue, of 20.
async fn all_are_back(traffic: &Traffic, name: &str) {
    let out = traffic.raw.depth(&format!("{name}.out")).await;
    assert!((1..20).contains(&out), "{out}");
    traffic.await_at_least(&format!("{name}.in"), 20 - out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_in_hand_and_leaves_nothing_unacked() {
    let name = unique("drained");
    let config = echoing(&name, r#"call = "5s""#, "prefetch = 16", "");
    let site = at(&format!("{}{config}", broker(node())), "");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), 2000, b"slow").await;
    traffic.await_at_least(&format!("{name}.out"), 1).await;
    host.stop();
    let left = traffic.raw.depth(&format!("{name}.in")).await as usize;
    let out = traffic.inputs(&format!("{name}.out")).await;
    assert!(out.values().all(|times| *times == 1));
    assert_eq!(out.len() + left, 2000);
    // What was on its way when the consumer was cancelled goes back; nothing that had been taken does.
    let rest = traffic.take_all(&format!("{name}.in")).await;
    let given_back = rest.iter().filter(|message| message.redelivered).count();
    assert!(given_back <= 16, "{given_back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cant_be_finished_in_time_is_back_in_its_queue_and_the_exit_code_says_so() {
    let name = unique("unpublishable");
    let site = stuck(&name, r#"drain = "1s""#);
    let mut host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), 20, b"echo").await;
    host.await_unready("is held up");
    host.signal("TERM");
    assert_eq!(host.end(), 3, "{}", host.log());
    all_are_back(&traffic, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_drain_at_once() {
    let name = unique("twice");
    let site = stuck(&name, r#"drain = "1h""#);
    let mut host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), 20, b"echo").await;
    host.await_unready("is held up");
    host.signal("TERM");
    host.said("draining");
    host.await_unready("is draining");
    host.signal("TERM");
    assert_eq!(host.end(), 3, "{}", host.log());
    all_are_back(&traffic, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_loops_within_its_limit_doesnt_hold_up_a_drain() {
    let name = unique("looping");
    let site = site(&name, r#"call = "10m""#, r#"drain = "1s""#);
    let mut host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.send(&format!("{name}.in"), id("endless"), b"loop").await;
    traffic.raw.await_depth(&format!("{name}.in"), 0).await;
    host.signal("TERM");
    assert_eq!(host.end(), 3, "{}", host.log());
    traffic.raw.await_depth(&format!("{name}.in"), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_show_pause_resume_and_drain_a_running_host() {
    let name = unique("told");
    let site = site(&name, r#"call = "1s""#, "");
    let mut host = site.run();
    let traffic = Traffic::on(node()).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    traffic.send(&input, id("first"), b"echo").await;
    traffic.raw.await_depth(&out, 1).await;
    let status = || -> Value {
        let said = site.tell(&["status", "--json"]);
        assert!(said.status.success(), "{said:?}");
        serde_json::from_slice(&said.stdout).unwrap()
    };
    let now = status();
    assert_eq!(now["readiness"]["ready"], true, "{now:#}");
    assert!(now["brokers"][0]["server"].as_str().unwrap().starts_with("RabbitMQ"), "{now:#}");
    assert_eq!(now["pipelines"][0]["queue"], input, "{now:#}");
    assert_eq!(now["plugins"][0]["name"], "hostile");
    // A page of WebAssembly at the least.
    assert!(now["plugins"][0]["memory_bytes"].as_u64().unwrap() >= 65_536, "{now:#}");

    assert!(site.tell(&["pause", &name]).status.success());
    host.await_unready("is paused");
    traffic.send(&input, id("second"), b"echo").await;
    assert_eq!(traffic.raw.depth(&input).await, 1);
    assert!(site.tell(&["resume", &name]).status.success());
    traffic.raw.await_depth(&out, 2).await;
    host.await_ready();

    let unknown = site.tell(&["pause", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains(&name), "{unknown:?}");
    assert!(site.tell(&["drain"]).status.success());
    assert_eq!(host.end(), 0);
    let gone = site.tell(&["status"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("control.sock"), "{gone:?}");
}
