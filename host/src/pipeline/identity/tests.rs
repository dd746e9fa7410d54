#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashSet;

use super::*;

fn identity(id: &[u8], body: &[u8]) -> Identity {
    Identity::new(id, Some("a"), body, &History::default())
}

fn settled(identity: Identity) -> Remembered {
    let Identity { id, whole } = identity;
    Remembered { at_us: 0, whole, id, dead: false, partition: 0 }
}

fn window(entries: usize) -> Window {
    Window::new(IdWindow { age: Duration::from_secs(60), entries })
}

#[tokio::test(start_paused = true)]
async fn a_settled_message_is_known_and_another_body_under_its_id_is_not_it() {
    let mut window = window(10);
    let first = identity(b"1", b"a");
    window.settle(settled(first), Instant::now());
    assert_eq!(window.seen(&first), Seen::Settled);
    assert_eq!(window.seen(&identity(b"1", b"b")), Seen::OtherBody);
    assert_eq!(window.seen(&identity(b"2", b"a")), Seen::Never);
}

#[tokio::test(start_paused = true)]
async fn identities_are_forgotten_by_age() {
    let mut window = window(10);
    let old = identity(b"1", b"a");
    window.settle(settled(old), Instant::now());
    tokio::time::advance(Duration::from_secs(61)).await;
    window.settle(settled(identity(b"2", b"a")), Instant::now());
    assert_eq!(window.seen(&old), Seen::Never);
}

#[tokio::test(start_paused = true)]
async fn identities_are_forgotten_by_number_oldest_first() {
    let mut window = window(2);
    let ids = [b"1", b"2", b"3"].map(|id| identity(id, b"a"));
    for id in ids {
        window.settle(settled(id), Instant::now());
    }
    assert_eq!(ids.map(|id| window.seen(&id)), [Seen::Never, Seen::Settled, Seen::Settled]);
    assert_eq!(window.order.len(), window.ids.len());
}

#[test]
fn id_and_body_cannot_run_into_each_other() {
    assert_ne!(identity(b"ab", b"c").whole, identity(b"a", b"bc").whole);
}

#[test]
fn each_attempt_and_each_replay_is_a_delivery_of_its_own() {
    let of = |attempt, replay_count| {
        let history = History { attempt, replay_count, ..History::default() };
        Identity::new(b"1", Some("a"), b"a", &history)
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
    window.settle(Remembered { dead: true, ..settled(dead) }, Instant::now());
    assert_eq!(window.seen(&dead), Seen::DeadLettered);
    assert_eq!(window.seen(&identity(b"1", b"b")), Seen::Never, "nothing of it was used");
    window.reopen(&dead);
    assert_eq!(window.seen(&dead), Seen::Never);
    window.settle(settled(dead), Instant::now());
    assert_eq!(window.seen(&dead), Seen::Settled);
}

#[tokio::test(start_paused = true)]
async fn what_another_host_settled_is_known_for_as_long_as_it_was_its_own() {
    let mut window = window(10);
    let (young, old) = (identity(b"1", b"a"), identity(b"2", b"a"));
    let now = Instant::now();
    window.recall(settled(old), Duration::from_secs(61), now);
    window.recall(settled(young), Duration::from_secs(59), now);
    assert_eq!([old, young].map(|id| window.seen(&id)), [Seen::Never, Seen::Settled]);
    assert_eq!(window.take_forgotten(), [settled(old)], "the store needn't know it any more");
    tokio::time::advance(Duration::from_secs(61)).await;
    window.settle(settled(identity(b"3", b"a")), Instant::now());
    assert_eq!(window.take_forgotten(), [settled(young)]);
}

#[tokio::test(start_paused = true)]
async fn identities_that_are_dealt_out_anew_are_known_where_their_partition_is_and_nowhere_else() {
    let limits = IdWindow { age: Duration::from_secs(60), entries: 10 };
    let mut windows = vec![window(10), window(10)];
    let ids: Vec<Identity> = (0..8_u8).map(|n| identity(&[n], b"a")).collect();
    for (n, one) in ids.iter().enumerate() {
        let partition = u8::try_from(n).unwrap();
        let one = Remembered { partition, dead: n == 5, ..settled(*one) };
        windows[n % 2].settle(one, Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    windows[1].reopen(&ids[5]);
    let mut dealt = Window::deal(windows, limits, (3, |partition| partition % 3));
    for (n, one) in ids.iter().enumerate() {
        for (place, window) in dealt.iter().enumerate() {
            let known = if place == n % 3 && n != 5 { Seen::Settled } else { Seen::Never };
            assert_eq!(window.seen(one), known, "{n} at {place}");
        }
    }
    // The oldest still goes first: 0 and 3 are past 60 seconds, 6 isn't.
    tokio::time::advance(Duration::from_millis(56_500)).await;
    dealt[0].settle(settled(identity(b"new", b"a")), Instant::now());
    let seen = [0, 3, 6].map(|n: usize| dealt[0].seen(&ids[n]));
    assert_eq!(seen, [Seen::Never, Seen::Never, Seen::Settled]);
}
