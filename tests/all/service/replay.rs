//! Calls that were recorded on a host, run again here; a look at one that runs; messages through a
//! pipeline without its broker.

use std::thread;

use serde_json::Value;
use sluicegate_tests::guests::{HOSTILE, NET_METER};

use super::process::{Site, until};
use super::traffic::{Traffic, broker, echoing, id};
use crate::rabbit::{node, unique};

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", said(bytes)))
}

fn site(name: &str) -> Site {
    let limits = r#"call = "5s", memory = "16MiB""#;
    let site = Site::new(&format!("{}{}", broker(node()), echoing(name, limits, "", "")));
    site.write("hostile.wasm", HOSTILE);
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_on_a_host_is_run_again_from_its_capsule_and_ends_the_same_ten_times_of_ten() {
    let name = unique("replayed");
    let site = site(&name);
    let host = site.run();
    assert!(site.tell(&["pause", &name]).status.success());
    let traffic = Traffic::on(node()).await;
    let (input, out) = (format!("{name}.in"), format!("{name}.out"));
    for n in 0..20 {
        traffic.send(&input, id(format!("good-{n}")), b"echo").await;
    }
    traffic.send(&input, id("culprit"), b"panic").await;
    assert!(site.tell(&["resume", &name]).status.success());
    traffic.raw.await_depth(&out, 20).await;
    traffic.raw.await_depth(&format!("{name}.dead"), 1).await;
    host.stop();
    let report = traffic.reports(&format!("{name}.failures")).await.remove("culprit").unwrap();
    let failure = report["id"].as_str().unwrap();

    let again = site.about(&["replay", failure, "--times", "10", "--json"]);
    assert!(again.status.success(), "{} {}", said(&again.stdout), said(&again.stderr));
    let told = json(&again.stdout);
    assert_eq!((told["identical"].as_u64(), told["times"].as_u64()), (Some(10), Some(10)));
    assert_eq!(told["outcome"]["failed"]["text"], report["text"]);
    assert_eq!(told["outcome"]["failed"]["backtrace"], report["backtrace"]);
    let text = said(&site.about(&["replay", failure, "--times", "10"]).stdout);
    assert!(text.contains("identical, 10 of 10") && text.contains("boom, as told"), "{text}");

    // The capsule alone, elsewhere, beside the plugin's file.
    let capsule = told["capsule"].as_str().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("call.capsule");
    std::fs::copy(capsule, &moved).unwrap();
    std::fs::copy(site.path("hostile.wasm"), elsewhere.path().join("p.wasm")).unwrap();
    let moved = moved.to_str().unwrap();
    let again = super::process::sluicegate(&["replay", moved]);
    assert!(again.status.success(), "{}", said(&again.stderr));

    let cases = elsewhere.path().join("cases");
    let wrote =
        super::process::sluicegate(&["replay", moved, "--as-test", cases.to_str().unwrap()]);
    assert!(wrote.status.success(), "{}", said(&wrote.stderr));
    let case = std::fs::read_to_string(said(&wrote.stdout).trim()).unwrap();
    assert!(case.contains("panic") && case.contains("boom, as told"), "{case}");

    let mended = site.write("mended.wasm", NET_METER);
    let other =
        super::process::sluicegate(&["replay", moved, "--plugin", mended.to_str().unwrap()]);
    assert_eq!(other.status.code(), Some(1), "{}", said(&other.stderr));
    let text = said(&other.stdout);
    assert!(text.contains("another version") && text.contains("different, 1 of 1"), "{text}");
    assert!(text.contains("was trap: ") && text.contains("is  reject "), "{text}");
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_shows_what_happens_and_bodies_only_where_asked() {
    let name = unique("tapped");
    let site = site(&name);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (site, looked) = (std::sync::Arc::new(site), name.clone());
    let tap = |words: &'static [&'static str]| {
        let (site, looked) = (site.clone(), looked.clone());
        thread::spawn(move || {
            let mut all = vec!["tap", &looked, "--json", "--limit", "3"];
            all.extend(words);
            site.tell(&all)
        })
    };
    let looking = [tap(&[]), tap(&["--bodies", "--record"])];
    until("both look on", || host.log().matches("control: followed").count() == 2);
    for body in ["echo", "done", "panic"] {
        traffic.send(&format!("{name}.in"), id(body), body.as_bytes()).await;
    }
    let [plain, with] = looking.map(|looking| looking.join().unwrap());
    assert!(plain.status.success() && with.status.success(), "{}", said(&with.stderr));
    let (plain, with) = (said(&plain.stdout), said(&with.stdout));
    assert_eq!(plain.lines().count(), 3, "{plain}");
    assert!(plain.contains("\"body_bytes\":4") && !plain.contains("\"body\":"), "{plain}");
    assert!(with.contains("\"body\":\"echo\""), "{with}");
    let refused = site.tell(&["tap", "nobody"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused.stderr).contains("there is no pipeline 'nobody'"));
    host.stop();
    let kept = site.path("state").join("capsules");
    assert!(kept.exists(), "a tap may ask for capsules");
}

#[test]
fn recorded_messages_run_through_a_pipeline_without_its_broker() {
    let config = echoing("lab", r#"call = "5s""#, "", "");
    // Nobody listens there.
    let site = Site::new(&format!("[broker.main]\nurl = \"amqp://127.0.0.1:1/%2f\"\n{config}"));
    site.write("hostile.wasm", HOSTILE);
    let lines = [
        r#"{"exchange":"meters","routing_key":"meter.7","message_id":"a","body_base64":"ZWNobw=="}"#,
        r#"{"exchange":"meters","routing_key":"meter.8","message_id":"b","body":"echo"}"#,
        r#"{"exchange":"meters","routing_key":"meter.9","message_id":"c","body":"panic"}"#,
    ];
    let file = site.write("messages.jsonl", lines.join("\n").as_bytes());
    let words = ["replay", "--from", file.to_str().unwrap(), "--pipeline", "lab"];
    let ran = site.about(&words);
    let text = said(&ran.stdout);
    assert_eq!(ran.status.code(), Some(4), "{text}{}", said(&ran.stderr));
    assert!(text.contains("messages  3 in") && text.contains("2 done"), "{text}");
    assert!(text.contains("failure   trap trap: 1"), "{text}");

    let ran = site.about(&[&words[..], &["--json", "--pace", "100/s"]].concat());
    let text = said(&ran.stdout);
    let lines: Vec<Value> = text.lines().map(|line| json(line.as_bytes())).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["output"], lines[1]["output"]);
    assert_eq!(lines[2]["summary"]["failed"], 1);
    assert_eq!(lines[2]["summary"]["sent"], 3);
    let unknown = site.about(&["replay", "--from", words[2], "--pipeline", "nope"]);
    assert!(said(&unknown.stderr).contains("no pipeline 'nope'; it has: lab"));
}
