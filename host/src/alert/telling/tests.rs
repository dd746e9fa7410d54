#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::notice::ConditionKind;

fn failures(firing: bool) -> Telling {
    Telling {
        rule: "on-call".to_owned(),
        key: "c0ffee".to_owned(),
        labels: BTreeMap::from([("team".to_owned(), "metering".to_owned())]),
        firing,
        count: 3,
        first_s: 1_700_000_000,
        last_s: 1_700_000_060,
        ends_s: 1_700_003_600,
        subject: Subject::Failure(Box::new(Report {
            id: "1-failure".to_owned(),
            pipeline: "readings".to_owned(),
            queue: "meters".to_owned(),
            class: "trap".to_owned(),
            code: "trap".to_owned(),
            text: "panicked at \"x\"\nline 2".to_owned(),
            plugin: Some("anomaly".to_owned()),
            ..Report::default()
        })),
    }
}

fn labels() -> Value {
    json!({
        "alertname": "SluicegateMessageFailures", "severity": "error", "host": "h1",
        "rule": "on-call", "team": "metering", "pipeline": "readings", "queue": "meters",
        "class": "trap", "code": "trap", "plugin": "anomaly", "fingerprint": "c0ffee",
    })
}

#[test]
fn alertmanager_gets_what_it_asks_for() {
    let told = failures(true).alertmanager("h1");
    assert_eq!(told[0]["labels"], labels());
    assert_eq!(told[0]["startsAt"], "2023-11-14T22:13:20Z");
    assert_eq!(told[0]["endsAt"], "2023-11-14T23:13:20Z");
    let notes = &told[0]["annotations"];
    let summary = "3 messages of pipeline 'readings' failed: trap (trap) in plugin 'anomaly'";
    assert_eq!((&notes["summary"], &notes["count"]), (&summary.into(), &"3".into()));
    assert_eq!(notes["description"], "panicked at \"x\"\nline 2");
    // Alertmanager knows an alert by its labels.
    assert_eq!(failures(false).alertmanager("h1")[0]["labels"], labels());
}

#[test]
fn a_webhook_gets_what_alertmanager_would_send_it() {
    let told = failures(true).webhook("h1");
    assert_eq!((&told["version"], &told["status"]), (&"4".into(), &"firing".into()));
    assert_eq!((&told["receiver"], &told["commonLabels"]), (&"on-call".into(), &labels()));
    let alert = &told["alerts"][0];
    assert_eq!((&alert["labels"], &alert["endsAt"]), (&labels(), &NOT_ENDED.into()));
    let over = failures(false).webhook("h1");
    assert_eq!(over["alerts"][0]["status"], "resolved");
    assert_eq!(over["alerts"][0]["endsAt"], "2023-11-14T23:13:20Z");
    assert_eq!(over["groupKey"], told["groupKey"]);
    assert_eq!(over["alerts"][0]["fingerprint"], alert["fingerprint"]);
}

#[test]
fn an_exchange_gets_the_whole_report_and_an_id_that_stays() {
    let telling = failures(true);
    let told = telling.message("h1");
    assert_eq!((&told["report"]["id"], &told["condition"]), (&"1-failure".into(), &Value::Null));
    assert_eq!(telling.routing_key(), "error.message_failures");
    assert_eq!(telling.id("h1"), failures(true).id("h1"));
    assert_ne!(telling.id("h1"), failures(false).id("h1"));
}

#[test]
fn a_condition_says_what_is_the_matter_with_what() {
    let condition = Condition {
        kind: ConditionKind::BrokerUnreachable,
        subject: "main".to_owned(),
        text: "connection refused".to_owned(),
        since: 1_700_000_000,
    };
    let telling = Telling { subject: Subject::Condition(condition), ..failures(true) };
    let told = telling.alertmanager("h1");
    assert_eq!(told[0]["labels"]["alertname"], "SluicegateBrokerUnreachable");
    assert_eq!(told[0]["labels"]["broker"], "main");
    assert_eq!(told[0]["annotations"]["summary"], "broker unreachable: broker 'main'");
    assert_eq!(told[0]["annotations"]["description"], "connection refused");
}
