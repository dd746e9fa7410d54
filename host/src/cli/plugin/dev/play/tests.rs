#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const CASE: &str = r#"
config = { limit = 60 }
limits = { call = "1s" }
[[call]]
[[call.message]]
key = "s-1"
body.json = { celsius = 71.5 }
row.sensors = { room = "boiler" }
expect = { verdict = "next", emit = [{ output = "alerts" }] }
[[call.message]]
body.text = "x"
"#;

#[test]
fn a_host_for_a_plugin_has_what_its_cases_speak_of() {
    let cases = [Case::from_toml(CASE).unwrap()];
    let seen = BTreeSet::from(["audit".to_owned()]);
    let play = Play::of("too-hot", &cases, None, seen).unwrap();
    assert_eq!(play.samples.len(), 2);
    let folder = tempfile::tempdir().unwrap();
    let config = play.settings.config("too-hot", folder.path(), folder.path()).unwrap();
    let plugin = &config.plugins["too-hot"];
    assert_eq!(plugin.config, rmp_serde::to_vec_named(&serde_json::json!({"limit": 60})).unwrap());
    assert_eq!(plugin.limits.call.as_secs(), 1);
    assert!(plugin.breaker.is_none() && !plugin.reload.watch);
    let pipeline = &config.pipelines[0];
    assert_eq!(pipeline.name, "too-hot");
    assert_eq!(pipeline.outputs.keys().collect::<Vec<_>>(), ["alerts", "audit"]);
    assert_eq!(pipeline.stages[0].tables, ["sensors"]);
    let rows = fs::read_to_string(&config.tables["sensors"].file).unwrap();
    assert!(rows.contains("boiler") && rows.contains("\"dev-key\":\"s-1\""), "{rows}");
    assert!(config.service.state_dir.starts_with(folder.path()));
}

#[test]
fn a_config_that_is_given_takes_the_place_of_the_cases() {
    let cases = [Case::from_toml(CASE).unwrap()];
    let given = serde_json::json!({ "limit": 1 });
    let play = Play::of("too-hot", &cases, Some(&given), BTreeSet::new()).unwrap();
    assert_eq!(play.settings.config, rmp_serde::to_vec_named(&given).unwrap());
}
