//! A running host that follows its config, on the embedded broker.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use sluicegate::admin::ReloadOutcome;

use super::world::{MAIN, SINK, WORK, World, json, order, until};

/// Pipelines that random configs have or haven't.
const PIPELINES: usize = 3;
/// Configs in a row.
const CONFIGS: usize = 12;
/// Messages that are published between two looks at whether there is enough.
const BURST: u64 = 8;

/// How a plugin's other settings come to serve, where that isn't what a test is about.
pub(super) const BRIEF: &str =
    r#"reload = { trial = { time = "10ms" }, probation = { time = "10ms" } }"#;

/// Queues `q0`, `q1`, …, each fed by its own routing keys.
fn queues() -> String {
    let queue = |n: usize| {
        format!(
            "[[queue]]\nname = \"q{n}\"\nbind = [{{ exchange = \"in\", key = \"order.{n}.*\" }}]\n\
             dead_letter = {{ exchange = \"dead\", queue = \"dead\" }}\n"
        )
    };
    (0..PIPELINES).map(queue).collect()
}

/// A config of these pipelines, each in some way or other.
fn random(r: &mut Rng, all: bool) -> String {
    let mut text = String::from("[[plugin]]\nname = \"ledger\"\nfile = \"ledger.wasm\"\n");
    let _ = writeln!(text, "limits = {{ call = \"{}s\" }}\n{BRIEF}", r.u8(2..5));
    text.push_str(
        "[[plugin]]\nname = \"second\"\nfile = \"ledger.wasm\"\nconfig = { name = \"second\" }\n",
    );
    for n in 0..PIPELINES {
        if !all && r.u8(..4) == 0 {
            continue;
        }
        let stages =
            ["[\"ledger\"]", "[\"ledger\", \"second\"]", "[\"second\", \"ledger\"]"][r.usize(..3)];
        let _ = write!(
            text,
            "[[pipeline]]\nname = \"p{n}\"\nqueue = \"q{n}\"\nkey = {{ header = \"key\" }}\n\
             stages = {stages}\nprefetch = {}\nbatch = {{ messages = {} }}\n\
             outputs.out = {{ exchange = \"out\" }}\n",
            [2, 10, 100][r.usize(..3)],
            [1, 4, 64][r.usize(..3)],
        );
    }
    text
}

/// Configs follow each other while messages come; every message must be counted once, in the order of
/// its key.
async fn configs_follow_each_other(seed: u64) {
    let mut r = Rng::with_seed(seed);
    let (queues, first) = (queues(), random(&mut r, true));
    let mut world = World::start(&[&queues, SINK, &first]).await;
    let mut published: u64 = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    for number in 0..=CONFIGS {
        let config = random(&mut r, number == CONFIGS);
        let parts = [queues.as_str(), SINK, &config];
        let applied = world.reconfigure(&parts);
        tokio::pin!(applied);
        loop {
            let key = |id: u64| format!("{}.{}", id % 3, id / 3 % 4);
            let orders = (published..published + BURST).map(|id| order(id, &key(id), ""));
            world.publish(orders).await;
            published += BURST;
            tokio::select! {
                biased;
                reloaded = &mut applied => {
                    assert!(reloaded.problems.is_empty(), "{reloaded:?}");
                    break;
                }
                _ = ticks.tick() => {}
            }
        }
    }
    for n in 0..PIPELINES {
        world.settled(&format!("q{n}")).await;
    }
    assert!(!world.stop(Duration::from_secs(60)).await.forced);
    let mut last: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut counted = 0;
    for message in world.rest("sink") {
        let line = json(&message);
        if line["stage"] != "" {
            continue;
        }
        let (id, n) = (line["id"].as_u64().unwrap(), line["n"].as_u64().unwrap());
        let key = message.properties.headers.text("key").unwrap_or_default().to_owned();
        let before = last.insert(key.clone(), (id, n));
        let (last_id, last_n) = before.map_or((None, 0), |(id, n)| (Some(id), n));
        assert!(last_id < Some(id), "seed {seed}, key {key}: {id} after {last_id:?}");
        assert_eq!(n, last_n + 1, "seed {seed}, key {key}: state outlasts pipelines");
        counted += 1;
    }
    assert_eq!(counted, published, "seed {seed}: none lost, none doubled");
    assert!(world.rest("dead").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_configs_follow_each_other_no_message_is_lost_or_doubled_or_overtaken() {
    for seed in 0..4 {
        configs_follow_each_other(seed).await;
    }
}

#[tokio::test]
async fn an_altered_pipeline_keeps_its_state_and_what_it_knows_of_messages() {
    let world = World::usual().await;
    world.publish([order(1, "a", ""), order(2, "a", "")]).await;
    world.take("sink", 2).await;
    world.settled("work").await;
    let altered = MAIN.replace("max_attempts = 3", "max_attempts = 2");
    let reloaded = world.reconfigure(&[WORK, SINK, &altered]).await;
    assert_eq!(reloaded.done, ["pipeline 'main' altered: retry"]);
    world.publish([order(2, "a", ""), order(3, "a", "")]).await;
    let line = json(&world.take("sink", 1).await[0]);
    assert_eq!((line["id"].as_u64(), line["n"].as_u64()), (Some(3), Some(3)), "2 is known");
    world.settled("work").await;
    assert!(world.rest("sink").is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_config_whose_queue_cant_be_had_changes_nothing_at_all() {
    let world = World::usual().await;
    let other = WORK.replace("max_priority = 9", "max_priority = 3");
    let altered = MAIN.replace("max_attempts = 3", "max_attempts = 1");
    let reloaded = world.reconfigure(&[&other, SINK, &altered]).await;
    assert_eq!(reloaded.outcome, ReloadOutcome::Failed, "{reloaded:?}");
    assert!(reloaded.problems[0].contains("x-max-priority"), "{reloaded:?}");
    // Still three attempts.
    world.publish([order(1, "a", "retry_until:3")]).await;
    world.take("sink", 1).await;
    world.end().await;
}

#[tokio::test]
async fn a_plugin_with_another_config_serves_without_its_pipeline_being_touched() {
    let world = World::usual().await;
    let main = MAIN.replace("limits =", &format!("{BRIEF}\nlimits ="));
    let deaf = main.replace("limits =", "config = { output = \"void\" }\nlimits =");
    let deaf = deaf.replace(
        "outputs.void = { exchange = \"void\" }",
        "outputs.void = { exchange = \"void\", unroutable = \"drop\" }",
    );
    let open = main.replace(
        "outputs.void = { exchange = \"void\" }",
        "outputs.void = { exchange = \"void\", unroutable = \"drop\" }",
    );
    world.reconfigure(&[WORK, SINK, &open]).await;
    let reloaded = world.reconfigure(&[WORK, SINK, &deaf]).await;
    assert_eq!(reloaded.done, ["plugin 'ledger' altered: config"]);
    world.publish([order(1, "a", "")]).await;
    until("it is done", || world.figures().done == 1).await;
    assert!(world.rest("sink").is_empty(), "it tells another output");
    let reloaded = world.reconfigure(&[WORK, SINK, &open]).await;
    assert_eq!(reloaded.outcome, ReloadOutcome::Applied);
    world.publish([order(2, "a", "")]).await;
    let line = json(&world.take("sink", 1).await[0]);
    assert_eq!(line["n"].as_u64(), Some(2), "state isn't the plugin's");
    world.end().await;
}

#[tokio::test]
async fn a_pipeline_that_is_taken_out_leaves_its_messages_in_the_queue() {
    let mut world = World::usual().await;
    world.publish([order(1, "a", "")]).await;
    world.take("sink", 1).await;
    let reloaded = world.reconfigure(&[WORK, SINK]).await;
    assert_eq!(reloaded.done, ["plugin 'ledger' removed", "pipeline 'main' removed"]);
    world.publish([order(2, "a", "")]).await;
    assert_eq!(world.broker.queue_depth("work"), (1, 0));
    world.reconfigure(&[WORK, SINK, MAIN]).await;
    world.take("sink", 1).await;
    assert!(!world.stop(Duration::from_secs(60)).await.forced);
}
