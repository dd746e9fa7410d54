//! Plugins that are swapped while messages flow: on a real broker, by the real binary, as an operator does.

mod load;
mod long;
mod schema;

use std::fs;

use serde_json::Value;
use sluicegate_tests::guests::{COURIER, OTHER_WORLD, TALLY, TALLY_NEXT};

use self::load::Load;
use super::process::{Host, Site, until};
use super::traffic::{Traffic, broker};
use crate::rabbit::{node, unique};

/// Short, so that tests are: what is the default takes ten seconds a swap.
const SHORT: &str = r#"watch = false, trial = { messages = 100, time = "2s" }, probation = { messages = 100, time = "1s" }"#;

/// A pipeline of two stages of one plugin that keeps state.
pub(super) fn site(name: &str, reload: &str) -> Site {
    let site = Site::new(&config(name, reload));
    site.write("tally.wasm", TALLY);
    site
}

fn config(name: &str, reload: &str) -> String {
    format!(
        r#"
{broker}
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "tally"
file = "tally.wasm"
reload = {{ {reload} }}
[[queue]]
name = "{name}.in"
dead_letter = {{ queue = "{name}.dead" }}
[[exchange]]
name = "{name}.lines"
kind = "fanout"
[[queue]]
name = "{name}.out"
bind = [{{ exchange = "{name}.lines" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.in"
stages = ["tally", "tally"]
key = {{ header = "key" }}
outputs.out = {{ exchange = "{name}.lines" }}
"#,
        broker = broker(node())
    )
}

/// Saves over the plugin's file, as a build does.
pub(super) fn save(site: &Site, wasm: &[u8]) {
    let beside = site.write("tally.wasm.new", wasm);
    fs::rename(beside, site.path("tally.wasm")).unwrap();
}

/// What `sluicegate reload tally`, or other words, ended with: the exit code, and the last line.
pub(super) fn told(site: &Site, words: &[&str]) -> (i32, Value) {
    let output = site.tell(words);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().last().unwrap_or_else(|| panic!("it said nothing: {errors}"));
    (output.status.code().unwrap(), serde_json::from_str(last).unwrap())
}

fn reload(site: &Site) -> (i32, Value) {
    told(site, &["reload", "tally", "--json"])
}

fn text(line: &Value) -> &str {
    line["text"].as_str().unwrap()
}

/// The version that serves, as `status` has it.
fn digest(site: &Site) -> String {
    let output = site.tell(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["plugins"][0]["digest"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_isnt_fit_to_serve_is_refused_and_the_old_version_serves_on() {
    let name = unique("unfit");
    let site = site(&name, SHORT);
    let host = site.run();
    let before = digest(&site);
    let mut odd = TALLY_NEXT.to_vec();
    odd.extend(b"\0odd");
    let unfit: [(&[u8], &str); 5] = [
        (&TALLY_NEXT[..TALLY_NEXT.len() / 2], "isn't whole"),
        (&odd, "isn't whole"),
        (OTHER_WORLD, "another world"),
        (COURIER, "refuses its config"),
        (b"no component", "isn't a WebAssembly component"),
    ];
    for (wasm, why) in unfit {
        save(&site, wasm);
        let (code, last) = reload(&site);
        assert_eq!((code, &last["outcome"]), (5, &"kept_old".into()), "{why}: {last}");
        assert!(text(&last).contains(why), "{why}: {last}");
    }
    assert_eq!(digest(&site), before);
    assert!(host.metric("sluicegate_condition", &["plugin_held_back", "tally"]) > 0.0);

    let load = Load::start(&name, 100).await;
    load.await_lines(50).await;
    save(&site, TALLY);
    let (code, last) = reload(&site);
    assert_eq!((code, &last["outcome"]), (0, &"unchanged".into()), "{last}");
    assert!(host.metric("sluicegate_condition", &["plugin_held_back", "tally"]) == 0.0);
    load.end().await.assert_clean();
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_traps_on_live_messages_is_stopped_by_its_trial() {
    let name = unique("trapping");
    let site = site(&name, SHORT);
    let host = site.run();
    let load = Load::doing(&name, 200, |n| if n % 10 == 0 { "trap" } else { "" }).await;
    load.await_lines(100).await;
    let before = digest(&site);
    save(&site, TALLY_NEXT);
    let (code, last) = reload(&site);
    assert_eq!((code, &last["outcome"]), (5, &"kept_old".into()), "{last}");
    let why = text(&last);
    assert!(why.contains("trial") && why.contains("version 2 can't do this"), "{why}");
    assert_eq!(digest(&site), before);
    load.end().await.assert_clean();
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_once_it_serves_is_put_back_and_no_update_is_lost() {
    let name = unique("failing");
    let long = r#"watch = false, trial = { messages = 100, time = "2s" }, probation = { messages = 100000, time = "1m" }"#;
    let site = site(&name, long);
    let host = site.run();
    let load = Load::start(&name, 200).await;
    load.await_lines(200).await;
    let before = digest(&site);
    save(&site, TALLY_NEXT);
    let told = std::thread::scope(|scope| {
        let reloading = scope.spawn(|| reload(&site));
        host.said("version 0.1.0 serves");
        // It has counted in its own schema before it begins to fail.
        until("the next version counts", || load.counted_by(2) > 50);
        load.does("reject");
        reloading.join().unwrap()
    });
    let (code, last) = told;
    assert_eq!((code, &last["outcome"]), (6, &"rolled_back".into()), "{last}");
    assert!(text(&last).contains("failed, where 0 of"), "{last}");
    assert_eq!(digest(&site), before);
    assert!(host.metric("sluicegate_condition", &["plugin_held_back", "tally"]) > 0.0);
    // The one that is put back lets the same messages pass, and counts on.
    load.await_lines(200).await;
    let came = load.end().await;
    let dead = Traffic::on(node()).await.raw.depth(&format!("{name}.dead")).await;
    assert!(dead > 2, "{dead}");
    came.assert_clean_but(dead as usize);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_version_is_put_back_on_request_and_its_file_isnt_taken_up_until_it_changes() {
    let name = unique("former");
    let quiet = r#"trial = { time = "100ms" }, probation = { time = "100ms" }"#;
    let site = site(&name, quiet);
    let host = site.run();
    let first = digest(&site);
    save(&site, TALLY_NEXT);
    let said = host.said("plugin reloaded");
    assert!(said.contains("untested"), "{said}");
    let second = digest(&site);
    assert_ne!(first, second);

    let (code, last) = told(&site, &["plugin", "rollback", "tally", "--json"]);
    assert_eq!((code, &last["outcome"]), (0, &"reloaded".into()), "{last}");
    assert_eq!(digest(&site), first);
    let history = site.tell(&["plugin", "history", "--json"]);
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    let by: Vec<&str> =
        history["tally"].as_array().unwrap().iter().map(|it| it["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["rollback", "reload", "start"]);

    let to = &second[..8];
    let (code, last) = told(&site, &["plugin", "rollback", "tally", "--to", to, "--json"]);
    assert_eq!((code, digest(&site)), (0, second), "{last}");
    let (code, _) = told(&site, &["plugin", "rollback", "tally", "--to", "ffff", "--json"]);
    assert_eq!(code, 5);
    host.stop();
    save(&site, TALLY);
    // What the config names serves after a restart, and it is said where that isn't what served last.
    let host: Host = site.run();
    host.said("isn't what served last");
    assert_eq!(digest(&site), first);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_quiet_queue_a_version_is_tried_on_recorded_calls() {
    let name = unique("quiet");
    let site = Site::new(&format!("{}record = {{ sample = 1.0 }}\n", config(&name, SHORT)));
    site.write("tally.wasm", TALLY);
    let host = site.run();
    let load = Load::start(&name, 100).await;
    load.await_lines(40).await;
    load.end().await.assert_clean();
    until("calls are recorded", || {
        host.metric("sluicegate_capsules_recorded_total", &[&name]) > 9.0
    });
    save(&site, TALLY_NEXT);
    let (code, last) = reload(&site);
    assert_eq!((code, &last["outcome"]), (0, &"reloaded".into()), "{last}");
    assert!(text(&last).contains("recorded messages"), "{last}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_everything_takes_up_the_files_of_plugins_too() {
    let name = unique("everything");
    let quiet = r#"watch = false, trial = { time = "100ms" }, probation = { time = "100ms" }"#;
    let site = site(&name, quiet);
    let host = site.run();
    let everything = || {
        let output = site.tell(&["reload", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), told)
    };
    let first = digest(&site);
    assert_eq!(everything().1["outcome"], "unchanged");
    save(&site, TALLY_NEXT);
    let (code, told) = everything();
    assert_eq!((code, &told["outcome"]), (0, &"applied".into()), "{told}");
    assert!(told["done"][0].as_str().unwrap().starts_with("plugin 'tally' reloaded"), "{told}");
    let second = digest(&site);
    assert_ne!(first, second);

    save(&site, COURIER);
    let (code, told) = everything();
    assert_eq!((code, &told["outcome"]), (5, &"kept_old".into()), "{told}");
    assert!(told["problems"][0].as_str().unwrap().contains("refuses its config"), "{told}");
    assert!(host.get("/ready").1.contains("plugin 'tally': kept old"), "{}", host.get("/ready").1);
    let (code, told) = everything();
    assert_eq!((code, &told["outcome"]), (0, &"unchanged".into()), "its file is no news: {told}");
    assert!(told["warnings"][0].as_str().unwrap().contains("refuses its config"), "{told}");
    assert_eq!(digest(&site), second);

    // What an operator put back stays until the file changes.
    let (code, last) = self::told(&site, &["plugin", "rollback", "tally", "--json"]);
    assert_eq!((code, digest(&site)), (0, first.clone()), "{last}");
    assert_eq!(everything().1["outcome"], "unchanged");
    assert_eq!(digest(&site), first);
    host.stop();
}
