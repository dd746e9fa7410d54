//! From a thousand failures of five kinds to the one kind that a new plugin puts right, replayed while
//! traffic flows and the replay itself is killed.

use std::collections::BTreeMap;

use serde_json::Value;
use sluicegate_tests::guests::NET_METER;

use super::super::process::Site;
use super::super::traffic::{Traffic, correlation, message_id};
use super::{json, lines, meters, reading, said};
use crate::rabbit::{node, unique};

const KINDS: usize = 5;
const EACH: usize = 200;
const GOOD: usize = 300;

/// Shows what people see.
fn show(site: &Site, words: &[&str]) {
    let output = site.about(words);
    println!("\n$ sluicegate {}", words.join(" "));
    print!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Groups by code.
fn groups(site: &Site) -> BTreeMap<String, u64> {
    let groups = lines(&site.about(&["dlq", "group", "--json"]), 0);
    let text = |group: &Value| group["code"].as_str().unwrap().to_owned();
    groups.iter().map(|group| (text(group), group["count"].as_u64().unwrap())).collect()
}

/// Publishes failures of every kind, kinds taking turns, and good readings between them.
async fn fail(traffic: &Traffic, name: &str) {
    let exchange = format!("{name}.x");
    for n in 0..KINDS * EACH {
        let (kind, key) = (n % KINDS, format!("meter.{n}.reading"));
        traffic
            .publish(
                &exchange,
                &key,
                json(format!("bad-{kind}-{n}")),
                reading(Some(kind)).as_bytes(),
            )
            .await;
        if n < GOOD {
            traffic
                .publish(&exchange, &key, json(format!("good-{n}")), reading(None).as_bytes())
                .await;
        }
    }
    traffic.await_at_least(&format!("{name}.dead"), 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_letters_are_explained_and_those_of_one_kind_go_back_through_a_crash() {
    let name = unique("story");
    let site = meters(&name, "", "");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    fail(&traffic, &name).await;

    // Five groups, and reading them changes nothing.
    for _ in 0..2 {
        let groups = groups(&site);
        assert_eq!(groups.len(), KINDS, "{groups:?}");
        assert!(groups.values().all(|count| *count == 200), "{groups:?}");
    }
    show(&site, &["dlq", "group"]);
    show(&site, &["dlq", "ls", "--limit", "5"]);

    // The candidate puts right one kind and changes nothing about the others.
    site.write("net-meter.wasm", NET_METER);
    let candidate = format!("validate={}", site.path("net-meter.wasm").display());
    let trial = ["dlq", "replay", "--dry-run", "--all", "--plugin", &candidate];
    let tried = lines(&site.about(&[&trial[..], &["--json"]].concat()), 0);
    let changes: Vec<&Value> = tried.iter().filter(|line| line["would_be"].is_string()).collect();
    assert_eq!(changes.len(), KINDS, "{changes:?}");
    for change in &changes {
        let (was, is) = (change["was"].as_str().unwrap(), change["would_be"].as_str().unwrap());
        let expected = if was == "reject: negative_energy" { "done → accepted" } else { was };
        assert_eq!((is, change["count"].as_u64()), (expected, Some(200)));
    }
    show(
        &site,
        &["dlq", "replay", "--dry-run", "--code", "negative_energy", "--plugin", &candidate],
    );
    assert_eq!(traffic.await_at_least(&format!("{name}.dead"), 1000).await, 1000);

    // It takes over.
    host.stop();
    site.write("validate.wasm", NET_METER);
    let host = site.run();
    let (flowing, new) = flow(&name);
    let replay = ["dlq", "replay", "--code", "negative_energy"];
    let mut child = site.running(&[&replay[..], &["--rate", "100/s"]].concat());
    let mut arrived = BTreeMap::new();
    take_until_mended(&traffic, &name, &mut arrived, 60).await;
    child.kill().unwrap();
    child.wait().unwrap();

    // Run again, it goes on.
    let resumed = lines(&site.about(&[&replay[..], &["--json"]].concat()), 0).remove(0);
    println!("\nkilled, then resumed: {resumed}");
    let (done, seen) = (resumed["done"].as_u64().unwrap(), resumed["seen"].as_u64().unwrap());
    // Its last group may have been sent and not acknowledged: those are sent twice.
    assert!((1..200).contains(&done), "killed in the middle: {resumed}");
    assert_eq!(seen, 800 + done);
    flowing.send(()).unwrap();
    let new = new.await.unwrap();
    traffic.await_at_least(&format!("{name}.dead"), 800).await;
    said(&site.about(&["dlq", "ls", "--check"]), 0);
    tally(&traffic, &name, new, arrived).await;

    // The reports say so too.
    let left = groups(&site);
    assert_eq!(left.len(), KINDS - 1, "{left:?}");
    assert!(left.values().all(|count| *count == 200) && !left.contains_key("negative_energy"));
    show(&site, &["dlq", "group"]);
    let resolved = lines(&site.about(&["dlq", "ls", "--all", "-n", "0", "--json"]), 0);
    let replayed = resolved.iter().filter(|line| line["resolution"]["what"] == "replayed").count();
    assert_eq!(replayed, 200);
    host.stop();
}

/// How often each input came out, by its id.
type Arrived = BTreeMap<String, usize>;

/// Takes what comes out until so many of those that a replay sent are among it.
async fn take_until_mended(traffic: &Traffic, name: &str, arrived: &mut Arrived, mended: usize) {
    let mut seen = 0;
    while seen < mended {
        let id = correlation(&traffic.next(&format!("{name}.out")).await);
        seen += usize::from(id.starts_with("bad-1-"));
        *arrived.entry(id).or_default() += 1;
    }
}

/// Good readings in an endless row, until told otherwise; then their number.
fn flow(name: &str) -> (tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<usize>) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let exchange = format!("{name}.x");
    let flowing = tokio::spawn(async move {
        let traffic = Traffic::on(node()).await;
        let mut sent = 0;
        while stopped.try_recv().is_err() {
            let body = reading(None).as_bytes();
            traffic.publish(&exchange, "meter.new", json(format!("new-{sent}")), body).await;
            sent += 1;
        }
        sent
    });
    (stop, flowing)
}

/// Every message is at its sink or in the dead-letter queue, once.
async fn tally(traffic: &Traffic, name: &str, new: usize, mut arrived: Arrived) {
    let expected = GOOD + EACH + new;
    let out = format!("{name}.out");
    while arrived.len() < expected {
        *arrived.entry(correlation(&traffic.next(&out).await)).or_default() += 1;
    }
    // Whatever is doubled is right behind.
    while let Some(message) = traffic.raw.get(&out).await {
        *arrived.entry(correlation(&message)).or_default() += 1;
    }
    let mut dead = Arrived::new();
    while let Some(message) = traffic.raw.get(&format!("{name}.dead")).await {
        *dead.entry(message_id(&message)).or_default() += 1;
    }
    let of = |counts: &Arrived, kind: &str| counts.keys().filter(|id| id.starts_with(kind)).count();
    println!(
        "published {} = sink {} (good {}, new {}, mended {}) + dead {}; twice at the sink {}",
        KINDS * EACH + GOOD + new,
        arrived.len(),
        of(&arrived, "good-"),
        of(&arrived, "new-"),
        of(&arrived, "bad-1-"),
        dead.len(),
        arrived.values().filter(|count| **count > 1).count(),
    );
    assert_eq!((of(&arrived, "good-"), of(&arrived, "new-")), (GOOD, new));
    assert_eq!((of(&arrived, "bad-1-"), arrived.len()), (EACH, expected));
    assert_eq!((dead.len(), of(&dead, "bad-1-")), ((KINDS - 1) * EACH, 0));
    // What the crash doubled had the same identity, so the host took it for what it was.
    assert!(arrived.values().chain(dead.values()).all(|count| *count == 1));
}
