//! What a host keeps of keys: over its death, while its disk is full, under an operator's hands, and when it can't
//! be read.

use std::fs;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use sluicegate::clock::Clock;
use sluicegate_tests::guests::{LEDGER, WAKER};

use super::disk::Disk;
use super::process::{Host, Site, until};
use super::traffic::{Traffic, broker, id};
use crate::rabbit::{node, unique};

/// A pipeline of that plugin from the queue `NAME.in` to the queue `NAME.out`.
fn config(name: &str, plugin: &str) -> String {
    format!(
        r#"
{broker}
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "plugin"
{plugin}
[[queue]]
name = "{name}.in"
kind = "quorum"
dead_letter = {{ queue = "{name}.dead" }}
[[exchange]]
name = "{name}.told"
kind = "fanout"
[[queue]]
name = "{name}.out"
bind = [{{ exchange = "{name}.told" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.in"
key = {{ header = "key" }}
stages = ["plugin"]
outputs.out = {{ exchange = "{name}.told" }}
outputs.alerts = {{ exchange = "{name}.told" }}
"#,
        broker = broker(node())
    )
}

fn site(name: &str, plugin: &str) -> Site {
    let site = Site::new(&config(name, plugin));
    site.write("ledger.wasm", LEDGER);
    site.write("waker.wasm", WAKER);
    site
}

async fn send(traffic: &Traffic, name: &str, n: u64, key: &str, body: &str) {
    let mut headers = FieldTable::default();
    headers.insert("key".into(), AMQPValue::LongString(key.into()));
    let properties = id(n).with_headers(headers).with_content_type("application/json".into());
    traffic.send(&format!("{name}.in"), properties, body.as_bytes()).await;
}

async fn next(traffic: &Traffic, name: &str) -> Value {
    serde_json::from_slice(&traffic.next(&format!("{name}.out")).await.data).unwrap()
}

/// Waits until so many keys have a timer.
fn timers(host: &Host, name: &str, count: f64) {
    until("the timers are set", || {
        (host.metric("sluicegate_timer_keys", &[name]) - count).abs() < 0.1
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_that_fell_due_while_a_killed_host_was_down_come_at_once_in_order_and_say_how_late()
{
    let name = unique("woken");
    let site = site(&name, "file = \"waker.wasm\"");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let clock = Clock::system();
    let first_us = clock.now_us() + 20_000_000;
    // Of one key, so that their order is told.
    for (n, (key, after_us)) in
        [("a", 0), ("b", 400_000), ("later", 3_600_000_000)].into_iter().enumerate()
    {
        let body = format!("{{\"due_us\":{}}}", first_us + after_us);
        send(&traffic, &name, n as u64, key, &body).await;
    }
    timers(&host, &name, 3.0);
    host.kill9();
    assert!(clock.now_us() < first_us, "this machine is too slow: they were due before the kill");
    until("they are due", || clock.now_us() > first_us + 400_000);
    let host = site.run();
    let mut told = [next(&traffic, &name).await, next(&traffic, &name).await];
    told.sort_by_key(|line| line["key"].to_string());
    for (line, (key, due_us)) in told.iter().zip([("a", first_us), ("b", first_us + 400_000)]) {
        assert_eq!((&line["key"], &line["due_us"]), (&Value::from(key), &Value::from(due_us)));
        assert!(line["late_us"].as_u64().unwrap() > 0, "{line}");
    }
    timers(&host, &name, 1.0);
    host.stop();
    assert_eq!(traffic.raw.depth(&format!("{name}.out")).await, 0, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_that_falls_silent_is_told_of_and_one_that_talks_is_not() {
    let name = unique("absent");
    let site = site(&name, "file = \"builtin:meter-absence\"\nconfig = { after_s = 5 }");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    send(&traffic, &name, 0, "silent", "{}").await;
    let out = format!("{name}.out");
    let mut n = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let alert = loop {
        n += 1;
        send(&traffic, &name, n, "talks", "{}").await;
        if let Some(alert) = traffic.raw.get(&out).await {
            break alert;
        }
        ticks.tick().await;
    };
    assert_eq!(alert.properties.kind().as_ref().unwrap().as_str(), "meter.silent");
    assert_eq!(alert.data, b"\"silent\"");
    send(&traffic, &name, n + 1, "silent", "{}").await;
    let back = traffic.next(&out).await;
    assert_eq!(back.properties.kind().as_ref().unwrap().as_str(), "meter.back");
    assert_eq!(back.data, b"\"silent\"");
    host.stop();
}

/// What a verb of `state` prints; it must succeed.
fn state(site: &Site, words: &[&str]) -> String {
    let mut all = vec!["state"];
    all.extend(words);
    let said = site.about(&all);
    assert!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_looked_at_and_mended_while_its_host_runs_as_when_it_does_not() {
    let name = unique("mended");
    let site = site(&name, "file = \"ledger.wasm\"");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    for (n, key) in ["a", "a", "b"].into_iter().enumerate() {
        send(&traffic, &name, n as u64, key, "{\"id\":1}").await;
        next(&traffic, &name).await;
    }
    until("it is kept", || host.metric("sluicegate_state_keys{", &[&name]) > 1.5);
    let seen = |site: &Site| {
        let one = state(site, &["get", &name, "a"]);
        let one: Value = serde_json::from_str(&one).unwrap();
        assert_eq!(one[0]["decoded"][0], 2, "{one}");
        (state(site, &["ls", "--pipeline", &name]), state(site, &["ls"]), state(site, &["export"]))
    };
    let while_it_runs = seen(&site);
    assert!(while_it_runs.0.contains("plugin  a  "), "{while_it_runs:?}");
    assert_eq!(while_it_runs.2.lines().count(), 3);

    // Nothing of a key that is forgotten lives on in the host's memory.
    assert_eq!(state(&site, &["rm", &name, "a"]), "forgotten at 1 stages\n");
    assert_eq!(state(&site, &["rm", &name, "a"]), "forgotten at 0 stages\n");
    assert!(!site.about(&["state", "get", &name, "a"]).status.success());
    for (n, key, counted) in [(3, "a", 1), (4, "b", 2), (5, "a", 2)] {
        send(&traffic, &name, n, key, "{\"id\":1}").await;
        assert_eq!(next(&traffic, &name).await["n"], counted, "{key}");
    }
    let refused = site.about(&["state", "import"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("a host runs on"), "{why}");
    let nowhere = site.about(&["state", "ls", "--pipeline", "nobody"]);
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("nothing is kept there"));
    until("it is kept", || {
        ["a", "b"].into_iter().all(|key| {
            let one = state(&site, &["get", &name, key]);
            serde_json::from_str::<Value>(&one).unwrap()[0]["decoded"][0] == 2
        })
    });
    let last = state(&site, &["export"]);
    host.stop();
    assert_eq!(seen(&site).2, last, "the same from the folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_state_pauses_its_pipeline_and_nothing_is_lost_or_counted_twice() {
    let name = unique("room");
    let site = site(&name, "file = \"ledger.wasm\"");
    let disk = Disk::at(site.path("state"), 8);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    send(&traffic, &name, 0, "k0", "{\"id\":0}").await;
    next(&traffic, &name).await;
    until("it is kept", || host.metric("sluicegate_state_keys{", &[&name]) > 0.5);
    disk.fill();
    // Enough for the database to grow: it has pages to spare.
    let large = "x".repeat(4000);
    let count = 400;
    for n in 1..=count {
        let key = format!("k{n}-{large}");
        send(&traffic, &name, n, &key[..250], &format!("{{\"id\":{n}}}")).await;
    }
    let reasons = host.await_unready("the state can't be written");
    assert!(!reasons.contains("can't publish"), "{reasons}");
    disk.clear();
    host.await_ready();
    until("all is settled", || {
        host.metric("sluicegate_state_keys{", &[&name]) > count as f64 + 0.5
    });
    traffic.raw.await_depth(&format!("{name}.in"), 0).await;
    host.stop();
    let exported = state(&site, &["export"]);
    assert_eq!(exported.lines().count() as u64, count + 2);
    for line in exported.lines().skip(1) {
        let line: Value = serde_json::from_str(line).unwrap();
        // [1] as MessagePack.
        assert_eq!(line["state"], "kQE=", "each counts once: {}", line["key"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_stops_the_start_with_what_to_do_and_nothing_is_emptied() {
    let name = unique("torn");
    let site = site(&name, "file = \"ledger.wasm\"");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    for n in 0..50 {
        send(&traffic, &name, n, &format!("k{n}"), "{\"id\":1}").await;
    }
    until("it is kept", || host.metric("sluicegate_state_keys{", &[&name]) > 49.5);
    host.stop();
    let file = site.path("state/state/state.redb");
    let mut bytes = fs::read(&file).unwrap();
    let all: Vec<usize> =
        (0..bytes.len() - 3).filter(|at| &bytes[*at..*at + 3] == b"k17").collect();
    all.into_iter().for_each(|at| bytes[at] ^= 0x40);
    fs::write(&file, &bytes).unwrap();
    let (code, said) = site.refused();
    assert_ne!(code, 0);
    assert!(
        said.contains("is damaged") && said.contains("restore the folder from a backup"),
        "{said}"
    );
    assert!(fs::read(&file).unwrap().len() >= bytes.len(), "nothing is emptied");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_state_folder_only_what_keeps_no_state_runs() {
    let name = unique("folderless");
    let stateless = site(&name, "file = \"builtin:meter-route\"");
    stateless.write("state", b"in the way");
    let host = stateless.start();
    host.said("no plugin needs it yet");
    drop(host);
    let stateful = site(&name, "file = \"ledger.wasm\"");
    stateful.write("state", b"in the way");
    let (code, said) = stateful.refused();
    assert_ne!(code, 0);
    assert!(said.contains("the state folder") && said.contains("can't be used"), "{said}");
}
