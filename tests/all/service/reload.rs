//! The config of a running host is read again: by a signal, by the command line, by itself.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::process::{Site, until};
use super::traffic::{Traffic, broker, id};
use crate::rabbit::{RabbitNode, node, unique};
use sluicegate_tests::guests::LEDGER;

/// Keys of the messages.
const KEYS: u64 = 5;

/// A pipeline over the counting plugin from `NAME.in` to `NAME.out`.
fn counting(name: &str, settings: &str) -> String {
    format!(
        r#"
[[queue]]
name = "{name}.in"
dead_letter = {{ queue = "{name}.dead" }}
[[queue]]
name = "{name}.out"
[[pipeline]]
name = "{name}"
queue = "{name}.in"
key = {{ header = "key" }}
stages = ["ledger"]
outputs.out = {{ exchange = "", routing_key = "{name}.out" }}
{settings}
"#
    )
}

fn config(failures: &str, pipelines: &[String]) -> String {
    format!(
        "{}[failures]\nexchange = \"{}\"\n[[plugin]]\nname = \"ledger\"\nfile = \"ledger.wasm\"\n{}",
        broker(node()),
        failures,
        pipelines.join("")
    )
}

/// Publishes to that queue until it is told to stop; how many.
async fn publish(name: String, stop: Arc<AtomicBool>) -> u64 {
    let traffic = Traffic::on(node()).await;
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut headers = FieldTable::default();
        headers.insert("key".into(), AMQPValue::LongString(format!("k{}", n % KEYS).into()));
        let properties = id(n).with_headers(headers).with_content_type("application/json".into());
        let body = format!("{{\"id\": {n}}}");
        traffic.send(&format!("{name}.in"), properties, body.as_bytes()).await;
        n += 1;
    }
    n
}

/// Every message came out once, counted in the order of its key.
async fn all_are_out(traffic: &Traffic, name: &str, published: u64) {
    traffic.await_at_least(&format!("{name}.out"), u32::try_from(published).unwrap()).await;
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seen = HashSet::new();
    for message in traffic.take_all(&format!("{name}.out")).await {
        let line: Value = serde_json::from_slice(&message.data).unwrap();
        let id = line["id"].as_u64().unwrap();
        let n = counts.entry(id % KEYS).or_default();
        *n += 1;
        assert_eq!(line["n"].as_u64(), Some(*n), "{name}: {line}");
        assert_eq!(id / KEYS, *n - 1, "{name}: in order, {line}");
        assert!(seen.insert(id), "{name}: twice, {line}");
    }
    assert_eq!(seen.len() as u64, published, "{name}");
}

/// The channel of that queue's consumer.
fn channel(node: &RabbitNode, queue: &str) -> Option<String> {
    let all = node.ctl(&["-q", "list_consumers", "queue_name", "channel_pid"]);
    let line = all.lines().find(|line| line.split_whitespace().next() == Some(queue))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_pipelines_come_go_and_are_altered_and_the_others_never_notice() {
    let failures = unique("failures");
    let [altered, constant, passing] = ["altered", "constant", "passing"].map(unique);
    let small = "prefetch = 16";
    let site =
        Site::new(&config(&failures, &[counting(&altered, small), counting(&constant, small)]));
    site.write("ledger.wasm", LEDGER);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = |name: &String| tokio::spawn(publish(name.clone(), Arc::clone(&stop)));
    let loads = [load(&altered), load(&constant)];
    traffic.await_at_least(&format!("{altered}.out"), 20).await;
    let before = channel(node(), &format!("{constant}.in")).expect("it consumes");

    for round in 0..6_u16 {
        let settings = format!("prefetch = {}\nbatch = {{ messages = {} }}", 8 + round, 1 + round);
        let mut pipelines = vec![counting(&altered, &settings), counting(&constant, small)];
        if round % 2 == 0 {
            pipelines.push(counting(&passing, small));
        }
        site.configure(&config(&failures, &pipelines), "");
        let told = site.tell(&["reload", "--json"]);
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["outcome"], "applied", "{told}");
        assert!(told["warnings"].as_array().unwrap().is_empty(), "{told}");
        let out = traffic.raw.depth(&format!("{altered}.out")).await;
        traffic.await_at_least(&format!("{altered}.out"), out + 20).await;
    }
    assert_eq!(channel(node(), &format!("{constant}.in")), Some(before), "the same consumer");
    assert_eq!(channel(node(), &format!("{passing}.in")), None, "taken out again");
    stop.store(true, Ordering::Relaxed);
    for (name, load) in [&altered, &constant].into_iter().zip(loads) {
        all_are_out(&traffic, name, load.await.unwrap()).await;
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_is_wrong_is_refused_whole_with_every_problem_and_the_old_one_runs_on() {
    let failures = unique("failures");
    let name = unique("refused");
    let good = config(&failures, &[counting(&name, "")]);
    let site = Site::new(&good);
    site.write("ledger.wasm", LEDGER);
    let host = site.run();
    let bad = good.replace("stages = [\"ledger\"]", "stages = [\"leger\"]\nprefech = 3");
    site.configure(&bad, "");
    let told = site.tell(&["reload"]);
    assert_eq!(told.status.code(), Some(78));
    let text = String::from_utf8_lossy(&told.stderr);
    for part in ["did you mean 'ledger'?", "prefech", "sluicegate.toml:", "^", "runs on as it was"]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let (status, ready) = host.get("/ready");
    assert_eq!(status, 200, "messages flow");
    assert!(ready.contains("the config file isn't what runs"), "{ready}");
    until("it is a condition", || host.metric("sluicegate_condition", &["config_stale"]) > 0.0);
    assert!(host.metric("sluicegate_config_reloads_total", &["outcome=\"refused\""]) > 0.0);

    site.configure(&good, "");
    let told = site.tell(&["reload"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert!(String::from_utf8_lossy(&told.stdout).contains("nothing differs"));
    assert!(!host.get("/ready").1.contains("isn't what runs"));
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_config_again_and_a_watched_file_needs_no_signal() {
    let failures = unique("failures");
    let names = ["signalled", "watched"].map(unique);
    let site = Site::with(&config(&failures, &[]), "watch = true");
    site.write("ledger.wasm", LEDGER);
    let host = site.run();
    let first =
        config(&failures, &names[..1].iter().map(|name| counting(name, "")).collect::<Vec<_>>());
    site.configure(&first, "watch = true");
    until("the file's change is applied", || {
        host.log().contains(&format!("pipeline '{}' added", names[0]))
    });
    let both = config(&failures, &names.iter().map(|name| counting(name, "")).collect::<Vec<_>>());
    site.configure(&both, "watch = false");
    host.signal("HUP");
    until("the signal is obeyed", || {
        host.log().contains(&format!("pipeline '{}' added", names[1]))
    });
    let traffic = Traffic::on(node()).await;
    for name in &names {
        let stop = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn(publish(name.clone(), Arc::clone(&stop)));
        traffic.await_at_least(&format!("{name}.out"), 5).await;
        stop.store(true, Ordering::Relaxed);
        all_are_out(&traffic, name, load.await.unwrap()).await;
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_told_to_stop_while_it_reloads_stops() {
    let failures = unique("failures");
    let name = unique("stopping");
    let site = Site::with(&config(&failures, &[counting(&name, "")]), "drain = \"20s\"");
    site.write("ledger.wasm", LEDGER);
    let mut host = site.run();
    site.configure(&config(&failures, &[counting(&name, "prefetch = 3")]), "drain = \"20s\"");
    host.signal("HUP");
    host.signal("TERM");
    assert_eq!(host.end(), 0, "{}", host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_thread_follows_the_config_plugins_and_tables_however_often_they_change() {
    let (failures, name) = (unique("failures"), unique("tables"));
    let table = |n: u32| format!("[table.t{n}]\nfile = \"t.csv\"\nkey = \"meter\"\n");
    let with = |tables: std::ops::Range<u32>| {
        let tables: String = tables.map(table).collect();
        config(&failures, &[counting(&name, "")]) + &tables
    };
    let site = Site::new(&with(0..1));
    site.write("ledger.wasm", LEDGER);
    site.write("t.csv", b"meter,kw\na,1\n");
    let host = site.run();
    for tables in [0..3, 2..5, 0..0, 0..2] {
        site.configure(&with(tables), "");
        let told = site.tell(&["reload"]);
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }
    assert_eq!(host.threads("watch"), 1);
    site.write("t.csv", b"meter,kw\na,2\n");
    until("those that are left are read again", || {
        ["t0", "t1"].iter().all(|name| {
            let log = host.log();
            log.lines().any(|line| line.contains("table reloaded") && line.contains(name))
        })
    });
    assert!(!host.log().lines().any(|it| it.contains("table reloaded") && it.contains("t3")));
    host.stop();
}
