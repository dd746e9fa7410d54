#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::Incidents;

fn tester() -> Tester<Incidents> {
    Tester::new(&json!({})).unwrap()
}

fn event(meter: &str, class: &str, severity: &str, state: &str) -> Input {
    Input::json(&json!({ "meter": meter }))
        .kind("fault")
        .key("t-1")
        .header("fault-class", class)
        .header("severity", severity)
        .header("fault-state", state)
        .header("region", "north")
}

fn gasp(n: usize) -> Input {
    event(&format!("m-{n}"), "outage", "critical", "raised")
}

fn back(n: usize) -> Input {
    event(&format!("m-{n}"), "outage", "info", "cleared")
}

fn command(kind: &str, incident: &str) -> Input {
    Input::json(&json!({ "incident": incident, "by": "anna" })).kind(kind).key("t-1")
}

/// What the topic was told.
fn told<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Vec<Value> {
    let emitted = outcomes.into_iter().flat_map(|outcome| &outcome.emissions);
    emitted.filter(|told| told.output == "incidents").map(|told| told.json()).collect()
}

fn statuses<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Vec<String> {
    told(outcomes).iter().map(|told| told["status"].as_str().unwrap().to_owned()).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An outage of three meters that was told of.
fn outage(transformer: &mut Tester<Incidents>) -> String {
    let outcomes = transformer.run_batch(&[gasp(0), gasp(1), gasp(2)]);
    told(&outcomes)[0]["incident"].as_str().unwrap().to_owned()
}

#[test]
fn two_hundred_last_gasps_are_one_incident_told_at_the_third_and_counted_a_minute_later() {
    let mut transformer = tester();
    let gasps: Vec<Input> = (0..200).map(gasp).collect();
    let first = transformer.run_batch(&gasps[..2]);
    assert!(statuses(&first).is_empty());
    let third = transformer.run(gasps[2].clone());
    let opened = told([&third]).remove(0);
    assert_eq!((&opened["status"], &opened["affected"]), (&json!("opened"), &json!(3)));
    assert_eq!(third.emissions.len(), 2, "the topic, and the fanout of what is critical");
    assert_eq!(third.emissions[1].output, "critical");
    assert_eq!(third.emissions[1].priority(), Some(9));
    assert_eq!(third.emissions[0].routing_key, "incident.outage.critical.opened.north");
    let mut rest = transformer.run_batch(&gasps[3..]);
    rest.extend(transformer.run_batch(&gasps[..50])); // gasped twice
    assert!(statuses(&rest).is_empty());
    let minute = transformer.pass(seconds(60));
    let updated = told(&minute).remove(0);
    assert_eq!((&updated["status"], &updated["affected"]), (&json!("updated"), &json!(200)));
    assert_eq!(updated["incident"], opened["incident"]);
    assert_eq!(updated["meters"].as_array().unwrap().len(), 100);
    assert!(transformer.state_bytes("t-1") < 4000);
}

#[test]
fn one_meter_alone_is_told_after_the_minute_and_a_flicker_never() {
    let mut transformer = tester();
    transformer.run(gasp(0));
    assert!(transformer.pass(seconds(59)).is_empty());
    assert_eq!(statuses(&transformer.pass(seconds(1))), ["opened"]);
    let mut transformer = tester();
    transformer.run(gasp(0));
    transformer.run(back(0));
    assert!(statuses(&transformer.pass(seconds(7200))).is_empty());
    assert!(transformer.state("t-1").is_none());
}

#[test]
fn what_nobody_acknowledges_is_escalated_and_what_somebody_does_is_not() {
    let mut transformer = tester();
    outage(&mut transformer);
    assert!(statuses(&transformer.pass(seconds(299))).is_empty());
    let first = transformer.pass(seconds(1));
    assert_eq!(told(&first)[0]["escalation"], 1);
    assert_eq!(first.iter().flat_map(|o| &o.emissions).count(), 2, "to all, again");
    assert_eq!(statuses(&transformer.pass(seconds(600 + 1800))), ["escalated", "escalated"]);
    assert!(statuses(&transformer.pass(seconds(80_000))).is_empty());

    let mut transformer = tester();
    let id = outage(&mut transformer);
    transformer.pass(seconds(100));
    let acknowledged = told([&transformer.run(command("acknowledge", &id))]).remove(0);
    assert_eq!(acknowledged["acknowledged_by"], "anna");
    assert!(statuses([&transformer.run(command("acknowledge", &id))]).is_empty());
    assert!(statuses(&transformer.pass(seconds(80_000))).is_empty());
    let unknown = transformer.run(command("acknowledge", "t-1/outage/1"));
    assert_eq!(unknown.rejected(), Some("unknown_incident"));
}

#[test]
fn a_host_that_was_down_gives_the_acknowledgement_a_minute() {
    let mut transformer = tester();
    let id = outage(&mut transformer);
    assert!(statuses(&transformer.pass_down(seconds(5000))).is_empty());
    assert_eq!(statuses([&transformer.run(command("acknowledge", &id))]), ["acknowledged"]);
    assert!(statuses(&transformer.pass(seconds(5000))).is_empty());
}

#[test]
fn an_outage_is_restored_when_nearly_all_are_back_and_closed_when_it_stays_so() {
    let mut transformer = tester();
    let gasps: Vec<Input> = (0..20).map(gasp).collect();
    let id = told(&transformer.run_batch(&gasps))[0]["incident"].clone();
    transformer.run(command("acknowledge", id.as_str().unwrap()));
    transformer.pass(seconds(60));
    for n in 0..17 {
        assert!(statuses([&transformer.run(back(n))]).is_empty());
    }
    let partly = told(&transformer.pass(seconds(60))).remove(0);
    assert_eq!((&partly["status"], &partly["back"]), (&json!("updated"), &json!(17)));
    assert_eq!(partly["meters"], json!(["m-17", "m-18", "m-19"]));
    let restored = told([&transformer.run(back(17))]).remove(0);
    assert_eq!((&restored["status"], &restored["incident"]), (&json!("restored"), &id));
    assert!(statuses(&transformer.pass(seconds(299))).is_empty());
    let closed = told(&transformer.pass(seconds(1))).remove(0);
    assert_eq!(
        (&closed["status"], &closed["meters"]),
        (&json!("closed"), &json!(["m-18", "m-19"]))
    );
    assert!(transformer.state("t-1").is_none());
    assert_eq!(transformer.timer("t-1", "outage/expire"), None);
}

#[test]
fn what_comes_and_goes_is_told_of_no_more_often_than_it_must() {
    let mut transformer = tester();
    let id = outage(&mut transformer);
    let mut seen = Vec::new();
    for _ in 0..10 {
        for n in 0..3 {
            seen.push(transformer.run(back(n)));
        }
        seen.extend(transformer.pass(seconds(20)));
        for n in 0..3 {
            seen.push(transformer.run(gasp(n)));
        }
        seen.extend(transformer.pass(seconds(20)));
    }
    assert_eq!(statuses(&seen), ["restored", "flapping"]);
    let reopened = told(&transformer.pass(seconds(300))).remove(0);
    assert_eq!((&reopened["status"], &reopened["incident"]), (&json!("reopened"), &json!(id)));
    assert_eq!(statuses(&transformer.pass(seconds(300))), ["escalated"]);
    let restored: Vec<_> = (0..3).map(|n| transformer.run(back(n))).collect();
    assert_eq!(statuses(&restored), ["restored"]);
    assert_eq!(statuses(&transformer.pass(seconds(300))), ["closed"]);
}

#[test]
fn incidents_of_other_classes_are_others_and_somebody_closes_what_has_no_end_of_its_own() {
    let mut transformer = tester();
    outage(&mut transformer);
    let tamper = event("m-1", "tamper", "critical", "raised");
    let opened = told([&transformer.run(tamper)]).remove(0);
    assert_eq!((&opened["class"], &opened["affected"]), (&json!("tamper"), &json!(1)));
    let id = opened["incident"].as_str().unwrap().to_owned();
    assert_eq!(statuses([&transformer.run(command("close", &id))]), ["closed"]);
    transformer.run(event("m-1", "comms", "minor", "raised"));
    let minor = transformer.pass(seconds(60));
    assert_eq!(minor.iter().flat_map(|outcome| &outcome.emissions).count(), 1, "not to all");
    let after = transformer.pass(seconds(8 * 86_400));
    assert_eq!(statuses(&after), ["escalated", "escalated", "escalated", "closed", "closed"]);
    assert!(transformer.state("t-1").is_none());
}

#[test]
fn more_meters_than_are_told_apart_are_counted() {
    let config = json!({ "meters_max": 5, "at_once": 8 });
    let mut transformer = Tester::<Incidents>::new(&config).unwrap();
    let outcomes = transformer.run_batch(&(0..8).map(gasp).collect::<Vec<_>>());
    assert_eq!(told(&outcomes)[0]["affected"], 8);
    let restored: Vec<_> = (0..5).map(|n| transformer.run(back(n))).collect();
    assert_eq!(statuses(&restored), ["restored"]);
}

#[test]
fn what_cannot_be_used_is_refused() {
    let no_class = Input::json(&json!({ "meter": "m-1" })).key("t-1");
    assert_eq!(tester().run(no_class).rejected(), Some("no_class"));
    let mut crowded = tester();
    for n in 0..16 {
        crowded.run(event("m-1", &format!("class-{n}"), "info", "raised"));
    }
    assert_eq!(crowded.run(gasp(1)).rejected(), Some("too_many_classes"));
    for (config, field) in [
        (json!({ "group_s": 0 }), "group_s"),
        (json!({ "restored_percent": 101 }), "restored_percent"),
        (json!({ "escalate_s": { "critical": [1, 700_000] } }), "escalate_s"),
        (json!({ "escalate_s": { "dire": [1] } }), "escalate_s"),
    ] {
        let refused = Tester::<Incidents>::new(&config).err().unwrap().to_string();
        assert!(refused.starts_with(&format!("`{field}")), "{refused}");
    }
}
