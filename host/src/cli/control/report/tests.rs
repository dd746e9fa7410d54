#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::admin::{BrokerStatus, PipelineState, PipelineStatus, PluginStatus, Readiness};
use crate::telemetry::PipelineSnapshot;
use crate::verdict::FailureClass;

#[test]
fn a_status_reads_as_a_page_with_what_is_wrong_first() {
    let status = Status {
        version: "1.2.3".into(),
        pid: 42,
        uptime_s: 7_500,
        readiness: Readiness::unless(vec!["broker 'main' is away".into()]),
        brokers: vec![BrokerStatus {
            name: "main".into(),
            kind: "amqp".into(),
            connected: false,
            server: None,
            error: Some("connection refused".into()),
        }],
        pipelines: vec![PipelineStatus {
            name: "readings".into(),
            queue: "meters.readings".into(),
            state: PipelineState::Running,
            counters: PipelineSnapshot {
                received: 1000,
                done: 990,
                held_back_s: 12.34,
                batch_limit: 96,
                shards: 2,
                dead_lettered: 10,
                failures: [((FailureClass::Reject, "bad_json".to_owned()), 10)].into(),
                latency_p50_s: Some(0.0123),
                ..PipelineSnapshot::default()
            },
        }],
        plugins: vec![PluginStatus {
            name: "validate".into(),
            version: "0.1.0".into(),
            digest: "0123456789abcdef".into(),
            sdk: "rust 0.1.0".into(),
            pipelines: vec!["readings".into()],
            memory_bytes: 1_572_864,
            reload: None,
            broken: None,
            impure: Some("the same call was answered differently".into()),
        }],
    };
    let expected = "\
sluicegate 1.2.3 · pid 42 · up 2 h 5 min · NOT READY
  - broker 'main' is away

BROKER  KIND  STATE  SERVER
main    amqp  away   connection refused

PIPELINE  QUEUE            STATE    RECEIVED  DONE  DROPPED  RETRIED  DEAD  IN HAND  HELD BACK  BATCH  SHARDS      P50  P99  PAUSED BY
readings  meters.readings  running      1000   990        0        0    10        0     12.3 s     96       2  12.3 ms    -

FAILURES OF  CLASS   CODE      COUNT
readings     reject  bad_json     10

PLUGIN    VERSION  SDK         DIGEST         MEMORY  STATE   RELOAD
validate  0.1.0    rust 0.1.0  0123456789ab  1.5 MiB  impure  -
";
    assert_eq!(render(&status), expected);
}

#[test]
fn a_name_that_would_steer_the_terminal_is_made_visible() {
    let mut table = Table::new(&["NAME"]);
    table.row(["\u{1b}[2Jgone"]);
    let mut out = String::new();
    table.append_to(&mut out);
    assert_eq!(out, "\nNAME\n\\u{1b}[2Jgone\n");
}
