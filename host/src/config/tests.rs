#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::verdict::FailureClass;

const SKETCH: &str = r#"
[broker.main]
urls = ["amqp://127.0.0.1:5672/%2f"]
credentials = { file = "rabbitmq.credentials" }

[[exchange]]
name = "meters"
kind = "topic"

[[exchange]]
name = "meters.alerts"
kind = "fanout"

[[queue]]
name = "meters.readings"
kind = "quorum"
bind = [{ exchange = "meters", key = "meter.*.reading" }]
dead_letter = { exchange = "meters.dead", queue = "meters.dead.readings" }

[[plugin]]
name = "anomaly"
file = "plugins/meter-anomaly.wasm"
config = { threshold = 4.5 }
limits = { memory = "64MiB", call = "50ms" }

[[pipeline]]
name = "readings"
queue = "meters.readings"
key = { header = "meter-id" }
stages = ["anomaly", { plugin = "anomaly", when = { type = "reading" } }]
outputs.alerts = { exchange = "meters.alerts", unroutable = "drop" }
prefetch = 1000
retry = { max_attempts = 5, rungs = ["1s", "30s", "10m"] }
"#;

fn good(text: &str) -> Config {
    match parse(text, Path::new("/etc/sluicegate/sluicegate.toml")) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{}", render_all(&problems, text, false)),
    }
}

#[test]
fn the_sketch_becomes_what_it_means() {
    let config = good(SKETCH);
    assert_eq!(config.queues.len(), 2, "the dead-letter queue is added");
    assert_eq!(config.exchanges.len(), 3, "the dead-letter exchange is added");
    let readings = &config.queues[0];
    assert_eq!(readings.kind, QueueKind::Quorum);
    assert_eq!(readings.broker, "main");
    assert_eq!(readings.delivery_limit, Some(crate::limits::DELIVERY_LIMIT));
    let pipeline = &config.pipelines[0];
    assert_eq!(pipeline.outputs["alerts"].broker, "main");
    assert_eq!(pipeline.retry.rungs, [1, 30, 600].map(Duration::from_secs));
    assert_eq!(pipeline.stages[1].when.as_ref().unwrap().kind.as_deref(), Some("reading"));
    let PluginSource::File(file) = &config.plugins["anomaly"].source else { panic!("a file") };
    assert_eq!(file, Path::new("/etc/sluicegate/plugins/meter-anomaly.wasm"));
    // { "threshold": 4.5 }
    let packed = [&b"\x81\xa9threshold\xcb"[..], &4.5f64.to_be_bytes()].concat();
    assert_eq!(config.plugins["anomaly"].config, packed);
}

#[test]
fn a_shared_dead_letter_queue_is_declared_once_with_every_binding() {
    let text = r#"
        broker.main.url = "embedded:"
        [[queue]]
        name = "a"
        dead_letter = { exchange = "dead", queue = "all.dead", routing_key = "a" }
        [[queue]]
        name = "b"
        dead_letter = { exchange = "dead", queue = "all.dead", routing_key = "b" }
    "#;
    let config = good(text);
    assert_eq!(config.exchanges.len(), 1);
    assert_eq!(config.exchanges[0].kind, ExchangeKind::Direct);
    let dead = config.queues.iter().find(|q| q.name == "all.dead").unwrap();
    let keys: Vec<&str> = dead.bind.iter().map(|b| b.key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn an_explicit_dead_letter_queue_keeps_its_own_settings() {
    let text = r##"
        broker.main.url = "embedded:"
        exchange = [{ name = "dead", kind = "topic" }]
        [[queue]]
        name = "a"
        dead_letter = { exchange = "dead", queue = "dead", routing_key = "x" }
        [[queue]]
        name = "dead"
        max_length = 5
        bind = [{ exchange = "dead", key = "#" }]
    "##;
    let config = good(text);
    assert_eq!((config.exchanges.len(), config.queues.len()), (1, 2));
    assert_eq!(config.queues[1].max_length, Some(5));
    assert_eq!(config.queues[1].bind.len(), 1);
}

#[test]
fn durations_and_sizes_are_read_as_people_write_them() {
    let millis = |text| duration(text).map(|d| d.as_millis());
    assert_eq!(millis("50ms"), Some(50));
    assert_eq!(millis("1h30m"), Some(5_400_000));
    assert_eq!(millis("1h 30m"), Some(5_400_000));
    assert_eq!(millis("7d"), Some(604_800_000));
    for wrong in
        ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "99999999999999999999s", "18446744073709551615d"]
    {
        assert_eq!(millis(wrong), None, "{wrong}");
    }
    assert_eq!(size("64MiB"), Some(64 << 20));
    assert_eq!(size("64 mib"), Some(64 << 20));
    assert_eq!(size("1GB"), Some(1_000_000_000));
    for wrong in ["", "5", "5TB", "GB", "-1B", "99999999999999999999GB"] {
        assert_eq!(size(wrong), None, "{wrong}");
    }
    for text in ["50ms", "90s", "10m", "1h", "7d"] {
        assert_eq!(scalar::show_duration(duration(text).unwrap()), text);
    }
    assert_eq!(scalar::show_size(64 << 20), "64MiB");
}

#[test]
fn passwords_in_the_address_are_used_and_never_shown() {
    let text = r#"broker.main.urls = ["amqp://grid:hun%74er2@h/%2f", "amqp://grid:hunter2@i/%2f"]"#;
    let (config, warnings) = parse(text, Path::new("x.toml")).unwrap();
    let BrokerKind::Amqp(amqp) = &config.brokers["main"].kind else { panic!("amqp") };
    let Credentials::Inline(Login { user, password }) = &amqp.credentials else { panic!("inline") };
    assert_eq!((user.as_str(), password.as_str()), ("grid", "hunter2"));
    assert_eq!(amqp.urls, ["amqp://h/%2f", "amqp://i/%2f"]);
    let shown = format!("{config:?} {warnings:?} {}", render_all(&warnings, text, true));
    assert!(!shown.contains("hunter2") && !shown.contains("hun%74er2"), "{shown}");
    assert!(!warnings.is_empty());
}

#[test]
fn lines_are_shown_without_what_sounds_like_a_secret() {
    let cases = [
        (r#"url = "amqp://u:p@h""#, r#"url = "amqp://u:•@h""#),
        (r#"url = "amqp://u:p@s/s@h/v""#, r#"url = "amqp://u:•••••@h/v""#),
        (r#"a = "x://user@h""#, r#"a = "x://user@h""#),
        (r#"password = "pq" # x"#, r#"password = •••• # x"#),
        (r#"{ api-token = 'pq', b = 1 }"#, r#"{ api-token = ••••, b = 1 }"#),
        (r#"password_file = "p""#, r#"password_file = •••"#),
        (r#"credentials = "u:p""#, r#"credentials = •••••"#),
        (r#"credentials = { file = "x" }"#, r#"credentials = { file = "x" }"#),
        (r#"secret=abc"#, r#"secret=•••"#),
        ("# no // password here", "# no // password here"),
        ("bell\u{7}\u{1b}[31m", "bell\u{fffd}\u{fffd}[31m"),
    ];
    for (line, shown) in cases {
        assert_eq!(redact::line(line), shown);
    }
}

#[test]
fn names_near_a_mistyped_one_are_suggested_and_no_others() {
    let names = ["heartbeat", "declare", "url", "urls", "version"];
    assert_eq!(section::closest("hartbeat", names), Some("heartbeat"));
    assert_eq!(section::closest("ulr", names), Some("url"));
    assert_eq!(section::closest("Version", names), Some("version"));
    assert_eq!(section::closest("colour", names), None);
    assert_eq!(section::closest("", names), None);
}

#[test]
fn a_problem_on_a_long_line_shows_what_is_around_it() {
    let text = format!("broker.main = {{ url = \"embedded:\", {}x = 1 }}", " ".repeat(300));
    let problems = parse(&text, Path::new("x.toml")).unwrap_err();
    let shown = problems[0].render(&text, false);
    assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    let column = |line: &str, what: char| line.chars().position(|c| c == what);
    assert_eq!(column(lines[3], 'x'), column(lines[4], '^'), "{shown}");
}

/// The rows of the reference: key path, default.
fn reference() -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut section = String::new();
    for line in include_str!("../../../docs/configuration.md").lines() {
        if let Some(heading) = line.strip_prefix("## `") {
            section = heading
                .trim_end_matches('`')
                .replace("[[", "")
                .replace("]]", "[]")
                .replace("[broker.NAME]", "broker.NAME")
                .replace("[table.NAME]", "table.NAME")
                .replace("[failures]", "failures")
                .replace("[service]", "service")
                .replace("[state]", "state");
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
            let key = format!("{section}.{}", cells[0].trim_end_matches('`'));
            let key = key.replace(".NAME", ".*");
            if key.contains(".CLASS") {
                let named = |class: FailureClass| key.replace("CLASS", class.as_str());
                let default = cells[2].to_owned();
                rows.extend(FailureClass::ALL.map(|class| (named(class), default.clone())));
                continue;
            }
            rows.push((key, cells[2].to_owned()));
        }
    }
    rows
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let everything = include_str!("../../../tests/golden/config/everything.toml");
    let (_, _, known) = file::parse_with_keys(everything, Path::new("everything.toml"));
    let sections = [
        "broker", "exchange", "queue", "plugin", "table", "pipeline", "failures", "notify",
        "service", "state",
    ];
    let known: Vec<&str> =
        known.iter().map(String::as_str).filter(|key| !sections.contains(key)).collect();
    let mut documented: Vec<String> = reference().into_iter().map(|(key, _)| key).collect();
    documented.sort();
    assert_eq!(documented, known);
}

/// The smallest config in which that key can be set.
const SMALL: &str = r#"
    broker.main.url = "amqp://h"
    exchange = [{ name = "e", kind = "topic", bind = [{ exchange = "amq.topic" }] }]
    plugin = [{ name = "p", file = "p.wasm" }]
    service = { state_dir = "s", cache_dir = "c" }
    [[queue]]
    name = "q"
    bind = [{ exchange = "e" }]
    dead_letter = { exchange = "d", queue = "d" }
    [[pipeline]]
    name = "p"
    queue = "q"
    stages = ["p"]
    key = { header = "k" }
    outputs.o = { exchange = "e" }
    [[notify]]
    name = "n"
    exchange = "e"
    webhook = "https://h"
"#;

#[test]
fn every_default_of_the_reference_is_what_the_reader_takes() {
    let usual = format!("{:?}", good(SMALL));
    let mut checked = 0;
    for (key, default) in reference() {
        // A default in words isn't one that could be typed.
        let code = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        let Some(value) = code.filter(|value| !value.contains('`')) else { continue };
        let mut root: toml::Table = SMALL.parse().unwrap();
        let value = format!("v = {value}").parse::<toml::Table>().unwrap().remove("v").unwrap();
        set(&mut root, &key, value);
        let text = root.to_string();
        assert_eq!(format!("{:?}", good(&text)), usual, "{key} = {default}");
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}

/// Sets `a[].b.*.c` in the first or only item at each step.
fn set(table: &mut toml::Table, key: &str, value: toml::Value) {
    let Some((step, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return;
    };
    let next = if step == "*" {
        table.iter_mut().next().unwrap().1
    } else if let Some(step) = step.strip_suffix("[]") {
        table[step].as_array_mut().unwrap().first_mut().unwrap()
    } else {
        table.entry(step).or_insert_with(|| toml::Table::new().into())
    };
    set(next.as_table_mut().unwrap(), rest, value);
}

proptest::proptest! {
    #[test]
    fn no_mutation_of_a_config_makes_the_reader_panic(
        cuts in proptest::collection::vec((0usize..6000, 0usize..40, ".{0,12}"), 1..6),
    ) {
        let mut text: Vec<char> =
            include_str!("../../../tests/golden/config/everything.toml").chars().collect();
        for (at, length, insert) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = parse(&text, Path::new("x.toml")) {
            assert!(problems.iter().any(|p| p.severity == Severity::Error));
            for problem in &problems {
                assert!(problem.line <= text.lines().count() + 1);
                let _ = problem.render(&text, true);
            }
        }
    }

    #[test]
    fn no_swap_of_values_makes_the_reader_panic(swaps in proptest::collection::vec((0usize..200, 0usize..12), 1..8)) {
        let values = ["0", "-1", "99999999999999999999", "nan", "\"\"", "\"x\"", "true", "[]", "{}",
            "[[1], {}]", "1979-05-27", "{ a = { b = [{ c = 1 }] } }"];
        let everything = include_str!("../../../tests/golden/config/everything.toml");
        let mut lines: Vec<String> = everything.lines().map(str::to_owned).collect();
        for (line, value) in swaps {
            let count = lines.len();
            let line = &mut lines[line % count];
            if let Some((key, _)) = line.clone().split_once(" = ") {
                *line = format!("{key} = {}", values[value]);
            }
        }
        let text = lines.join("\n");
        if let Err(problems) = parse(&text, Path::new("x.toml")) {
            let _ = render_all(&problems, &text, false);
        }
    }
}

#[test]
fn a_dead_letter_queue_takes_all_that_a_topic_exchange_declared_elsewhere_gets() {
    let declared = "[[exchange]]\nname = \"meters.dead\"\nkind = \"topic\"\n\n[[queue]]";
    let config = good(&SKETCH.replacen("[[queue]]", declared, 1));
    assert_eq!(config.queues[1].name, "meters.dead.readings");
    assert_eq!(config.queues[1].bind[0].key, "#");
}
