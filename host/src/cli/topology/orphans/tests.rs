#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use super::*;

fn orphan(work: Option<&str>, kind: QueueKind, messages: u64) -> Orphan {
    Orphan {
        name: "sluicegate.retry.q.x.5000".to_owned(),
        rung: Some(Duration::from_secs(5)),
        kind: Some(kind),
        work: work.map(str::to_owned),
        messages: Some(messages),
    }
}

#[test]
fn only_what_is_empty_ours_and_safe_to_delete_is_deleted() {
    assert!(is_deletable(&orphan(Some("q"), QueueKind::Classic, 0)));
    assert!(!is_deletable(&orphan(Some("q"), QueueKind::Classic, 1)));
    assert!(!is_deletable(&orphan(Some("q"), QueueKind::Quorum, 0)));
    assert!(!is_deletable(&orphan(None, QueueKind::Classic, 0)));
}

#[test]
fn each_is_told_with_what_becomes_of_it_and_what_to_do() {
    let text = lines(&orphan(Some("q"), QueueKind::Classic, 12), "/", &Deleted::No);
    assert_eq!(
        text,
        "  sluicegate.retry.q.x.5000\n    12 messages; what waits comes back to queue q by itself \
         within 5s\n    when it is empty: --delete-empty, or rabbitmqctl delete_queue -p '/' \
         'sluicegate.retry.q.x.5000' --if-empty\n"
    );
    let text = lines(&orphan(None, QueueKind::Classic, 1), "/", &Deleted::No);
    assert!(text.contains("1 message; it leads to no queue of this config"), "{text}");
}

#[test]
fn what_was_only_guessed_says_so() {
    let source = Source::Guessed { names: 24, why: None };
    let text = heading("main", &Orphans { found: Vec::new(), source });
    assert!(text.contains("AMQP lists no queues: only 24 likely names"), "{text}");
    assert!(text.contains("name the management API or a definitions export"), "{text}");
}
