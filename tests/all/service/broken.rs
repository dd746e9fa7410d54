//! Plugins that fail more than their breaker allows: their pipelines pause, nothing is spent on them, and
//! things go on by themselves.

use std::time::{Duration, Instant};

use super::process::{Site, sluicegate, until};
use super::traffic::{Traffic, broker, echoing, id};
use crate::rabbit::{node, unique};
use crate::sandbox::bomb::bomb;
use crate::tidy::source::root;
use sluicegate_tests::guests::HOSTILE;

const BREAKER: &str = "breaker = { at_least = 5, window = \"1m\" }";

fn site(name: &str, breaker: &str) -> Site {
    let config = echoing(name, "call = \"1s\", memory = \"64MiB\"", "", "");
    let config = config.replace("breaker = false", breaker);
    let site = Site::new(&format!("{}{config}", broker(node())));
    site.write("hostile.wasm", HOSTILE);
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_plugin_pauses_its_pipeline_spends_no_message_and_goes_on_by_itself() {
    let name = unique("broken");
    let site = site(&name, BREAKER);
    let host = site.run();
    assert!(site.tell(&["pause", &name]).status.success());
    let traffic = Traffic::on(node()).await;
    let (input, out, dead) = (format!("{name}.in"), format!("{name}.out"), format!("{name}.dead"));
    traffic.fill(&input, 100, b"trap").await;
    assert!(site.tell(&["resume", &name]).status.success());
    let reasons = host.await_unready("is broken");
    assert!(reasons.contains("plugin 'hostile'") && reasons.contains("trap"), "{reasons}");
    until("people can be told", || {
        host.metric("sluicegate_condition", &["plugin_broken", "hostile"]) > 0.5
    });
    let status = site.tell(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("broken"), "{status:?}");
    // What failed before the breaker opened, at most: five of them, and what ran meanwhile.
    traffic.await_at_least(&input, 84).await;
    let spent = traffic.raw.depth(&dead).await;
    assert!(spent <= 16, "{spent} were spent on a plugin that is broken");
    // Somebody takes them away: there is nothing to try it with, or a message that passes.
    let gone = Instant::now() + Duration::from_secs(60);
    while host.get("/ready").0 != 200 {
        assert!(Instant::now() < gone, "{}", host.get("/ready").1);
        traffic.take_all(&input).await;
    }
    traffic.send(&input, id("good"), b"echo").await;
    traffic.raw.await_depth(&out, 1).await;
    assert!(traffic.raw.depth(&dead).await <= 16);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_at_the_head_is_judged_once_another_message_has_passed() {
    let name = unique("poisoned");
    let site = site(&name, BREAKER);
    let host = site.run();
    assert!(site.tell(&["pause", &name]).status.success());
    let traffic = Traffic::on(node()).await;
    let input = format!("{name}.in");
    traffic.fill(&input, 12, b"trap").await;
    for n in 0..30 {
        traffic.send(&input, id(format!("good-{n}")), b"echo").await;
    }
    assert!(site.tell(&["resume", &name]).status.success());
    traffic.raw.await_depth(&format!("{name}.out"), 30).await;
    traffic.raw.await_depth(&format!("{name}.dead"), 12).await;
    host.await_ready();
    assert_eq!(traffic.raw.depth(&input).await, 0);
    let outputs = traffic.inputs(&format!("{name}.out")).await;
    assert!(outputs.iter().all(|(_, times)| *times == 1), "{outputs:?}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_poison_at_the_head_than_a_probe_holds_stops_a_pipeline_for_no_longer_than_some_probes()
 {
    let name = unique("poisoned-deep");
    let site = site(&name, BREAKER);
    let host = site.run();
    assert!(site.tell(&["pause", &name]).status.success());
    let traffic = Traffic::on(node()).await;
    let input = format!("{name}.in");
    // What failed before the breaker opened is judged; more than a first probe holds is left.
    traffic.fill(&input, 40, b"trap").await;
    for n in 0..60 {
        traffic.send(&input, id(format!("good-{n}")), b"echo").await;
    }
    assert!(site.tell(&["resume", &name]).status.success());
    traffic.await_at_least(&format!("{name}.out"), 1).await;
    traffic.raw.await_depth(&format!("{name}.out"), 60).await;
    traffic.raw.await_depth(&format!("{name}.dead"), 40).await;
    host.await_ready();
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_broken_plugin_can_be_dead_lettered_without_a_call() {
    let name = unique("refused");
    let site = site(&name, &format!("{BREAKER}\non_broken = \"dead-letter\""));
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    traffic.fill(&format!("{name}.in"), 100, b"trap").await;
    traffic.raw.await_depth(&format!("{name}.dead"), 100).await;
    let called = host.metric("sluicegate_plugin_instances_replaced_total", &[&name, "trap"]);
    assert!(called < 60.0, "{called} calls of 100 messages that trap");
    let reports = traffic.reports(&format!("{name}.failures")).await;
    let uncalled = reports.values().filter(|it| it["text"].to_string().contains("wasn't called"));
    assert!(uncalled.count() > 40);
    // The next one that is let through shows that it works.
    until("it is tried again", || {
        host.metric("sluicegate_condition", &["plugin_broken", "hostile"]) > 0.5
    });
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_memory_has_grown_is_replaced_before_it_fails() {
    let name = unique("leaking");
    let config = echoing(&name, "call = \"1s\", memory = \"64MiB\"", "", "");
    let site = Site::with(&format!("{}{config}", broker(node())), "shards = 1");
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    // Eight mebibytes each: six of them are past three quarters of its limit.
    traffic.fill(&format!("{name}.in"), 6, b"leak").await;
    until("the instance is replaced", || {
        host.metric("sluicegate_plugin_instances_recycled_total", &[&name]) > 0.5
    });
    for n in 0..5 {
        traffic.send(&format!("{name}.in"), id(format!("more-{n}")), b"leak").await;
    }
    until("all ran", || host.metric("sluicegate_plugin_messages_total", &[&name]) > 10.5);
    assert_eq!(traffic.raw.depth(&format!("{name}.dead")).await, 0);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impure_plugin_is_found_on_live_messages() {
    let name = unique("impure");
    let site = site(&name, "purity_sample = 1");
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let input = format!("{name}.in");
    traffic.fill(&input, 200, b"counter").await;
    until("it is found", || {
        host.metric("sluicegate_condition", &["plugin_impure", "hostile"]) > 0.5
    });
    assert!(host.metric("sluicegate_plugin_calls_rechecked_total", &[&name, "impure"]) > 0.0);
    host.stop();
}

/// What the host says when it loads the hostile guest under such limits, without a cache.
fn loading(limits: &str) -> (bool, String) {
    let name = unique("bounds");
    let config = echoing(&name, limits, "", "");
    let site = Site::new(&format!("[broker.main]\nurl = \"embedded:\"\n{config}"));
    let file = site.path("sluicegate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let cache = text.lines().find(|line| line.starts_with("cache_dir")).unwrap();
    std::fs::write(&file, text.replace(cache, "cache_dir = false")).unwrap();
    site.write("hostile.wasm", HOSTILE);
    let host = site.start();
    until("it is ready or gone", || {
        host.try_get("/ready").is_some_and(|(code, _)| code == 200)
            || host.log().contains("limits.")
    });
    let ready = host.try_get("/ready").is_some_and(|(code, _)| code == 200);
    (ready, host.log())
}

#[test]
fn a_plugin_whose_compiling_takes_too_much_is_refused_with_the_limit() {
    let (ready, told) = loading("compile_memory = \"64MiB\"");
    assert!(!ready && told.contains("limits.compile_memory"), "{told}");
    let (ready, told) = loading("");
    assert!(ready, "{told}");
}

#[test]
fn a_small_component_that_the_compiler_chokes_on_is_refused_by_time_and_by_memory() {
    let component = bomb();
    assert!(component.len() < 1 << 20, "{} bytes", component.len());
    let checked = |limits: &str| {
        let config = echoing("bomb", limits, "", "");
        let site = Site::new(&format!("[broker.main]\nurl = \"embedded:\"\n{config}"));
        site.write("hostile.wasm", &component);
        let file = site.path("sluicegate.toml");
        let checked = sluicegate(&["check", "-c", file.to_str().unwrap()]);
        assert!(!checked.status.success());
        String::from_utf8_lossy(&checked.stderr).into_owned()
            + &String::from_utf8_lossy(&checked.stdout)
    };
    let told = checked("compile = \"1s\"");
    assert!(told.contains("takes longer than 1 s (limits.compile)"), "{told}");
    let told = checked("compile_memory = \"300MiB\"");
    assert!(told.contains("more than 314572800 bytes of memory (limits.compile_memory)"), "{told}");
    let page = std::fs::read_to_string(root().join("docs/sandbox.md")).unwrap();
    let row =
        "| keeps the compiler busy, or fills its memory | compiling | refused | …limits.compile… |";
    assert!(page.contains(row), "docs/sandbox.md lacks {row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rising_share_of_rejects_is_told_and_opens_nothing() {
    let name = unique("rejecting");
    let config = echoing(&name, "", "", "").replace("hostile.wasm", "builtin:meter-validate");
    let config = config.replace("breaker = false", BREAKER);
    let site = Site::new(&format!("{}{config}", broker(node())));
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let (input, dead) = (format!("{name}.in"), format!("{name}.dead"));
    let rising = || host.metric("sluicegate_condition", &["failures_rising", &name]);
    let deadline = Instant::now() + Duration::from_secs(90);
    let mut sent = 0;
    while rising() < 0.5 {
        assert!(Instant::now() < deadline, "{sent} rejects, and nobody is told");
        traffic.send(&input, id(format!("n-{sent}")), b"no reading").await;
        sent += 1;
        traffic.raw.await_depth(&dead, sent).await;
    }
    assert!(host.metric("sluicegate_condition", &["plugin_broken", "hostile"]) < 0.5);
    assert_eq!(host.get("/ready").0, 200);
    host.stop();
}

#[test]
fn the_verb_that_compiles_is_not_for_people() {
    let help = sluicegate(&["--help"]);
    assert!(!String::from_utf8_lossy(&help.stdout).contains("compile-plugin"));
}
