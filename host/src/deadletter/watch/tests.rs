#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn watched(max_length: Option<u64>, ttl: Option<Duration>) -> Watched {
    Watched { queue: "q.dead".to_owned(), peek: true, max_length, ttl }
}

#[test]
fn the_limit_that_is_nearest_is_told() {
    let both = watched(Some(100), Some(DAY));
    let length = near(&both, 85, Some(DAY / 2)).unwrap();
    assert_eq!((length.share, &*length.text), (0.85, "85 of at most 100 messages"));
    let age = near(&both, 10, Some(DAY / 2)).unwrap();
    assert_eq!(age.share, 0.5);
    assert_eq!(age.text, "its oldest message is 43200 of at most 86400 s old");
    assert_eq!(near(&watched(None, Some(DAY)), 10, None), None);
    assert_eq!(near(&watched(None, None), 10, Some(DAY)), None);
}

#[test]
fn every_dead_letter_queue_and_the_reports_are_looked_at() {
    let text = r#"
        broker.main.url = "embedded:"
        plugin = [{ name = "p", file = "builtin:meter-validate" }]
        pipeline = [{ name = "p", queue = "a", stages = ["p"] }]
        [[queue]]
        name = "a"
        dead_letter = { queue = "a.dead", max_length = 10, ttl = "1d", past_limit = "archive" }
        [[queue]]
        name = "b"
        dead_letter = { queue = "b.dead", kind = "quorum" }
    "#;
    let config = crate::config::parse(text, std::path::Path::new("x")).unwrap().0;
    let mut all = super::watched(&config, "main");
    all.sort_by(|a, b| a.queue.cmp(&b.queue));
    let told: Vec<_> = all.iter().map(|it| (it.queue.as_str(), it.peek, it.max_length)).collect();
    assert_eq!(
        told,
        [
            ("a.dead", true, Some(10)),
            ("b.dead", false, None),
            ("sluicegate.archive.a.dead", false, None),
            ("sluicegate.failures", true, Some(limits::FAILURES_MAX_LENGTH)),
        ]
    );
}
