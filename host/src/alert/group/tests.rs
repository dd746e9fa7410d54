#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;

use super::*;
use crate::config;
use crate::notice::ConditionKind;
use crate::report::Report;

/// The rule of a config with those keys.
pub(in crate::alert) fn rule(keys: &str) -> Notify {
    let text = format!(
        "broker.main.url = \"embedded:\"\n[[notify]]\nname = \"r\"\nwebhook = \"http://h\"\n{keys}\n"
    );
    config::parse(&text, Path::new("x.toml")).unwrap().0.notify.remove(0)
}

/// Groups whose time is told to them.
struct Scene {
    groups: Groups,
    start: Instant,
    passed: Duration,
}

impl Scene {
    fn new(keys: &str) -> Self {
        Self { groups: Groups::new(rule(keys)), start: Instant::now(), passed: Duration::ZERO }
    }

    fn now(&self) -> Now {
        Now { at: self.start + self.passed, s: 1_000_000 + self.passed.as_secs() }
    }

    fn pass(&mut self, s: u64) -> &mut Self {
        self.passed += Duration::from_secs(s);
        self
    }

    fn fail(&mut self, fingerprint: &str) -> &mut Self {
        let failed_at = self.now().s;
        let fingerprint = fingerprint.to_owned();
        let report = Report { fingerprint, failed_at, ..Report::default() };
        self.groups.note(&Notice::Failure(Box::new(report)), self.now());
        self
    }

    fn condition(&mut self, began: bool) -> &mut Self {
        let kind = ConditionKind::BrokerUnreachable;
        let (subject, text) = ("main".to_owned(), "refused".to_owned());
        let condition = Condition { kind, subject, text, since: self.now().s };
        let notice = if began { Notice::Began(condition) } else { Notice::Ended(condition) };
        self.groups.note(&notice, self.now());
        self
    }

    /// What is told now: key, status, count.
    fn told(&mut self) -> Vec<(String, &'static str, u64)> {
        let now = self.now();
        let due = self.groups.due(now);
        due.iter().map(|it| (it.key.clone(), it.status(), it.count)).collect()
    }
}

fn told(key: &str, status: &'static str, count: u64) -> Vec<(String, &'static str, u64)> {
    vec![(key.to_owned(), status, count)]
}

const QUICK: &str = "cool_down = \"10m\"\nresolve_after = \"5m\"\nwithin = \"1m\"";

#[test]
fn failures_of_one_cause_are_told_once_then_after_the_cool_down_then_as_resolved() {
    let mut scene = Scene::new(QUICK);
    for _ in 0..100 {
        scene.fail("a");
    }
    assert_eq!(scene.told(), told("a", "firing", 100));
    scene.pass(1).fail("a");
    assert_eq!(scene.told(), []);
    for _ in 0..4 {
        assert_eq!(scene.pass(149).fail("a").told(), []);
    }
    assert_eq!(scene.pass(3).told(), told("a", "firing", 105));
    assert_eq!(scene.pass(299).told(), told("a", "resolved", 105));
    assert_eq!(scene.pass(299).told(), []);
    assert_eq!(scene.groups.groups.len(), 1, "its cool-down isn't over");
    assert_eq!(scene.pass(10).told(), []);
    assert!(scene.groups.groups.is_empty());
    // Another time it starts from one.
    assert_eq!(scene.fail("a").told(), told("a", "firing", 1));
}

#[test]
fn causes_are_told_apart_and_none_holds_up_another() {
    let mut scene = Scene::new(QUICK);
    assert_eq!(scene.fail("a").told(), told("a", "firing", 1));
    assert_eq!(scene.fail("b").fail("a").told(), told("b", "firing", 1));
}

#[test]
fn fewer_than_at_least_within_the_time_are_not_told() {
    let mut scene = Scene::new(&format!("at_least = 3\n{QUICK}"));
    for _ in 0..10 {
        assert_eq!(scene.fail("a").pass(31).told(), []);
    }
    scene.fail("a").fail("a");
    let all = scene.told();
    assert_eq!(all[0].1, "firing", "{all:?}");
}

#[test]
fn what_came_within_the_cool_down_is_told_when_that_is_over_even_if_it_is_quiet_by_then() {
    let mut scene = Scene::new("cool_down = \"1h\"\nresolve_after = \"1m\"\nwithin = \"1m\"");
    assert_eq!(scene.fail("a").told(), told("a", "firing", 1));
    assert_eq!(scene.pass(61).told(), told("a", "resolved", 1));
    assert_eq!(scene.pass(60).fail("a").told(), []);
    assert_eq!(scene.pass(600).told(), []);
    assert_eq!(scene.pass(3600).told(), told("a", "firing", 1));
    assert_eq!(scene.told(), told("a", "resolved", 1));
}

#[test]
fn more_than_a_minute_takes_wait_for_the_next_one_and_lose_nothing() {
    let mut scene = Scene::new(&format!("per_minute = 2\n{QUICK}"));
    for key in ["a", "b", "c", "d", "e"] {
        scene.fail(key);
    }
    assert_eq!(scene.told().len(), 2);
    scene.pass(30).fail("e");
    assert_eq!(scene.told(), []);
    assert_eq!(scene.pass(30).told().len(), 2);
    assert_eq!(scene.pass(60).told(), told("e", "firing", 2));
}

#[test]
fn a_plugin_that_invents_causes_fills_no_memory() {
    let mut scene = Scene::new(&format!("per_minute = 6000\n{QUICK}"));
    for n in 0..limits::NOTIFY_GROUPS + 50 {
        scene.fail(&n.to_string());
    }
    assert_eq!(scene.groups.groups.len(), limits::NOTIFY_GROUPS + 1);
    assert!(scene.told().contains(&(OTHERS.to_owned(), "firing", 50)));
}

const STANDING: &str = "after = \"10s\"\ncool_down = \"1h\"";
const BROKER: &str = "broker_unreachable:main";

#[test]
fn a_condition_is_told_once_it_has_stood_and_again_as_long_as_it_stands() {
    let mut scene = Scene::new(STANDING);
    assert_eq!(scene.condition(true).told(), []);
    assert_eq!(scene.pass(9).told(), []);
    assert_eq!(scene.pass(1).told(), told(BROKER, "firing", 1));
    assert_eq!(scene.pass(3599).told(), []);
    assert_eq!(scene.pass(1).told(), told(BROKER, "firing", 1));
    assert_eq!(scene.condition(false).told(), told(BROKER, "resolved", 1));
    assert_eq!(scene.pass(86_400).told(), []);
    assert!(scene.groups.groups.is_empty());
}

#[test]
fn a_condition_that_ends_at_once_is_not_told_and_one_that_flaps_once_per_cool_down() {
    let mut scene = Scene::new(STANDING);
    scene.condition(true).pass(5).condition(false);
    assert_eq!(scene.pass(60).told(), []);
    let mut tellings = 0;
    for _ in 0..120 {
        scene.condition(true).pass(20);
        tellings += scene.told().len();
        scene.condition(false).pass(10);
        tellings += scene.told().len();
    }
    assert_eq!(tellings, 2, "told and resolved once within an hour");
}
