#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn published(packet_id: u16, text: &str) -> Published {
    let packet_id = (packet_id > 0).then_some(packet_id);
    Published {
        topic: "t".to_owned(),
        packet_id,
        payload: text.to_owned().into(),
        ..Published::default()
    }
}

fn window(prefetch: u16, ids: std::ops::RangeInclusive<u16>) -> Window {
    let mut window = Window::new(prefetch, Settled::new());
    for id in ids {
        assert!(window.arrived(published(id, &id.to_string()), None));
    }
    window
}

fn due(window: &mut Window) -> Vec<u16> {
    std::iter::from_fn(|| window.due()).collect()
}

#[test]
fn acknowledgements_go_out_in_the_order_of_arrival() {
    let mut window = window(10, 1..=4);
    let tags: Vec<u64> = (0..4).map(|_| window.take().unwrap().0).collect();
    for (settled, expected) in [(2, vec![]), (1, vec![]), (0, vec![1, 2, 3]), (3, vec![4])] {
        window.settle(tags[settled], Settlement::Ack);
        assert_eq!(due(&mut window), expected);
    }
}

#[test]
fn what_is_settled_twice_is_acknowledged_once() {
    let mut window = window(10, 1..=1);
    let (tag, _) = window.take().unwrap();
    window.settle(tag, Settlement::Ack);
    window.settle(tag, Settlement::Ack);
    window.settle(tag, Settlement::Release);
    assert_eq!(due(&mut window), [1]);
    assert!(window.take().is_none());
}

#[test]
fn a_released_message_comes_before_what_came_after_it() {
    let mut window = window(2, 1..=2);
    let (first, _) = window.take().unwrap();
    let (second, _) = window.take().unwrap();
    assert!(!window.wants_more());
    window.settle(second, Settlement::Release);
    window.settle(first, Settlement::Release);
    let again = [window.take().unwrap(), window.take().unwrap()];
    assert_eq!([again[0].0, again[1].0], [first, second]);
    assert!(again.iter().all(|(_, held)| held.redelivered));
}

#[test]
fn what_nobody_acknowledges_counts_for_the_prefetch_too() {
    let mut window = window(2, 1..=1);
    window.arrived(published(0, "loose"), None);
    assert!(!window.wants_more());
    let (tag, _) = window.take().unwrap();
    let (loose, _) = window.take().unwrap();
    window.settle(loose, Settlement::Ack);
    assert!(window.wants_more());
    assert_eq!(due(&mut window), [] as [u16; 0]);
    window.settle(tag, Settlement::Ack);
    assert_eq!(due(&mut window), [1]);
}

#[test]
fn what_is_settled_behind_what_is_not_counts_for_the_prefetch_until_it_is_acknowledged() {
    let mut window = window(2, 1..=2);
    let tags = [window.take().unwrap().0, window.take().unwrap().0];
    window.settle(tags[1], Settlement::Ack);
    assert_eq!(due(&mut window), [] as [u16; 0]);
    assert!(!window.wants_more(), "the broker waits to hear of two");
    window.settle(tags[0], Settlement::Ack);
    assert_eq!(due(&mut window), [1, 2]);
    assert!(window.wants_more());
}

#[test]
fn what_is_given_back_at_the_end_holds_up_what_is_behind_it_for_the_next_connection() {
    let mut before = window(10, 1..=3);
    let tags: Vec<u64> = (0..3).map(|_| before.take().unwrap().0).collect();
    before.settle(tags[1], Settlement::Ack);
    before.cancel();
    before.settle(tags[0], Settlement::Release);
    assert!(before.take().is_none() && due(&mut before).is_empty());
    let settled = before.take_settled();
    assert_eq!(settled.keys().copied().collect::<Vec<_>>(), [2]);

    let again = |id: u16| Published { duplicate: true, ..published(id, &id.to_string()) };
    let mut after = Window::new(10, settled.clone());
    assert!(after.arrived(again(1), None));
    assert!(!after.arrived(again(2), None), "it ran already");
    assert!(after.arrived(again(3), None));
    let (first, held) = after.take().unwrap();
    assert!(held.redelivered);
    after.settle(first, Settlement::Ack);
    assert_eq!(due(&mut after), [1, 2]);

    // Another message under the same packet id is another message.
    for other in [published(2, "2"), Published { duplicate: true, ..published(2, "other") }] {
        let mut after = Window::new(10, settled.clone());
        assert!(after.arrived(other, None));
    }
}

#[test]
fn what_is_condemned_is_acknowledged_once_it_is_safe() {
    let mut window = window(10, 1..=1);
    let (tag, _) = window.take().unwrap();
    let condemned = window.settle(tag, Settlement::DeadLetter).unwrap();
    assert_eq!(condemned.message.payload, "1");
    assert!(due(&mut window).is_empty());
    window.settle(tag, Settlement::Ack);
    assert_eq!(due(&mut window), [1]);
}
