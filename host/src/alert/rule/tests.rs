#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::alert::group::tests::rule;
use crate::notice::ConditionKind;

fn failure(class: &str) -> Notice {
    Notice::Failure(Box::new(Report {
        class: class.to_owned(),
        code: "no_meter".to_owned(),
        pipeline: "readings".to_owned(),
        queue: "meters".to_owned(),
        plugin: Some("anomaly".to_owned()),
        ..Report::default()
    }))
}

fn began(kind: ConditionKind, subject: &str) -> Notice {
    Notice::Began(Condition { kind, subject: subject.to_owned(), text: String::new(), since: 0 })
}

/// Whether a rule with those keys is about a rejected message, a trap, a paused pipeline, a broker.
fn about(keys: &str) -> [bool; 4] {
    let rule = rule(keys);
    let notices = [
        failure("reject"),
        failure("trap"),
        began(ConditionKind::PipelinePaused, "readings"),
        began(ConditionKind::BrokerUnreachable, "main"),
    ];
    notices.map(|notice| is_about(&rule.about, &notice))
}

#[test]
fn a_rule_is_about_what_its_keys_say() {
    for (keys, expected) in [
        ("", [true, true, true, true]),
        ("severity = \"error\"", [false, true, true, true]),
        ("severity = \"critical\"", [false, false, true, true]),
        ("class = \"trap\"", [false, true, false, false]),
        ("class = \"trap\"\nconditions = true", [false, true, true, true]),
        ("conditions = true", [false, false, true, true]),
        ("conditions = false", [true, true, false, false]),
        ("code = [\"x\", \"no_meter\"]", [true, true, false, false]),
        ("code = \"x\"\nconditions = [\"pipeline_paused\"]", [false, false, true, false]),
    ] {
        assert_eq!(about(keys), expected, "{keys}");
    }
}

#[test]
fn a_rule_for_some_pipelines_is_not_about_brokers() {
    let mut rule = rule("");
    rule.about.pipelines = vec!["readings".to_owned()];
    assert!(is_about(&rule.about, &failure("trap")));
    assert!(is_about(&rule.about, &began(ConditionKind::PipelineWaiting, "readings")));
    assert!(!is_about(&rule.about, &began(ConditionKind::PipelineWaiting, "faults")));
    assert!(!is_about(&rule.about, &began(ConditionKind::BrokerUnreachable, "readings")));
    rule.about.queues = vec!["dead".to_owned()];
    assert!(is_about(&rule.about, &began(ConditionKind::DeadLettersNearLimit, "dead")));
}
