//! What each verb says and does, on a real broker.

use std::process::{Child, Command};

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use super::super::process::Site;
use super::super::traffic::{Traffic, id, message_id};
use super::{json, lines, meters, reading, said};
use crate::rabbit::{node, unique};

async fn site_with_letters(what: &str, dead_letter: &str, count: usize) -> (String, Site, Traffic) {
    let name = unique(what);
    let site = meters(&name, dead_letter, "");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    for n in 0..count {
        let mut headers = FieldTable::default();
        headers.insert("region".into(), AMQPValue::LongString(["north", "south"][n % 2].into()));
        let properties =
            json(format!("m-{n}")).with_headers(headers).with_expiration("3600000".into());
        let body = reading(Some(n % 5)).as_bytes();
        traffic.publish(&format!("{name}.x"), &format!("meter.{n}.a"), properties, body).await;
    }
    traffic.await_at_least(&format!("{name}.dead"), u32::try_from(count).unwrap()).await;
    host.stop();
    (name, site, traffic)
}

/// What Ctrl-C sends.
fn interrupt(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_shown_with_its_message_and_found_by_what_is_known_of_it() {
    let (name, site, traffic) = site_with_letters("shown", "", 10).await;
    let page = said(&site.about(&["dlq", "show", "m-1"]), 0);
    println!("{page}");
    for part in [
        "reject: negative_energy",
        "-1.5 kWh is below 0",
        &format!("{name}.in"),
        "meter.1.a",
        "\"kwh\": -1.5",
        "region          south",
        "rejected in queue",
        "expiration      3600000",
    ] {
        assert!(page.contains(part), "{part:?} isn't in:\n{page}");
    }
    let shown: Value =
        serde_json::from_str(&said(&site.about(&["dlq", "show", "m-1", "--json"]), 0)).unwrap();
    assert_eq!(shown["letter"]["body"]["kwh"], -1.5);
    assert_eq!(shown["letter"]["report"]["id"], shown["failure"]["id"]);
    let count =
        |words: &[&str]| lines(&site.about(&[&["dlq", "ls", "--json"], words].concat()), 0).len();
    assert_eq!(count(&[]), 10);
    assert_eq!(count(&["--code", "negative_energy,missing_meter"]), 4);
    assert_eq!(count(&["--header", "region=north", "--code", "negative_energy"]), 1);
    assert_eq!(count(&["--routing-key", "meter.7.*"]), 1);
    assert_eq!(count(&["--text", "BELOW kwh", "--since", "1h"]), 2);
    assert_eq!(count(&["--older-than", "1h"]), 0);
    assert_eq!(count(&["--class", "trap"]), 0);
    // Looking took nothing out.
    assert_eq!(traffic.await_at_least(&format!("{name}.dead"), 10).await, 10);
    let failed = site.about(&["dlq", "show", "nobody", "--json"]);
    assert!(lines(&failed, 1)[0]["error"]["text"].as_str().unwrap().contains("nobody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_without_reports_and_reports_without_letters_are_told() {
    let (name, site, traffic) = site_with_letters("compared", "", 5).await;
    said(&site.about(&["dlq", "ls", "--check"]), 0);
    let dead = format!("{name}.dead");
    let taken = message_id(&traffic.raw.get(&dead).await.unwrap());
    traffic.send(&dead, id("stranger"), b"from nowhere").await;
    let page = said(&site.about(&["dlq", "ls", "--check"]), 4);
    println!("{page}");
    assert!(page.contains("no letter") && page.contains("no report") && page.contains("stranger"));
    assert!(said(&site.about(&["dlq", "show", &taken]), 0).contains("no letter"));
    let page = said(&site.about(&["dlq", "show", "stranger"]), 0);
    assert!(page.contains("no report") && page.contains("from nowhere"), "{page}");
    // Nothing tells where it belongs.
    let output = site.about(&["dlq", "replay", "stranger", "--json"]);
    let summary = lines(&output, 4).remove(0);
    assert!(summary["left"].to_string().contains("--to-queue"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_mended_exported_published_back_and_thrown_away() {
    let (name, site, traffic) = site_with_letters("mended", "", 10).await;
    let (dead, out) = (format!("{name}.dead"), format!("{name}.out"));
    let patch = site.write("patch.json", br#"[{"op":"replace","path":"/kwh","value":0}]"#);
    let mend = ["dlq", "replay", "--code", "negative_energy", "--patch", patch.to_str().unwrap()];
    let page = said(&site.about(&[&mend[..], &["--dry-run"]].concat()), 0);
    println!("{page}");
    assert!(page.contains("mended") && page.contains("\"kwh\":0"), "{page}");
    assert_eq!(traffic.await_at_least(&dead, 10).await, 10);
    said(&site.about(&mend), 0);
    assert_eq!(traffic.await_at_least(&dead, 8).await, 8);

    let file = site.path("letters.jsonl");
    let file = file.to_str().unwrap();
    let remove = ["dlq", "export", "--code", "energy_range", "-o", file, "--remove"];
    said(&site.about(&remove), 0);
    assert_eq!(traffic.await_at_least(&dead, 6).await, 6);
    assert!(lines(&site.about(&[&remove[..], &["--json"]].concat()), 1)[0]["error"].is_object());
    let exchange = format!("{name}.x");
    let back = ["publish", file, "-e", &exchange, "-k", "{routing_key}", "--message-id"];
    said(&site.about(&[&back[..], &["{message_id}", "--body", "{body}"]].concat()), 0);
    // Back in the queue, as a producer's message: those two and the two that were mended.
    assert_eq!(traffic.raw.depth(&format!("{name}.in")).await, 4);

    let refused = site.about(&["dlq", "purge", "--code", "missing_meter"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--yes"));
    assert_eq!((refused.status.code(), traffic.await_at_least(&dead, 6).await), (Some(1), 6));
    said(&site.about(&["dlq", "purge", "--code", "missing_meter", "--yes"]), 0);
    assert_eq!(traffic.await_at_least(&dead, 4).await, 4);
    assert_eq!(site.about(&["dlq", "purge", "--yes"]).status.code(), Some(1), "which letters?");
    let open = lines(&site.about(&["dlq", "ls", "--json"]), 0);
    assert_eq!(open.len(), 4, "{open:?}");

    // The host takes what came back: the mended ones arrive, the others fail as they did.
    let host = site.run();
    traffic.await_at_least(&out, 2).await;
    traffic.await_at_least(&dead, 6).await;
    host.stop();
    assert_eq!(lines(&site.about(&["dlq", "ls", "--json"]), 0).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_replayed_so_often_and_no_more_and_to_where_somebody_says() {
    let (name, site, traffic) = site_with_letters("limited", ", max_replays = 1", 1).await;
    let dead = format!("{name}.dead");
    let host = site.run();
    said(&site.about(&["dlq", "replay", "--all"]), 0);
    traffic.await_at_least(&dead, 1).await;
    let open = lines(&site.about(&["dlq", "ls", "--json"]), 0);
    assert_eq!((open.len(), open[0]["replay_count"].as_u64()), (1, Some(1)));
    let left = lines(&site.about(&["dlq", "replay", "--all", "--json"]), 4).remove(0);
    assert!(left["left"].to_string().contains("replayed 1 times already"), "{left}");
    host.stop();
    let aside = format!("{name}.out");
    said(&site.about(&["dlq", "replay", "--all", "--max-replays", "9", "--to-queue", &aside]), 0);
    let message = traffic.raw.get(&aside).await.unwrap();
    let headers = message.properties.headers().as_ref().unwrap().inner();
    assert_eq!(headers.get("sluicegate-replay-count"), Some(&AMQPValue::LongLongInt(2)));
    assert_eq!(headers.get("region"), Some(&AMQPValue::LongString("north".into())));
    assert!(!headers.contains_key("x-death"));
    assert_eq!(traffic.await_at_least(&dead, 0).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_replay_in_order_and_running_it_again_goes_on() {
    let (name, site, traffic) = site_with_letters("interrupted", "", 40).await;
    let work = format!("{name}.in");
    let mut child = site.running(&["dlq", "replay", "--all", "--rate", "10/s"]);
    traffic.await_at_least(&work, 5).await;
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let sent = traffic.raw.depth(&work).await;
    // None was sent and left, or left out.
    assert_eq!(traffic.await_at_least(&format!("{name}.dead"), 40 - sent).await, 40 - sent);
    let summary = lines(&site.about(&["dlq", "replay", "--all", "--json"]), 0).remove(0);
    assert_eq!(summary["done"].as_u64(), Some(u64::from(40 - sent)), "{summary}");
    assert_eq!(traffic.await_at_least(&work, 40).await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_quorum_queue_the_cost_is_named_and_no_letter_is_lost_for_being_looked_at() {
    let (name, site, traffic) = site_with_letters("counted", ", kind = \"quorum\"", 450).await;
    let page = said(&site.about(&["dlq", "show", "m-2"]), 0);
    assert!(page.contains("not looked at") && page.contains("--yes"), "{page}");
    let asked = site.about(&["dlq", "replay", "--all"]);
    let told = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(asked.status.code() == Some(1) && told.contains("quorum"), "{told}");
    let page = said(&site.about(&["dlq", "show", "m-2", "--yes"]), 0);
    assert!(page.contains("\"kwh\": 5000"), "{page}");
    // More than one consumer's window, each letter that stays counted once more.
    let some = ["dlq", "replay", "--code", "negative_energy", "--yes", "--json"];
    let summary = lines(&site.about(&some), 0).remove(0);
    assert_eq!((&summary["done"], &summary["seen"]), (&90.into(), &450.into()), "{summary}");
    let dead = format!("{name}.dead");
    assert_eq!(traffic.await_at_least(&dead, 360).await, 360);
    said(&site.about(&["dlq", "ls", "--check", "--yes"]), 0);
    assert_eq!(traffic.await_at_least(&dead, 360).await, 360);
}
