#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashSet;

use super::*;

fn identity(id: &[u8], body: &[u8]) -> Identity {
    Identity::new(id, body, &History::default())
}

fn window(entries: usize) -> Window {
    Window::new(IdWindow { age: Duration::from_secs(60), entries })
}

#[tokio::test(start_paused = true)]
async fn a_settled_message_is_known_and_another_body_under_its_id_is_not_it() {
    let mut window = window(10);
    let first = identity(b"1", b"a");
    window.settle(first, Instant::now());
    assert_eq!(window.seen(&first), Seen::Settled);
    assert_eq!(window.seen(&identity(b"1", b"b")), Seen::OtherBody);
    assert_eq!(window.seen(&identity(b"2", b"a")), Seen::Never);
}

#[tokio::test(start_paused = true)]
async fn identities_are_forgotten_by_age() {
    let mut window = window(10);
    let old = identity(b"1", b"a");
    window.settle(old, Instant::now());
    tokio::time::advance(Duration::from_secs(61)).await;
    window.settle(identity(b"2", b"a"), Instant::now());
    assert_eq!(window.seen(&old), Seen::Never);
}

#[tokio::test(start_paused = true)]
async fn identities_are_forgotten_by_number_oldest_first() {
    let mut window = window(2);
    let ids = [b"1", b"2", b"3"].map(|id| identity(id, b"a"));
    for id in ids {
        window.settle(id, Instant::now());
    }
    assert_eq!(ids.map(|id| window.seen(&id)), [Seen::Never, Seen::Settled, Seen::Settled]);
    assert_eq!(window.order.len(), window.settled.len());
}

#[test]
fn id_and_body_cannot_run_into_each_other() {
    assert_ne!(identity(b"ab", b"c").whole, identity(b"a", b"bc").whole);
}

#[test]
fn each_attempt_and_each_replay_is_a_delivery_of_its_own() {
    let of = |attempt, replay_count| {
        let history = History { attempt, replay_count, ..History::default() };
        Identity::new(b"1", b"a", &history)
    };
    let all = [of(1, 0), of(2, 0), of(1, 1), of(1, 2)];
    let wholes: HashSet<[u8; 16]> = all.iter().map(|identity| identity.whole).collect();
    assert_eq!(wholes.len(), all.len());
    assert!(all.iter().all(|identity| identity.id == all[0].id));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_known_until_somebody_brings_it_back() {
    let mut window = window(10);
    let dead = identity(b"1", b"a");
    window.bury(dead, Instant::now());
    assert_eq!(window.seen(&dead), Seen::DeadLettered);
    assert_eq!(window.seen(&identity(b"1", b"b")), Seen::Never, "nothing of it was used");
    window.reopen(&dead);
    assert_eq!(window.seen(&dead), Seen::Never);
    window.settle(dead, Instant::now());
    assert_eq!(window.seen(&dead), Seen::Settled);
}
