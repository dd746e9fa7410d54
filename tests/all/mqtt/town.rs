//! A town's meters by MQTT through the pipelines of `examples/meters`, with host and broker killed on the way:
//! what is at the sinks beside the simulator's own truth.
//!
//! As many messages as one likes: `SLUICEGATE_MQTT_MESSAGES=100000`.

mod config;
mod sinks;

use std::fs;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use sluicegate::simulate::town::{Settings, Town};

use self::config::Way;
use self::sinks::{Sinks, Truth};
use crate::mosquitto::{Mosquitto, wait};
use crate::rabbit::RabbitNode;
use crate::service::process::{Host, Site, until};

const DAYS: usize = 4;
/// Readings of a meter in that time.
const READINGS: usize = 96 * DAYS;
/// How long it may take until there is something new.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host with the example's pipelines, a town that publishes, and the brokers between.
struct Scene {
    way: Way,
    field: Option<Mosquitto>,
    node: RabbitNode,
    site: Site,
    town: Site,
    meters: usize,
}

impl Scene {
    fn new(way: Way) -> Self {
        let asked = std::env::var("SLUICEGATE_MQTT_MESSAGES").ok().and_then(|it| it.parse().ok());
        let meters = asked.unwrap_or(3000_usize).div_ceil(READINGS);
        let (field, node) = match way {
            Way::Direct => (Some(Mosquitto::talkative()), RabbitNode::start_fresh()),
            Way::Plugin => (None, RabbitNode::with_mqtt()),
        };
        let (url, protocol) = match &field {
            Some(broker) => (broker.url(), "5"),
            // All that the plugin speaks before RabbitMQ 3.13.
            None => (format!("mqtt://127.0.0.1:{}", node.mqtt_port()), "3.1.1"),
        };
        let broker = format!("[broker.field]\nurl = \"{url}\"\nprotocol = \"{protocol}\"\n");
        let site = Site::new(&config::of(way, &node.url(), &broker));
        let days = u32::try_from(DAYS).unwrap();
        let settings = Settings { meters, days, ..Settings::default() };
        site.write("meters.csv", Town::new(settings).table().as_bytes());
        let town = Site::new(&broker);
        Self { way, field, node, site, town, meters }
    }

    /// A town that publishes, as a process.
    fn publish(&self) -> Child {
        let truth = self.town.path("truth.jsonl");
        let (meters, days) = (self.meters.to_string(), DAYS.to_string());
        // Slow enough to be at it when things are killed.
        let rate = format!("{}/s", (self.meters * READINGS / 15).min(2500));
        let words = ["simulate", "--start", "2026-01-01T00:00:00Z", "--rate", &rate];
        // A clock that is wrong puts readings into other hours than the truth's.
        let words = [&words[..], &["--drifting", "0"]].concat();
        let more = ["--meters", &meters, "--days", &days, "--truth", truth.to_str().unwrap()];
        self.town.running(&[&words[..], &more[..]].concat())
    }

    /// Kills the broker that the meters publish to, and starts it again.
    fn kill_broker(&mut self, town: &Child, host: &Host) {
        match &mut self.field {
            Some(broker) => {
                // It acknowledges before it writes: what it takes in between dies with it, and nobody can
                // know. So nobody publishes meanwhile.
                signal(town, "STOP");
                let received =
                    |broker: &Mosquitto| broker.log().matches("Received PUBLISH").count();
                wait("it has written all that it took", || {
                    let before = received(broker);
                    broker.write();
                    received(broker) == before
                });
                broker.kill9();
                host.await_unready("broker 'field'");
                broker.restart();
                signal(town, "CONT");
            }
            None => {
                self.node.kill9();
                host.await_unready("broker 'main'");
                self.node.restart();
            }
        }
    }

    /// What the simulator says that it did.
    fn truth(&self) -> Truth {
        Truth::of(&fs::read_to_string(self.town.path("truth.jsonl")).unwrap())
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-s", name, &id]).status().unwrap().success());
}

/// Readings that the host has taken.
fn readings(host: &Host) -> f64 {
    host.metric("sluicegate_messages_received_total", &["pipeline=\"readings\""])
}

/// Waits until the host has taken that many readings, for as long as it takes some.
fn taken(host: &Host, count: usize) {
    let mut last = 0.0;
    while last < count as f64 {
        until("more readings", || readings(host) > last);
        last = readings(host);
    }
}

/// Waits until all is published, for as long as something is.
fn ended(town: &mut Child, host: &Host) -> ExitStatus {
    loop {
        let (before, mut status) = (readings(host), None);
        until("more readings, or the end", || {
            status = town.try_wait().unwrap();
            status.is_some() || readings(host) > before
        });
        if let Some(status) = status {
            return status;
        }
    }
}

async fn nothing_is_lost(mut scene: Scene) {
    let begun = Instant::now();
    let host = scene.site.run();
    let mut town = scene.publish();
    let all = scene.meters * READINGS;
    taken(&host, all / 4);
    host.kill9();
    let host = scene.site.run();
    taken(&host, all / 4);
    scene.kill_broker(&town, &host);
    host.await_ready();
    taken(&host, all / 4);
    let status = ended(&mut town, &host);
    assert!(status.success(), "all is published and confirmed");
    let published = begun.elapsed();
    let truth = scene.truth();
    let sinks = Sinks::drain(&scene.node, &truth).await;
    println!(
        "{:?}: {} meters, {DAYS} days, published in {published:.1?}, through in {:.1?}",
        scene.way,
        scene.meters,
        sinks.at.map(|at| at - begun).unwrap_or_default()
    );
    println!("{sinks}");
    sinks.agree_with(&truth);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_town_by_mqtt_arrives_at_every_sink_whatever_is_killed() {
    nothing_is_lost(Scene::new(Way::Direct)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_town_by_rabbitmqs_plugin_arrives_at_every_sink_whatever_is_killed() {
    nothing_is_lost(Scene::new(Way::Plugin)).await;
}
