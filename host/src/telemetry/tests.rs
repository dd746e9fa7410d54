#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::bounded::Bounded;
use super::histogram::Histogram;
use super::throttle::Throttle;
use super::*;
use crate::limits;
use crate::report::Report;
use crate::verdict::{FailedStage, Failure, FailureClass};

fn failure(code: &str) -> Failure {
    Failure {
        class: FailureClass::Reject,
        code: code.to_owned(),
        text: "no".to_owned(),
        stage: Some(FailedStage {
            index: 0,
            plugin: "judge".to_owned(),
            digest: String::new(),
            tables: BTreeMap::new(),
        }),
        backtrace: Vec::new(),
        retry_after: None,
    }
}

fn failed(failure: &Failure) -> Failed<'_> {
    let then = Outcome::DeadLettered;
    Failed { failure, then, attempt: 1, message_id: None, traceparent: None }
}

/// Reads the exposition format as strictly as a scraper would; samples by name and labels.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut types = BTreeMap::new();
    let mut samples = BTreeMap::new();
    assert!(text.ends_with("# EOF\n"), "no end marker");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
            let family =
                |suffix: &str| name.strip_suffix(suffix).is_some_and(|n| types.contains_key(n));
            assert!(
                ["", "_total", "_info", "_bucket", "_sum", "_count"].into_iter().any(family),
                "{name} has no TYPE"
            );
            assert!(
                samples.insert(series.to_owned(), value.parse().unwrap()).is_none(),
                "{series}"
            );
        }
    }
    samples
}

#[test]
fn every_event_of_a_pipeline_shows_in_text_and_snapshot() {
    let telemetry = Telemetry::new();
    let metrics = telemetry.pipeline("readings").of_queue("meters");
    metrics.received(1, 0);
    metrics.received(1, 1);
    let now = tokio::time::Instant::now();
    let mut together = Together::at(now);
    for outcome in Outcome::ALL {
        together.note(outcome, now - Duration::from_millis(20));
    }
    metrics.settled(&together);
    metrics.failed(failed(&failure("bad_json")));
    metrics.emitted("alerts");
    metrics.called("judge", 7, Duration::from_millis(3), 65_536);
    metrics.instance_replaced("judge", FailureClass::Trap);
    metrics.published(5, Duration::from_millis(8));
    metrics.publish_refused("unroutable");
    metrics.rewound(3);
    metrics.id_conflict();
    metrics.forged_headers();
    metrics.forged_headers();
    metrics.report_unsent();
    metrics.in_flight(2);
    metrics.in_flight(-1);
    metrics.state(4, 400);
    metrics.paused(Some("broker 'main' is away"));

    let samples = parse(&telemetry.render());
    for (series, value) in [
        ("sluicegate_messages_received_total{pipeline=\"readings\"}", 2.0),
        ("sluicegate_messages_redelivered_total{pipeline=\"readings\"}", 1.0),
        ("sluicegate_messages_settled_total{pipeline=\"readings\",outcome=\"dead_lettered\"}", 1.0),
        (
            "sluicegate_failures_total{pipeline=\"readings\",queue=\"meters\",class=\"reject\",code=\"bad_json\",plugin=\"judge\",then=\"dead_lettered\"}",
            1.0,
        ),
        ("sluicegate_emissions_total{pipeline=\"readings\",output=\"alerts\"}", 1.0),
        (
            "sluicegate_plugin_call_duration_seconds_count{pipeline=\"readings\",plugin=\"judge\"}",
            1.0,
        ),
        ("sluicegate_plugin_messages_total{pipeline=\"readings\",plugin=\"judge\"}", 7.0),
        ("sluicegate_plugin_memory_bytes{pipeline=\"readings\",plugin=\"judge\"}", 65_536.0),
        (
            "sluicegate_plugin_instances_replaced_total{pipeline=\"readings\",plugin=\"judge\",class=\"trap\"}",
            1.0,
        ),
        ("sluicegate_publishes_refused_total{pipeline=\"readings\",reason=\"unroutable\"}", 1.0),
        ("sluicegate_messages_forged_headers_total{pipeline=\"readings\"}", 2.0),
        ("sluicegate_state_bytes{pipeline=\"readings\"}", 400.0),
        ("sluicegate_pipeline_paused{pipeline=\"readings\"}", 1.0),
        ("sluicegate_messages_in_flight{pipeline=\"readings\"}", 1.0),
        (concat!("sluicegate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}\n{samples:#?}");
    }

    let snapshot = telemetry.snapshot().remove(0);
    assert_eq!(snapshot.name, "readings");
    assert_eq!((snapshot.received, snapshot.redelivered, snapshot.in_flight), (2, 1, 1));
    assert_eq!((snapshot.done, snapshot.released, snapshot.dead_lettered), (1, 1, 1));
    assert_eq!((snapshot.batches, snapshot.messages_called), (1, 7));
    assert!((snapshot.call_seconds - 0.003).abs() < 1e-9);
    assert_eq!(snapshot.failures[&(FailureClass::Reject, "bad_json".to_owned())], 1);
    assert_eq!(snapshot.plugins["judge"].instances_replaced, 1);
    assert_eq!(snapshot.paused.as_deref(), Some("broker 'main' is away"));
    metrics.paused(None);
    assert_eq!(metrics.snapshot().paused, None);
}

#[test]
fn a_snapshot_survives_its_way_through_json() {
    let telemetry = Telemetry::new();
    let metrics = telemetry.pipeline("readings");
    metrics.failed(failed(&failure("bad_json")));
    metrics.emitted("alerts");
    let snapshot = metrics.snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<PipelineSnapshot>(&text).unwrap(), snapshot);
}

#[test]
fn a_name_gets_the_same_metrics_each_time() {
    let telemetry = Telemetry::new();
    telemetry.pipeline("a").received(1, 0);
    telemetry.clone().pipeline("a").received(1, 0);
    telemetry.broker("b").connected(true);
    telemetry.broker("b").reconnected();
    assert_eq!(telemetry.snapshot()[0].received, 2);
    let broker = telemetry.broker_snapshots().remove(0);
    assert_eq!((broker.connected, broker.blocked, broker.reconnects), (true, false, 1));
}

#[test]
fn a_plugin_that_invents_codes_can_not_flood_the_metrics() {
    let telemetry = Telemetry::new();
    let metrics = telemetry.pipeline("readings");
    for n in 0..10 * limits::FAILURE_SERIES_MAX {
        metrics.failed(failed(&failure(&format!("code-{n}"))));
    }
    let snapshot = metrics.snapshot();
    assert_eq!(snapshot.failures.len(), limits::FAILURE_SERIES_MAX + 1);
    assert_eq!(snapshot.failures.values().sum::<u64>(), 10 * limits::FAILURE_SERIES_MAX as u64);
    let other = &snapshot.failures[&(FailureClass::Reject, "other".to_owned())];
    assert_eq!(*other, 9 * limits::FAILURE_SERIES_MAX as u64);
}

#[test]
fn hostile_codes_and_names_leave_the_text_readable() {
    let telemetry = Telemetry::new();
    let metrics = telemetry.pipeline("a\"b\\c\nd");
    metrics.failed(failed(&failure("x\"} 1\nsluicegate_fake_total 9")));
    metrics.failed(failed(&failure(&"é".repeat(1000))));
    let samples = parse(&telemetry.render());
    assert!(samples.keys().all(|series| !series.contains("sluicegate_fake_total{")));
    let longest = metrics.snapshot().failures.keys().map(|(_, code)| code.len()).max();
    assert_eq!(longest, Some(limits::FAILURE_CODE_BYTES));
}

#[test]
fn the_process_tells_its_own_figures() {
    let samples = parse(&Telemetry::new().render());
    for name in [
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(samples[name] > 0.0, "{name}");
    }
}

#[test]
fn a_map_of_metrics_stops_growing_at_its_bound() {
    let map = Bounded::<String, u32>::new(2);
    let mut made = 0;
    for name in ["a", "b", "c", "d", "a"] {
        map.get(
            name,
            || "other".to_owned(),
            |_| {
                made += 1;
                made
            },
        );
    }
    let names: Vec<String> = map.all().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "other"]);
    assert_eq!(made, 3);
}

#[test]
fn quantiles_lie_within_the_bucket_that_holds_them() {
    let histogram = Histogram::default();
    assert_eq!(histogram.quantile_s(0.5), None);
    for _ in 0..99 {
        histogram.observe(Duration::from_millis(20));
    }
    histogram.observe(Duration::from_secs(4));
    let p50 = histogram.quantile_s(0.5).unwrap();
    assert!((0.01..=0.025).contains(&p50), "{p50}");
    let top = histogram.quantile_s(0.999).unwrap();
    assert!((2.5..=5.0).contains(&top), "{top}");
    assert_eq!(histogram.count(), 100);
    assert!((histogram.sum_s() - 5.98).abs() < 1e-6);
}

#[test]
fn a_duration_past_the_last_bound_is_counted_too() {
    let histogram = Histogram::default();
    histogram.observe(Duration::from_secs(100_000));
    assert_eq!(histogram.count(), 1);
    assert_eq!(histogram.quantile_s(0.99), Some(300.0));
}

#[test]
fn log_lines_past_the_rate_are_counted_in_the_next_one() {
    let throttle = Throttle::per_second(2);
    let start = Instant::now() + Duration::from_secs(2);
    assert_eq!(throttle.admit(start), Some(0));
    assert_eq!(throttle.admit(start), Some(0));
    assert_eq!(throttle.admit(start), None);
    assert_eq!(throttle.admit(start), None);
    assert_eq!(throttle.admit(start + Duration::from_secs(1)), Some(2));
    assert_eq!(throttle.admit(start + Duration::from_secs(1)), Some(0));
}

fn report(id: &str) -> Report {
    Report { id: id.to_owned(), ..Report::default() }
}

#[test]
fn what_nobody_takes_in_time_is_lost_and_counted_and_holds_nobody_up() {
    let telemetry = Telemetry::new();
    let metrics = telemetry.pipeline("readings");
    metrics.ended(&report("before anybody listens"));
    let mut notices = telemetry.listen();
    for n in 0..limits::NOTICES_MAX + 3 {
        metrics.ended(&report(&n.to_string()));
    }
    assert_eq!(telemetry.notices_lost(), 3);
    assert_eq!(notices.try_recv(), Ok(Notice::Failure(Box::new(report("0")))));
    metrics.ended(&report("there is room again"));
    assert_eq!((notices.len(), telemetry.notices_lost()), (limits::NOTICES_MAX, 3));
    drop(notices);
    metrics.ended(&report("to nobody"));
    assert_eq!(telemetry.notices_lost(), 3);
    assert_eq!(parse(&telemetry.render())["sluicegate_notices_lost_total"], 3.0);
}

#[test]
fn a_condition_is_told_when_it_begins_and_ends_however_often_it_is_looked_at() {
    let telemetry = Telemetry::new();
    let mut notices = telemetry.listen();
    let look = |why| telemetry.condition(ConditionKind::BrokerUnreachable, "main", why);
    look(None);
    look(Some("refused"));
    look(Some("no route"));
    let series = "sluicegate_condition{condition=\"broker_unreachable\",subject=\"main\"}";
    assert_eq!(parse(&telemetry.render())[series], 1.0);
    assert_eq!(telemetry.conditions()[0].text, "no route");
    look(None);
    look(None);
    assert_eq!(parse(&telemetry.render())[series], 0.0);
    assert!(telemetry.conditions().is_empty());
    let (began, ended) = (notices.try_recv().unwrap(), notices.try_recv().unwrap());
    assert!(matches!(&began, Notice::Began(it) if it.text == "refused"), "{began:?}");
    assert!(matches!(&ended, Notice::Ended(it) if it.text == "no route"), "{ended:?}");
    assert!(notices.try_recv().is_err());
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let registered = |source: &'static str| {
        let from = &source[source.find("fn register").unwrap()..];
        // What follows it elsewhere names labels.
        let end = if source.contains("impl Families") { None } else { from.find("\n    }\n") };
        &from[..end.unwrap_or(from.len())]
    };
    let sources =
        [include_str!("families.rs"), include_str!("recorder.rs"), include_str!("timers.rs")];
    let named = |text: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        !text.is_empty() && text.chars().all(plain) && !["sluicegate", "version"].contains(&text)
    };
    let texts = sources.iter().flat_map(|source| registered(source).split('"').skip(1).step_by(2));
    let made: BTreeSet<&str> = texts.filter(|text| named(text)).collect();
    let units = ["_seconds_total", "_total", "_seconds", "_bytes", "_info"];
    let mut told = BTreeSet::new();
    for row in include_str!("../../../docs/metrics.md").lines() {
        let Some(name) = row.strip_prefix("| `sluicegate_") else { continue };
        let name = name.split('`').next().unwrap();
        let unit = units.iter().find_map(|unit| name.strip_suffix(unit));
        assert!(told.insert(unit.unwrap_or(name)), "{name} twice");
    }
    assert_eq!(told, made);
}
