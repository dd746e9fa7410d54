#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn window(entries: usize) -> Window {
    Window::new(IdWindow { age: Duration::from_secs(60), entries })
}

#[tokio::test(start_paused = true)]
async fn a_settled_message_is_known_and_another_body_under_its_id_is_not_it() {
    let mut window = window(10);
    let first = Identity::new(b"1", b"a", 1);
    window.settle(first, Instant::now());
    assert_eq!(window.seen(&first), Seen::Settled);
    assert_eq!(window.seen(&Identity::new(b"1", b"b", 1)), Seen::OtherBody);
    assert_eq!(window.seen(&Identity::new(b"2", b"a", 1)), Seen::Never);
}

#[tokio::test(start_paused = true)]
async fn identities_are_forgotten_by_age() {
    let mut window = window(10);
    let old = Identity::new(b"1", b"a", 1);
    window.settle(old, Instant::now());
    tokio::time::advance(Duration::from_secs(61)).await;
    window.settle(Identity::new(b"2", b"a", 1), Instant::now());
    assert_eq!(window.seen(&old), Seen::Never);
}

#[tokio::test(start_paused = true)]
async fn identities_are_forgotten_by_number_oldest_first() {
    let mut window = window(2);
    let ids = [b"1", b"2", b"3"].map(|id| Identity::new(id, b"a", 1));
    for id in ids {
        window.settle(id, Instant::now());
    }
    assert_eq!(ids.map(|id| window.seen(&id)), [Seen::Never, Seen::Settled, Seen::Settled]);
    assert_eq!(window.order.len(), window.settled.len());
}

#[test]
fn id_and_body_cannot_run_into_each_other() {
    assert_ne!(Identity::new(b"ab", b"c", 1).whole, Identity::new(b"a", b"bc", 1).whole);
}
