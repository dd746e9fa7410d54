#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;

use super::*;

const GOOD: &str = r#"
broker.main.url = "embedded:"

[[queue]]
name = "readings"
dead_letter = { exchange = "dead", queue = "readings.dead" }

[[plugin]]
name = "validate"
file = "builtin:meter-route"

[[pipeline]]
name = "readings"
queue = "readings"
stages = ["validate"]
"#;

/// The report on that config, in a folder with a file that is no component.
fn report(text: &str) -> Report {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broken.wasm"), b"\0asm and no more").unwrap();
    let file = folder.path().join("sluicegate.toml");
    fs::write(&file, text).unwrap();
    let mut report = Report::of(file, false);
    report.check_topology();
    report.check_plugins().unwrap()
}

/// Errors and warnings: line, key, message.
fn said(report: &Report) -> Vec<(usize, &str, &str)> {
    let worse = report.problems.iter().filter(|p| p.severity != Severity::Note);
    worse.map(|p| (p.line, p.key.as_str(), p.message.as_str())).collect()
}

#[test]
fn a_good_config_is_summed_up_in_a_line() {
    let report = report(GOOD);
    assert_eq!(said(&report), []);
    assert!(report.is_good());
    let text = report.text(false);
    let last = text.lines().last().unwrap();
    assert!(
        last.ends_with("is good: 1 broker, 1 exchange, 2 queues, 1 plugin, 1 pipeline"),
        "{text}"
    );
}

#[test]
fn every_plugin_that_does_not_load_is_told_with_its_line() {
    let text = GOOD
        .replace("[\"validate\"]", "[\"validate\", \"gone\", \"broken\", \"odd\", \"pinned\"]")
        + r#"
[[plugin]]
name = "gone"
file = "gone.wasm"

[[plugin]]
name = "broken"
file = "broken.wasm"

[[plugin]]
name = "odd"
file = "builtin:meter-odd"

[[plugin]]
name = "pinned"
file = "builtin:meter-route"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
"#;
    let report = report(&text);
    assert!(!report.is_good());
    let said = said(&report);
    let keys: Vec<(usize, &str)> = said.iter().map(|(line, key, _)| (*line, *key)).collect();
    let expected = [
        (19, "plugin[1].file"),
        (23, "plugin[2].file"),
        (27, "plugin[3].file"),
        (32, "plugin[4].sha256"),
    ];
    assert_eq!(keys, expected, "{said:#?}");
    assert!(said[0].2.contains("gone.wasm"), "{said:#?}");
    assert!(said[2].2.contains("meter-validate"), "the known ones are named: {said:#?}");
}

#[test]
fn a_plugin_that_refuses_its_config_is_told_at_that_config() {
    let text = GOOD.replace(
        "file = \"builtin:meter-route\"",
        "file = \"builtin:meter-route\"\nconfig = { no_such_setting = 1 }",
    );
    let report = report(&text);
    let said = said(&report);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(said[0].1, "plugin[0].config", "{said:#?}");
    assert!(said[0].2.contains("no_such_setting"), "{said:#?}");
}

#[test]
fn a_stateful_plugin_without_a_key_is_a_warning() {
    let text = GOOD.replace("meter-route", "meter-anomaly");
    let mut report = report(&text);
    let said = said(&report);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!((said[0].0, said[0].1), (15, "pipeline[0].stages"), "{said:#?}");
    assert!(report.is_good());
    report.strict = true;
    assert!(!report.is_good());
}

#[test]
fn a_dead_letter_cycle_is_told_at_its_queue() {
    let text = GOOD.to_owned()
        + r#"
[[exchange]]
name = "round"
kind = "fanout"

[[queue]]
name = "a"
bind = [{ exchange = "round" }]
dead_letter = { exchange = "round" }
"#;
    let report = report(&text);
    let said = said(&report);
    assert!(
        said.iter()
            .any(|(line, key, text)| (*line, *key) == (21, "queue[1]") && text.contains("cycle")),
        "{said:#?}"
    );
}

#[test]
fn json_says_what_the_text_says() {
    let report = report(&GOOD.replace("name = \"validate\"", "name = \"validat\""));
    let json = report.json();
    assert_eq!(json["good"], false);
    assert_eq!(json["errors"], 1);
    assert_eq!(json["problems"][0]["key"], "pipeline[0].stages[0]");
    assert_eq!(json["problems"][0]["line"], 15);
    assert_eq!(json["problems"][0]["remedy"], "did you mean 'validat'?");
}

#[test]
fn a_file_that_is_not_there_is_a_problem_like_any_other() {
    let report = Report::of("/nowhere/sluicegate.toml".into(), false);
    assert!(!report.is_good());
    let text = report.text(false);
    assert!(text.contains("/nowhere/sluicegate.toml: 1 error, 0 warnings"), "{text}");
    assert!(text.contains("-c FILE"), "{text}");
}
