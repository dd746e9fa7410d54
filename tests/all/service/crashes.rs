//! Sudden ends, of the host and of its broker.

use std::collections::BTreeSet;

use super::process::{Site, until};
use super::traffic::{Traffic, broker, correlation, echoing, id};
use crate::rabbit::{RabbitNode, disturbed, node, unique};
use sluicegate_tests::guests::HOSTILE;

const COUNT: usize = 2000;

fn slow(name: &str, node: &RabbitNode, kind: &str) -> Site {
    let pipeline = "batch = { messages = 16 }\nprefetch = 200";
    let queue = format!("kind = \"{kind}\"");
    let config = echoing(name, r#"call = "5s""#, pipeline, &queue);
    let site = Site::new(&format!("{}{config}", broker(node)));
    site.write("hostile.wasm", HOSTILE);
    site
}

/// Every message comes out, and none is dead-lettered.
async fn none_is_lost(traffic: &Traffic, name: &str) {
    let mut missing: BTreeSet<String> = (0..COUNT).map(|n| n.to_string()).collect();
    let out = format!("{name}.out");
    while !missing.is_empty() {
        missing.remove(&correlation(&traffic.next(&out).await));
    }
    assert_eq!(traffic.raw.depth(&format!("{name}.dead")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_under_load_loses_nothing() {
    let name = unique("killed");
    let site = slow(&name, node(), "quorum");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), COUNT, b"slow").await;
    for _ in 0..2 {
        let out = format!("{name}.out");
        let depth = traffic.raw.depth(&out).await;
        traffic.await_at_least(&out, depth + 100).await;
    }
    host.kill9();
    assert!(traffic.await_at_least(&format!("{name}.in"), 1).await > 0, "nothing was in hand");
    let host = site.run();
    none_is_lost(&traffic, &name).await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_waits_for_a_broker_that_is_down_and_outlives_one_that_is_killed() {
    let name = unique("outage");
    let node = RabbitNode::start_fresh();
    let site = slow(&name, &node, "classic");
    node.stop();
    let host = site.start();
    let reasons = host.await_unready("broker 'main': broker unreachable");
    assert!(!reasons.contains("guest:guest"), "{reasons}");
    assert_eq!(host.get("/live").0, 200);
    node.restart();
    host.await_ready();

    let traffic = Traffic::on(&node).await;
    traffic.fill(&format!("{name}.in"), COUNT, b"slow").await;
    traffic.await_at_least(&format!("{name}.out"), 100).await;
    node.kill9();
    host.await_unready("broker 'main'");
    assert_eq!(host.get("/live").0, 200);
    node.restart();
    host.await_ready();
    let traffic = Traffic::on(&node).await;
    none_is_lost(&traffic, &name).await;

    // The queue goes under its consumer: it is declared again.
    let delete = lapin::options::QueueDeleteOptions::default();
    traffic.raw.channel.queue_delete(format!("{name}.in").into(), delete).await.unwrap();
    host.said("consumer cancelled");
    host.await_ready();
    traffic.send(&format!("{name}.in"), id("after"), b"echo").await;
    while correlation(&traffic.next(&format!("{name}.out")).await) != "after" {}
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_deleted_is_declared_again_and_nothing_is_lost() {
    let name = unique("healed");
    let site = slow(&name, node(), "quorum");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let delete = lapin::options::ExchangeDeleteOptions::default();
    traffic.raw.channel.exchange_delete(format!("{name}.echo").into(), delete).await.unwrap();
    traffic.fill(&format!("{name}.in"), 20, b"echo").await;
    let out = format!("{name}.out");
    traffic.raw.await_depth(&out, 20).await;
    host.await_ready();
    host.stop();
    assert_eq!(traffic.inputs(&out).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_the_broker_is_told_by_readiness_and_metrics_until_it_is_over() {
    let name = unique("alarm");
    let node = disturbed().await;
    let site = slow(&name, &node, "classic");
    let host = site.run();
    let traffic = Traffic::on(&node).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    traffic.send(&input, id("first"), b"echo").await;
    traffic.raw.await_depth(&out, 1).await;
    assert!(site.tell(&["pause", &name]).status.success());
    traffic.send(&input, id("second"), b"echo").await;
    node.ctl_alongside(&["set_vm_memory_high_watermark", "absolute", "1"]).await;
    assert!(site.tell(&["resume", &name]).status.success());
    // That it is blocked is known a moment before why.
    let reasons = host.await_unready("memory");
    assert!(reasons.contains("takes no publishes"), "{reasons}");
    until("the metric shows it", || host.metric("sluicegate_broker_blocked", &["main"]) > 0.5);
    node.ctl_alongside(&["set_vm_memory_high_watermark", "0.8"]).await;
    host.await_ready();
    traffic.raw.await_depth(&out, 2).await;
    until("and that it is over", || host.metric("sluicegate_broker_blocked", &["main"]) < 0.5);
    host.stop();
}
