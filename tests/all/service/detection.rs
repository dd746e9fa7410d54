//! What a broker can do to a running host: each is noticed, told, and got over without help.

use std::collections::BTreeSet;

use super::process::{Site, until};
use super::traffic::{Traffic, broker, correlation, echoing};
use crate::rabbit::{RabbitNode, disturbed, unique};
use sluicegate_tests::guests::HOSTILE;

const COUNT: usize = 60;

fn site(name: &str, node: &RabbitNode, out: &str) -> Site {
    let config = echoing(name, r#"call = "5s""#, "", "kind = \"quorum\"");
    let queue = format!("name = \"{name}.out\"\n");
    let config = config.replace(&queue, &format!("{queue}{out}\n"));
    let site = Site::new(&format!("{}{config}", broker(node)));
    site.write("hostile.wasm", HOSTILE);
    site
}

async fn all_come_out(traffic: &Traffic, out: &str) {
    let mut missing: BTreeSet<String> = (0..COUNT).map(|n| n.to_string()).collect();
    while !missing.is_empty() {
        missing.remove(&correlation(&traffic.next(out).await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_revoked_is_told_and_waited_for() {
    let name = unique("revoked");
    let node = disturbed().await;
    let site = site(&name, &node, "");
    let host = site.run();
    let traffic = Traffic::on(&node).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    assert!(site.tell(&["pause", &name]).status.success());
    traffic.fill(&input, COUNT, b"echo").await;
    node.ctl_alongside(&["set_permissions", "guest", ".*", "^$", ".*"]).await;
    assert!(site.tell(&["resume", &name]).status.success());
    let reasons = host.await_unready("not permitted");
    assert!(!reasons.contains("guest:guest"), "{reasons}");
    until("what runs can't be published", || {
        host.metric("sluicegate_publishes_refused_total", &[&name]) > 0.5
            || host.metric("sluicegate_broker_connected", &["main"]) < 0.5
    });
    node.ctl_alongside(&["set_permissions", "guest", ".*", ".*", ".*"]).await;
    host.await_ready();
    let traffic = Traffic::on(&node).await;
    all_come_out(&traffic, &out).await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_lost_to_an_ack_timeout_is_replaced() {
    let name = unique("timeout");
    let node = disturbed().await;
    let full = "kind = \"classic\"\nmax_length = 10\noverflow = \"reject-publish\"";
    let site = site(&name, &node, full);
    // Read by a channel when it opens.
    let timeouts = |ms: u64| {
        format!(
            "application:set_env(rabbit, consumer_timeout, {ms}), \
             application:set_env(rabbit, channel_tick_interval, 200)."
        )
    };
    node.ctl_alongside(&["eval", &timeouts(8000)]).await;
    let host = site.run();
    let traffic = Traffic::on(&node).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    traffic.fill(&input, COUNT, b"echo").await;
    // The one that is tried is held, for longer than this broker allows.
    let late = node.cancels_late_consumers().await;
    host.said(if late { "consumer cancelled" } else { "delivery acknowledgement" });
    host.await_unready(&name);
    node.ctl_alongside(&["eval", &timeouts(1_800_000)]).await;
    all_come_out(&traffic, &out).await;
    host.await_ready();
    host.stop();
}
