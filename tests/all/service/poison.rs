//! Messages that kill their host, and hosts that are killed while others are in hand.

use std::collections::BTreeSet;

use super::process::{Host, Site};
use super::traffic::{Traffic, broker, correlation, death, echoing, id, message_id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

const FAULT: (&str, &str) = ("SLUICEGATE_FAULT", "pre-run:abort:body~poison");

fn site(name: &str, pipeline: &str, queue: &str) -> Site {
    let config = echoing(name, r#"call = "5s""#, pipeline, queue);
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("hostile.wasm", HOSTILE);
    site
}

/// Starts hosts until one lives to see the poison dead-lettered; how many died.
async fn outlive(site: &Site, traffic: &Traffic, name: &str, innocents: u32) -> (Host, u32) {
    let (out, dead) = (format!("{name}.out"), format!("{name}.dead"));
    let mut deaths = 0;
    loop {
        let mut host = site.start_with(&[FAULT]);
        loop {
            if host.has_ended() {
                deaths += 1;
                assert!(deaths < 10, "{}", host.log());
                break;
            }
            let served = traffic.raw.depth(&out).await >= innocents;
            if served && traffic.raw.depth(&dead).await > 0 {
                return (host, deaths);
            }
        }
    }
}

async fn is_found_out(kind: &str) {
    let name = unique("poison");
    let batch = "prefetch = 200\nbatch = { messages = 32 }";
    let site = site(&name, batch, &format!("kind = \"{kind}\""));
    site.run().stop();
    let traffic = Traffic::on(node()).await;
    let input = format!("{name}.in");
    for n in 0..300 {
        if n == 150 {
            traffic.send(&input, id("poison"), b"slow poison").await;
        }
        traffic.send(&input, id(n), b"slow").await;
    }
    let (host, deaths) = outlive(&site, &traffic, &name, 300).await;
    // One that nobody saw coming, one among others, three alone.
    assert!((4..=5).contains(&deaths), "{deaths} deaths");
    assert!(host.metric("sluicegate_failures_total", &["crash_loop"]) > 0.5);
    host.await_ready();
    let mut missing: BTreeSet<String> = (0..300).map(|n| n.to_string()).collect();
    while !missing.is_empty() {
        missing.remove(&correlation(&traffic.next(&format!("{name}.out")).await));
    }
    host.stop();
    let letters = traffic.take_all(&format!("{name}.dead")).await;
    assert_eq!(letters.len(), 1, "nobody but the poison");
    assert_eq!((&*message_id(&letters[0]), &*death(&letters[0])), ("poison", "rejected"));
    let reports = traffic.reports(&format!("{name}.failures")).await;
    let report = &reports["poison"];
    assert_eq!((&report["class"], &report["code"]), (&"crash".into(), &"crash_loop".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_on_a_classic_queue_is_dead_lettered_and_the_rest_is_served() {
    is_found_out("classic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_on_a_quorum_queue_is_dead_lettered_and_the_rest_is_served() {
    is_found_out("quorum").await;
}

/// Kills hosts at random while their prefetch is full, or stops them in order.
async fn condemn_nobody(what: &str, queue: &str, end: impl Fn(Host)) {
    /// So many wait at least: more than a host takes in hand before it ends.
    const WAITING: u32 = 3000;
    let name = unique(what);
    let site = site(&name, "batch = { messages = 64 }", queue);
    site.run().stop();
    let traffic = Traffic::on(node()).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    let mut sent = 0;
    for _ in 0..30 {
        let lacking = WAITING.saturating_sub(traffic.raw.depth(&input).await) as usize;
        traffic.fill_on(&input, sent..sent + lacking, b"slow").await;
        sent += lacking;
        let host = site.run();
        let done = traffic.raw.depth(&out).await;
        traffic.await_at_least(&out, done + fastrand::u32(1..60)).await;
        end(host);
    }
    assert!(traffic.raw.depth(&input).await > 0, "it was over before the last end");
    let host = site.run();
    let mut missing: BTreeSet<String> = (0..sent).map(|n| n.to_string()).collect();
    while !missing.is_empty() {
        missing.remove(&correlation(&traffic.next(&out).await));
    }
    assert_eq!(traffic.raw.depth(&format!("{name}.dead")).await, 0);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_with_a_full_prefetch_condemn_nobody_on_a_classic_queue() {
    condemn_nobody("kills", "kind = \"classic\"", Host::kill9).await;
}

/// With the limit that RabbitMQ 4 sets where nobody did.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_with_a_full_prefetch_reach_no_delivery_limit() {
    condemn_nobody("limit", "kind = \"quorum\"\ndelivery_limit = 20", Host::kill9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_restarts_with_a_full_prefetch_reach_no_delivery_limit() {
    condemn_nobody("restarts", "kind = \"quorum\"\ndelivery_limit = 20", Host::stop).await;
}
