//! Dead letters that their queue keeps no longer: in files, each once, and nothing lost meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::process::{Site, sluicegate, until};
use super::traffic::{Traffic, broker, echoing, message_id};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

/// Every line of the archive.
fn lines(folder: &Path) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut lines = Vec::new();
    for entry in entries {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    lines
}

fn ids(lines: &[Value]) -> BTreeSet<String> {
    lines.iter().map(|line| line["message_id"].as_str().unwrap().to_owned()).collect()
}

fn config(name: &str, kind: &str, limits: &str) -> String {
    let dead = format!("dead_letter = {{ queue = \"{name}.dead\" }}");
    let with = format!(
        "dead_letter = {{ queue = \"{name}.dead\", kind = \"{kind}\", past_limit = \"archive\", {limits} }}"
    );
    format!("{}{}", broker(node()), echoing(name, r#"call = "1s""#, "", "").replace(&dead, &with))
}

async fn what_is_pushed_out_is_archived(kind: &str) {
    let name = unique(&format!("pushed.{kind}"));
    let site = Site::new(&config(&name, kind, "max_length = 10"));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), 50, b"panic").await;
    let folder = site.path("state/archive");
    until("all but what it may hold are in files", || lines(&folder).len() >= 40);
    let archived = lines(&folder);
    let kept: BTreeSet<String> =
        traffic.take_all(&format!("{name}.dead")).await.iter().map(message_id).collect();
    // Which of them is pushed out is the broker's choice; that each is somewhere is promised.
    let all: BTreeSet<String> = ids(&lines(&folder)).union(&kept).cloned().collect();
    assert_eq!(all, (0..50).map(|n| n.to_string()).collect(), "{} kept", kept.len());
    assert!(kept.len() <= 10, "{kept:?}");
    let first = &archived[0];
    assert_eq!(first["left"]["reason"], "maxlen");
    assert_eq!(
        (&first["exchange"], &first["routing_key"]),
        (&"".into(), &format!("{name}.in").into())
    );
    assert_eq!((&first["queue"], &first["body"]), (&format!("{name}.in").into(), &"panic".into()));
    let reports = traffic.reports(&format!("{name}.failures")).await;
    for line in &archived {
        let report = &reports[line["message_id"].as_str().unwrap()];
        assert_eq!(line["letter"], report["letter"]);
    }
    let archive = format!("queue=\"sluicegate.archive.{name}.dead\"");
    until("it is counted", || {
        host.metric("sluicegate_dead_letters_archived_total", &[&archive]) >= 40.0
    });
    host.stop();

    // What was archived is published again, as it was.
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let told = sluicegate(&[
        "publish",
        file.to_str().unwrap(),
        "--broker",
        &node().url(),
        "--exchange",
        "",
        "--routing-key",
        &format!("{name}.out"),
        "--body",
        "{body}",
        "--as",
        "text",
        "--message-id",
        "{message_id}",
    ]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let again = traffic.next(&format!("{name}.out")).await;
    assert_eq!(&*again.data, b"panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_classic_dead_letter_queue_pushes_out_is_archived() {
    what_is_pushed_out_is_archived("classic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_quorum_dead_letter_queue_pushes_out_is_archived() {
    what_is_pushed_out_is_archived("quorum").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_can_not_be_written_says_so_and_loses_nothing() {
    let name = unique("unwritable");
    let site = Site::new(&config(&name, "classic", "ttl = \"100ms\""));
    site.write("hostile.wasm", HOSTILE);
    // Nobody can make a folder where a file is, not even root.
    fs::create_dir(site.path("state")).unwrap();
    let in_the_way = site.write("state/archive", b"");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), 300, b"panic").await;
    let archive = format!("sluicegate.archive.{name}.dead");
    traffic.await_at_least(&archive, 300).await;
    let paused = ["archive_paused", archive.as_str()];
    until("it says so", || host.metric("sluicegate_condition", &paused) > 0.0);
    fs::remove_file(in_the_way).unwrap();
    let folder = site.path("state/archive");
    until("all are in files", || lines(&folder).len() >= 300);
    assert_eq!(ids(&lines(&folder)).len(), 300);
    assert_eq!(lines(&folder)[0]["left"]["reason"], "expired");
    until("it says that it goes on", || host.metric("sluicegate_condition", &paused) < 1.0);
    host.stop();
    assert_eq!((lines(&folder).len(), traffic.raw.depth(&archive).await), (300, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_queue_that_is_nearly_full_is_told_of_before_it_is() {
    let name = unique("nearly");
    let dead = format!("dead_letter = {{ queue = \"{name}.dead\" }}");
    let with =
        format!("dead_letter = {{ queue = \"{name}.dead\", max_length = 10, ttl = \"1d\" }}");
    let config = format!(
        "{}{}",
        broker(node()),
        echoing(&name, r#"call = "1s""#, "", "").replace(&dead, &with)
    );
    let site = Site::new(&config);
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), 9, b"panic").await;
    traffic.await_at_least(&format!("{name}.dead"), 9).await;
    let queue = format!("{name}.dead\"");
    until("it is told", || {
        host.metric("sluicegate_condition", &["dead_letters_near_limit", &queue]) > 0.0
    });
    assert_eq!(host.metric("sluicegate_dead_letters{", &[&queue]), 9.0);
    let share = host.metric("sluicegate_dead_letters_limit_share", &[&queue]);
    assert!((share - 0.9).abs() < 1e-9, "{share}");
    let age = host.metric("sluicegate_dead_letters_oldest_seconds", &[&queue]);
    assert!((0.0..120.0).contains(&age), "{age}");
    host.said("9 of at most 10 messages");
    // A look takes nothing away.
    assert_eq!(traffic.raw.depth(&format!("{name}.dead")).await, 9);
    host.stop();
}
