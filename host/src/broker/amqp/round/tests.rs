#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeSet, VecDeque};

use super::*;
use crate::message::Properties;
use lapin::BasicProperties;
use lapin::message::Delivery;
use proptest::prelude::*;

fn message(at: usize) -> Outgoing {
    Outgoing {
        exchange: "x".to_owned(),
        routing_key: "k".to_owned(),
        properties: Properties { message_id: Some(at.to_string()), ..Properties::default() },
        body: "body".into(),
    }
}

fn returned(at: usize) -> BasicReturnMessage {
    let mut delivery = Delivery::mock(0, "x".into(), "k".into(), false, b"body".to_vec());
    delivery.properties = BasicProperties::default().with_message_id(at.to_string().into());
    BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
}

/// What the client library makes of returns and confirms in that order: a return waits, and each
/// confirm takes the first that waits.
fn attributed(n: usize, unroutable: &BTreeSet<usize>, events: &[Event]) -> Round {
    let mut waiting = VecDeque::new();
    let mut round = Round {
        answers: (0..n).map(|at| (at, Answer::Nothing)).collect(),
        returns: Vec::new(),
        end: End::Late,
    };
    for event in events {
        match *event {
            Event::Return(at) => waiting.push_back(at),
            Event::Ack(at) => {
                assert!(!unroutable.contains(&at) || events.contains(&Event::Return(at)));
                round.answers[at].1 = Answer::Acked;
                round.returns.extend(waiting.pop_front().map(returned));
            }
        }
    }
    round
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Return(usize),
    Ack(usize),
}

/// A group with unroutable messages, whose confirms come in any order, each return before its own
/// confirm, cut off anywhere.
fn scenario() -> impl Strategy<Value = (usize, BTreeSet<usize>, Vec<Event>)> {
    (1_usize..30).prop_flat_map(|n| {
        let unroutable = prop::collection::btree_set(0..n, 0..=n);
        let order = Just((0..n).collect::<Vec<_>>()).prop_shuffle();
        let early = prop::collection::vec(0_usize..10, n);
        (Just(n), unroutable, order, early, 0..=2 * n).prop_map(
            |(n, unroutable, order, early, cut)| {
                let mut events: Vec<Event> = order.iter().map(|&at| Event::Ack(at)).collect();
                for at in order {
                    if unroutable.contains(&at) {
                        let own = events.iter().position(|e| *e == Event::Ack(at)).unwrap();
                        events.insert(own.saturating_sub(early[at]), Event::Return(at));
                    }
                }
                events.truncate(cut);
                (n, unroutable, events)
            },
        )
    })
}

proptest! {
    #[test]
    fn no_order_of_returns_and_confirms_misleads((n, unroutable, events) in scenario()) {
        let group: Vec<Outgoing> = (0..n).map(message).collect();
        let mut fates = vec![None; n];
        attributed(n, &unroutable, &events).judge(&group, &mut fates);
        let complete = (0..n).all(|at| events.contains(&Event::Ack(at)));
        for (at, fate) in fates.into_iter().enumerate() {
            match fate {
                Some(Published::Confirmed) => prop_assert!(!unroutable.contains(&at)),
                Some(Published::Unroutable) => prop_assert!(unroutable.contains(&at)),
                None => prop_assert!(!complete, "message {at} of a complete group is in doubt"),
                Some(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }
}

#[test]
fn a_nack_is_a_refusal_for_now() {
    let group = [message(0)];
    let mut fates = [None];
    let round =
        Round { answers: vec![(0, Answer::Nacked)], returns: Vec::new(), end: End::Complete };
    round.judge(&group, &mut fates);
    assert!(matches!(fates[0], Some(Published::Refused(_))));
}
