//! Targets and disks that take nothing: the pipeline holds nothing, says why, and goes on by itself.

use super::disk::Disk;
use super::process::{Site, until};
use super::traffic::{Traffic, broker, echoing, id};
use crate::rabbit::{RabbitNode, node, unique};
use sluicegate_tests::guests::HOSTILE;

const COUNT: u32 = 200;

/// With nothing to be kept of a message that went well.
fn site(name: &str, queue: &str) -> Site {
    let config = echoing(name, r#"call = "5s""#, "id = \"none\"", queue);
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("hostile.wasm", HOSTILE);
    site
}

/// Waits until all but the one that is tried are back in their queue.
async fn holds_nothing(traffic: &Traffic, input: &str, waiting: u32) {
    traffic.await_at_least(input, waiting - 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_has_everything_given_back_until_it_takes_again() {
    let name = unique("full");
    let config = echoing(&name, r#"call = "5s""#, "", "kind = \"quorum\"");
    let full = "kind = \"classic\"\nmax_length = 50\noverflow = \"reject-publish\"";
    let config = config
        .replace(&format!("name = \"{name}.out\"\n"), &format!("name = \"{name}.out\"\n{full}\n"));
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    traffic.fill(&input, COUNT as usize, b"echo").await;
    let reasons = host.await_unready("reject-publish");
    assert!(reasons.contains(&name), "{reasons}");
    until("it says that it waits", || host.metric("sluicegate_pipeline_paused", &[&name]) > 0.5);
    let waiting = COUNT - traffic.await_at_least(&out, 50).await;
    holds_nothing(&traffic, &input, waiting).await;
    // A pause holds not even the one that is tried.
    assert!(site.tell(&["pause", &name]).status.success());
    traffic.await_at_least(&input, waiting).await;
    assert!(site.tell(&["resume", &name]).status.success());
    let mut served = std::collections::BTreeSet::new();
    while served.len() < COUNT as usize {
        served.insert(super::traffic::correlation(&traffic.next(&out).await));
    }
    host.await_ready();
    until("it consumes", || host.metric("sluicegate_pipeline_paused", &[&name]) < 0.5);
    host.stop();
    assert_eq!(traffic.raw.depth(&format!("{name}.dead")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_outputs_that_is_lost_before_anything_is_published_shows() {
    let name = unique("far");
    let other = RabbitNode::start_fresh();
    let config = echoing(&name, r#"call = "5s""#, "", "kind = \"quorum\"");
    let config = config
        .replace(
            &format!("outputs.echo = {{ exchange = \"{name}.echo\" }}"),
            &format!("outputs.echo = {{ exchange = \"{name}.echo\", broker = \"far\" }}"),
        )
        .replace("kind = \"fanout\"", "kind = \"fanout\"\nbroker = \"far\"")
        .replace(
            &format!("name = \"{name}.out\"\n"),
            &format!("name = \"{name}.out\"\nbroker = \"far\"\n"),
        )
        .replace(
            &format!("name = \"{name}.in\"\n"),
            &format!("name = \"{name}.in\"\nbroker = \"main\"\n"),
        );
    let brokers = format!("{}[broker.far]\nurl = \"{}\"\n", broker(node()), other.url());
    let site = Site::new(&format!("{brokers}{config}"));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    other.kill9();
    host.await_unready("broker 'far'");
    let input = format!("{name}.in");
    traffic.fill(&input, COUNT as usize, b"echo").await;
    until("what runs can't be published", || {
        host.metric("sluicegate_pipeline_paused", &[&name]) > 0.5
    });
    holds_nothing(&traffic, &input, COUNT).await;
    other.restart();
    host.await_ready();
    let far = Traffic::on(&other).await;
    far.await_at_least(&format!("{name}.out"), COUNT).await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_pauses_what_must_be_written_down_and_it_goes_on_when_there_is_room() {
    let name = unique("disk");
    let site = site(&name, "kind = \"quorum\"");
    let disk = Disk::at(site.path("state"), 8);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (input, dead) = (format!("{name}.in"), format!("{name}.dead"));
    disk.fill();
    // What needs no writing goes on.
    traffic.send(&input, id("good"), b"echo").await;
    traffic.raw.await_depth(&format!("{name}.out"), 1).await;
    let delete = lapin::options::ExchangeDeleteOptions::default();
    let failures = format!("{name}.failures");
    traffic.raw.channel.exchange_delete(failures.clone().into(), delete).await.unwrap();
    traffic.send(&input, id("bad"), b"trap").await;
    let reasons = host.await_unready("untold failures can't be kept");
    assert!(reasons.contains("os error"), "{reasons}");
    until("it says that it waits", || host.metric("sluicegate_pipeline_paused", &[&name]) > 0.5);
    traffic.raw.await_depth(&input, 1).await;
    assert_eq!(traffic.raw.depth(&dead).await, 0, "its reason was safe nowhere");
    disk.clear();
    traffic.raw.await_depth(&dead, 1).await;
    host.await_ready();
    let kept = std::fs::read_to_string(site.path("state").join("untold-failures.jsonl"));
    let told = traffic.raw.depth(&failures).await;
    assert!(told == 1 || kept.unwrap().contains("\"bad\""), "neither told nor kept");
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_a_full_disk_keeps_what_may_have_killed_from_running() {
    let name = unique("blind");
    let site = site(&name, "kind = \"classic\"");
    let disk = Disk::at(site.path("state"), 8);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    assert!(site.tell(&["pause", &name]).status.success());
    for n in 0..20 {
        traffic.send(&input, id(n), b"slow").await;
    }
    host.kill9();
    // Held by somebody who dies with them: all are delivered again.
    let thief = node().raw().await;
    for _ in 0..20 {
        let options = lapin::options::BasicGetOptions { no_ack: false };
        thief.channel.basic_get(input.clone().into(), options).await.unwrap().unwrap();
    }
    drop(thief);
    traffic.await_at_least(&input, 20).await;
    disk.fill();
    let host = site.start();
    host.await_unready("the crash journal can't be written");
    assert_eq!(traffic.raw.depth(&out).await, 0);
    disk.clear();
    traffic.await_at_least(&out, 20).await;
    host.await_ready();
    host.stop();
}
