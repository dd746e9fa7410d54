//! The main job: meter readings, good and bad, through validate, anomaly and route.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lapin::BasicProperties;

use super::process::{Site, sluicegate};
use super::traffic::{Traffic, broker, correlation, death, id, message_id};
use crate::rabbit::{node, unique};

const METERS: usize = 40;
const READINGS: usize = 160;
/// A reading of a meter that is far from its usual ones, for meters up to [`SPIKES`].
const SPIKE_AT: usize = 140;
const SPIKES: usize = 10;
const REGIONS: [&str; 3] = ["north", "south", "east"];

fn config(n: &str) -> String {
    format!(
        r#"{}
[failures]
exchange = "{n}.failures"
[[exchange]]
name = "{n}.meters"
kind = "topic"
[[exchange]]
name = "{n}.results"
kind = "topic"
[[exchange]]
name = "{n}.alerts"
kind = "fanout"
[[queue]]
name = "{n}.readings"
kind = "quorum"
bind = [{{ exchange = "{n}.meters", key = "meter.*.*.reading" }}]
dead_letter = {{ exchange = "{n}.dead", queue = "{n}.dead.readings" }}
[[queue]]
name = "{n}.north"
kind = "quorum"
bind = [{{ exchange = "{n}.results", key = "reading.north" }}]
[[queue]]
name = "{n}.others"
kind = "quorum"
bind = [
    {{ exchange = "{n}.results", key = "reading.south" }},
    {{ exchange = "{n}.results", key = "reading.east" }},
]
[[queue]]
name = "{n}.anomalies"
bind = [{{ exchange = "{n}.results", key = "anomaly.minor.*" }}]
[[queue]]
name = "{n}.alerts"
bind = [{{ exchange = "{n}.alerts" }}]
[[plugin]]
name = "validate"
file = "builtin:meter-validate"
[[plugin]]
name = "anomaly"
file = "builtin:meter-anomaly"
config = {{ quiet_days = 0 }}
[[plugin]]
name = "route"
file = "builtin:meter-route"
[[pipeline]]
name = "{n}"
queue = "{n}.readings"
key = {{ header = "meter-id" }}
stages = ["validate", {{ plugin = "anomaly", when = {{ type = "reading" }} }}, "route"]
outputs.readings = {{ exchange = "{n}.results" }}
outputs.anomalies = {{ exchange = "{n}.results" }}
outputs.faults = {{ exchange = "{n}.results" }}
outputs.status = {{ exchange = "{n}.results" }}
outputs.alerts = {{ exchange = "{n}.alerts" }}
"#,
        broker(node())
    )
}

fn region(meter: usize) -> &'static str {
    REGIONS[meter % REGIONS.len()]
}

/// The fleet's readings in order of time, as CSV.
fn csv() -> String {
    let mut text = "region,meter,n,ts,kwh\n".to_owned();
    for n in 0..READINGS {
        for meter in 0..METERS {
            let spike = n == SPIKE_AT && meter < SPIKES;
            let kwh = if spike { 50.0 } else { 0.5 + (n % 5) as f64 / 100.0 };
            let ts = 1_700_000_000 + n * 60;
            writeln!(text, "{},m-{meter},{n},{ts},{kwh}", region(meter)).unwrap();
        }
    }
    text
}

/// Bad ones: id, content type, body, and the code that their failure has.
const BAD: [(&str, &str, &str, &str); 7] = [
    ("cut", "application/json", r#"{"meter":"m-1","ts":17000"#, "malformed"),
    ("types", "application/json", r#"{"meter":"m-1","ts":1,"kwh":"lots"}"#, "malformed"),
    ("negative", "application/json", r#"{"meter":"m-1","ts":1,"kwh":-4}"#, "negative_energy"),
    ("nobody", "application/json", r#"{"ts":1,"kwh":4}"#, "missing_meter"),
    ("csv", "text/csv", "m-1,1,4", "content_type"),
    ("msgpack", "application/msgpack", r#"{"meter":"m-1","ts":1,"kwh":1}"#, "malformed"),
    ("empty", "application/json", "", "empty"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_reading_is_exactly_where_its_decision_says_and_every_bad_one_dead_lettered() {
    let n = unique("fleet");
    let site = Site::new(&config(&n));
    let host = site.run();
    let file = site.write("readings.csv", csv().as_bytes());
    let (url, exchange) = (node().url(), format!("{n}.meters"));
    let publishing = tokio::task::spawn_blocking(move || {
        let words = [
            "publish",
            file.to_str().unwrap(),
            "--broker",
            &url,
            "--exchange",
            &exchange,
            "--routing-key",
            "meter.{region}.{meter}.reading",
            "--header",
            "meter-id={meter}",
            "--type",
            "reading",
            "--message-id",
            "{meter}/{n}",
            "--body",
            r#"{"meter":"{meter}","ts":{ts},"kwh":{kwh}}"#,
            "--ordered",
        ];
        sluicegate(&words)
    });
    let traffic = Traffic::on(node()).await;
    for (name, content_type, body, _) in BAD {
        let properties: BasicProperties = id(name).with_content_type(content_type.into());
        let key = "meter.north.m-1.reading";
        let properties = properties.with_type("reading".into());
        traffic.publish(&format!("{n}.meters"), key, properties, body.as_bytes()).await;
    }
    let published = publishing.await.unwrap();
    assert!(published.status.success(), "{published:?}");

    let dead = format!("{n}.dead.readings");
    traffic.raw.await_depth(&dead, u32::try_from(BAD.len()).unwrap()).await;
    let all = METERS * READINGS;
    let north = (0..METERS).filter(|meter| region(*meter) == "north").count() * READINGS;
    traffic.await_at_least(&format!("{n}.north"), u32::try_from(north).unwrap()).await;
    traffic.await_at_least(&format!("{n}.others"), u32::try_from(all - north).unwrap()).await;
    traffic.raw.await_depth(&format!("{n}.readings"), 0).await;
    host.stop();

    check_good(&traffic, &n).await;
    check_bad(&traffic, &n).await;
}

async fn check_good(traffic: &Traffic, n: &str) {
    let spikes: BTreeSet<String> =
        (0..SPIKES).map(|meter| format!("m-{meter}/{SPIKE_AT}")).collect();
    let mut expected: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for meter in 0..METERS {
        let sink = if region(meter) == "north" { "north" } else { "others" };
        let ids = (0..READINGS).map(|reading| format!("m-{meter}/{reading}"));
        expected.entry(sink).or_default().extend(ids);
    }
    expected.insert("anomalies", spikes.clone());
    expected.insert("alerts", spikes);
    for (sink, expected) in expected {
        let got = traffic.take_all(&format!("{n}.{sink}")).await;
        let ids: BTreeSet<String> = got.iter().map(message_id).collect();
        assert_eq!(ids.len(), got.len(), "{sink}: ids of outputs are unique");
        let inputs: BTreeSet<String> = got.iter().map(correlation).collect();
        assert_eq!(inputs.len(), got.len(), "{sink}: none twice");
        let wrong: Vec<&String> = inputs.symmetric_difference(&expected).collect();
        assert!(wrong.is_empty(), "{sink}: missing or unexpected: {wrong:?}");
    }
}

async fn check_bad(traffic: &Traffic, n: &str) {
    let letters = traffic.take_all(&format!("{n}.dead.readings")).await;
    assert!(letters.iter().all(|letter| death(letter) == "rejected"));
    let ids: BTreeSet<String> = letters.iter().map(message_id).collect();
    assert_eq!(ids, BAD.iter().map(|(name, ..)| (*name).to_owned()).collect());
    let reports = traffic.reports(&format!("{n}.failures")).await;
    assert_eq!(reports.len(), BAD.len());
    for (name, .., code) in BAD {
        let report = &reports[name];
        assert_eq!(
            (&report["class"], &report["code"]),
            (&"reject".into(), &code.into()),
            "{report}"
        );
        assert_eq!((&report["plugin"], &report["stage"]), (&"validate".into(), &0.into()));
        assert_eq!(report["queue"], format!("{n}.readings"));
        assert!(!report["text"].as_str().unwrap().is_empty(), "{report}");
        assert_eq!(report["plugin_digest"].as_str().unwrap().len(), 64);
    }
}
