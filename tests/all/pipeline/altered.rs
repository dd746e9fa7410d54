//! Plugins, tables and recorders of a running host that another config alters.

use sluicegate::admin::{ReloadOutcome, Reloaded};

use super::reconfigured::BRIEF;
use super::world::{MAIN, SINK, WORK, World, json, order, until};

/// The pipeline `main`, whose plugin has these keys besides.
fn main_with(plugin: &str) -> String {
    MAIN.replace("limits =", &format!("{plugin}\nlimits ="))
}

/// Has the config followed while messages come that ask for that.
async fn under_load(world: &World, main: &str, (what, at): (&str, &str)) -> Reloaded {
    let parts = [WORK, SINK, main];
    let applied = world.reconfigure(&parts);
    tokio::pin!(applied);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(1));
    for id in 1.. {
        tokio::select! {
            biased;
            reloaded = &mut applied => return reloaded,
            _ = ticks.tick() => {
                let mut order = order(id, "a", what);
                order.body["at"] = at.into();
                world.publish([order]).await;
            }
        }
    }
    unreachable!("ids are many")
}

#[tokio::test]
async fn other_settings_that_fail_their_trial_have_the_whole_config_refused() {
    let strict = r#"reload = { trial = { messages = 20, time = "1m", max_difference = 0.0 }, probation = { time = "10ms" } }"#;
    let world = World::start(&[WORK, SINK, &main_with(strict)]).await;
    let altered = main_with(&format!("config = {{ output = \"void\" }}\n{strict}"))
        .replace("max_attempts = 3", "max_attempts = 1");
    let reloaded = under_load(&world, &altered, ("", "")).await;
    assert_eq!(reloaded.outcome, ReloadOutcome::Failed, "{reloaded:?}");
    let problem = &reloaded.problems[0];
    assert!(
        problem.contains("plugin 'ledger': trial") && problem.contains("otherwise"),
        "{problem}"
    );
    // Neither the plugin nor the pipeline: three attempts, and the old output.
    world.settled("work").await;
    world.rest("sink");
    world.publish([order(0, "b", "retry_until:3")]).await;
    let line = json(&world.take("sink", 1).await[0]);
    assert_eq!(line["attempt"].as_u64(), Some(3), "{line}");
    world.end().await;
}

#[tokio::test]
async fn other_settings_that_fail_once_they_serve_are_put_back_and_all_else_stays_applied() {
    let short =
        r#"reload = { trial = { messages = 10, time = "1m" }, probation = { time = "1m" } }"#;
    let world = World::start(&[WORK, SINK, &main_with(short)]).await;
    // Under that name it obeys, and rejects; under its own it lets them pass.
    let altered = main_with(&format!("config = {{ name = \"strict\" }}\n{short}"))
        .replace("max_attempts = 3", "max_attempts = 2");
    let reloaded = under_load(&world, &altered, ("reject", "strict")).await;
    assert_eq!(reloaded.outcome, ReloadOutcome::RolledBack, "{reloaded:?}");
    assert!(reloaded.problems[0].contains("former settings"), "{reloaded:?}");
    assert!(reloaded.done.contains(&"pipeline 'main' altered: retry".to_owned()), "{reloaded:?}");
    let notes = world.status().readiness.notes.join("\n");
    assert!(notes.contains("the config file isn't what runs"), "{notes}");
    assert!(notes.contains("plugin 'ledger': rolled back"), "{notes}");
    world.settled("work").await;
    let dead = world.rest("dead").len();
    assert!(dead >= 3, "{dead}");
    let lines = world.rest("sink");
    let last = json(lines.last().expect("some passed"))["n"].as_u64();
    assert_eq!(last, Some(lines.len() as u64), "every message that passed is counted once");

    let mut again = order(0, "a", "reject");
    again.body["at"] = "strict".into();
    world.publish([again]).await;
    let line = json(&world.take("sink", 1).await[0]);
    assert_eq!(line["n"].as_u64(), last.map(|n| n + 1), "the former settings serve");
    // What was put back is what the host runs: the same file differs again.
    let reloaded = world.reconfigure(&[WORK, SINK, &main_with(short)]).await;
    assert_eq!(reloaded.done, ["pipeline 'main' altered: retry"], "{reloaded:?}");
    world.end().await;
}

#[tokio::test]
async fn what_goes_to_an_output_that_there_isnt_is_found_by_the_trial() {
    let settings = r#"reload = { trial = { messages = 10, time = "1m" }, probation = false }"#;
    let world = World::start(&[WORK, SINK, &main_with(settings)]).await;
    let altered = main_with(&format!("config = {{ output = \"nowhere\" }}\n{settings}"));
    let reloaded = under_load(&world, &altered, ("", "")).await;
    assert_eq!(reloaded.outcome, ReloadOutcome::Failed, "{reloaded:?}");
    let problem = &reloaded.problems[0];
    assert!(problem.contains("output 'nowhere'"), "{problem}");
    world.settled("work").await;
    assert!(world.rest("dead").is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_plugin_that_a_config_adds_is_attended_and_one_that_it_removes_is_no_more() {
    let world = World::usual().await;
    let missing = world.attends("second").expect_err("there is none yet");
    assert!(missing.contains("there is no plugin 'second'"), "{missing}");
    let second = "[[plugin]]\nname = \"second\"\nfile = \"second.wasm\"\n";
    world.write("second.wasm", sluicegate_tests::guests::LEDGER);
    let both = MAIN.replace("[\"ledger\"]", "[\"ledger\", \"second\"]");
    let reloaded = world.reconfigure(&[WORK, SINK, second, &both]).await;
    assert_eq!(reloaded.outcome, ReloadOutcome::Applied, "{reloaded:?}");
    assert_eq!(world.attends("second"), Ok(()));
    // Its file is followed as well.
    world.write("second.wasm", b"nothing of use");
    until("its file's change is noticed", || {
        let plugins = world.status().plugins;
        let second = plugins.iter().find(|plugin| plugin.name == "second");
        second.and_then(|it| it.reload.as_ref()).is_some_and(|it| it.starts_with("kept old"))
    })
    .await;
    world.reconfigure(&[WORK, SINK, MAIN]).await;
    assert!(world.attends("second").is_err());
    let notes = world.status().readiness.notes;
    assert!(notes.iter().all(|note| !note.contains("second")), "{notes:?}");
    world.end().await;
}

#[tokio::test]
async fn a_recorder_follows_the_config_and_says_which_tables_rows_were_from() {
    let world = World::usual().await;
    world.publish([order(1, "a", "")]).await;
    world.take("sink", 1).await;
    assert!(world.capsules().is_empty());
    let first = "meter,kw\na,4\n";
    world.write("meters.csv", first.as_bytes());
    let table = "[table.meters]\nfile = \"meters.csv\"\nkey = \"meter\"\n";
    let sampled = format!("{MAIN}record = {{ sample = 1.0 }}\n")
        .replace("[\"ledger\"]", "[{ plugin = \"ledger\", tables = [\"meters\"] }]");
    let reloaded = world.reconfigure(&[WORK, SINK, table, &sampled]).await;
    assert_eq!(reloaded.outcome, ReloadOutcome::Applied, "{reloaded:?}");
    world.publish([order(2, "a", "")]).await;
    until("the call is recorded", || !world.capsules().is_empty()).await;
    let capsule = &world.capsules()[0];
    let digest = sluicegate::digest::sha256(first.as_bytes());
    assert_eq!(capsule.meta.tables.get("meters"), Some(&digest));
    assert!(capsule.batch.messages[0].row.is_some());

    // The file of a table that came by a reload is followed, and a failure's report says what it was.
    let second = "meter,kw\na,5\n";
    world.write("meters.csv", second.as_bytes());
    let digest = sluicegate::digest::sha256(second.as_bytes());
    let mut id = 10;
    loop {
        id += 1;
        world.publish([order(id, "a", "reject")]).await;
        world.settled("work").await;
        let report = &world.reports()[0];
        if report["tables"]["meters"] == digest.as_str() {
            break;
        }
        assert!(id < 10_000, "{report}");
    }
    world.end().await;
}

#[tokio::test]
async fn settings_that_a_version_doesnt_run_by_are_taken_without_a_trial() {
    let world = World::start(&[WORK, SINK, &main_with(BRIEF)]).await;
    let altered = main_with(BRIEF).replace("breaker = false", "breaker = { rate = 0.9 }");
    let reloaded = world.reconfigure(&[WORK, SINK, &altered]).await;
    assert_eq!(reloaded.done, ["plugin 'ledger' altered: breaker"], "{reloaded:?}");
    let reload = &world.status().plugins[0].reload;
    assert_eq!(reload.as_deref(), Some("unchanged: this version serves already"));
    world.end().await;
}
