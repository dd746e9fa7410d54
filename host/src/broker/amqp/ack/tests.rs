#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use proptest::prelude::*;

/// What RabbitMQ does with the frames of a channel; panics where it would close the channel.
#[derive(Default)]
struct Model {
    unacked: BTreeSet<u64>,
    fates: BTreeMap<u64, Settlement>,
}

impl Model {
    fn apply(&mut self, frames: &[Frame]) {
        for frame in frames {
            match *frame {
                Frame::Ack { tag, multiple } => {
                    assert!(self.unacked.contains(&tag), "406: unknown delivery tag {tag}");
                    let acked: Vec<u64> = if multiple {
                        self.unacked.range(..=tag).copied().collect()
                    } else {
                        vec![tag]
                    };
                    acked.into_iter().for_each(|tag| self.end(tag, Settlement::Ack));
                }
                Frame::Nack { tag, requeue } => {
                    assert!(self.unacked.contains(&tag), "406: unknown delivery tag {tag}");
                    let fate = if requeue { Settlement::Release } else { Settlement::DeadLetter };
                    self.end(tag, fate);
                }
            }
        }
    }

    fn end(&mut self, tag: u64, fate: Settlement) {
        self.unacked.remove(&tag);
        assert_eq!(self.fates.insert(tag, fate), None, "tag {tag} settled twice");
    }
}

fn settlement() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        8 => Just(Settlement::Ack),
        1 => Just(Settlement::DeadLetter),
        1 => Just(Settlement::Release),
    ]
}

/// Tags 1 to n in any order, each with how it ends and what the channel's task does after it.
fn actions() -> impl Strategy<Value = Vec<(u64, Settlement, u8)>> {
    (1_u64..200).prop_flat_map(|n| {
        let n_len = usize::try_from(n).unwrap();
        (
            Just((1..=n).collect::<Vec<_>>()).prop_shuffle(),
            prop::collection::vec((settlement(), 0_u8..10), n_len),
        )
            .prop_map(|(tags, rest)| {
                tags.into_iter().zip(rest).map(|(tag, (s, action))| (tag, s, action)).collect()
            })
    })
}

proptest! {
    #[test]
    fn any_order_settles_each_tag_once_and_as_asked(
        actions in actions(),
        prefetch in 1_u16..300,
    ) {
        let mut model = Model { unacked: actions.iter().map(|a| a.0).collect(), ..Model::default() };
        let mut coalescer = Coalescer::new(prefetch);
        let mut out = Vec::new();
        let mut asked = BTreeMap::new();
        for (tag, settlement, action) in actions {
            prop_assert!(coalescer.settle(tag, settlement, &mut out));
            prop_assert!(!coalescer.settle(tag, settlement, &mut out), "settled once only");
            asked.insert(tag, settlement);
            match action {
                0..=4 => {}
                5..=8 => coalescer.collect(&mut out),
                _ => coalescer.flush(&mut out),
            }
            model.apply(&out);
            out.clear();
            for (tag, fate) in &model.fates {
                prop_assert_eq!(asked.get(tag), Some(fate), "nothing ends that wasn't asked for");
            }
        }
        coalescer.collect(&mut out);
        coalescer.flush(&mut out);
        model.apply(&out);
        prop_assert_eq!(model.fates, asked);
        prop_assert!(!coalescer.is_waiting());
    }
}

fn collected(coalescer: &mut Coalescer) -> Vec<Frame> {
    let mut out = Vec::new();
    coalescer.collect(&mut out);
    out
}

#[test]
fn contiguous_acks_become_one() {
    let mut coalescer = Coalescer::new(100);
    let mut out = Vec::new();
    for tag in [3, 1, 2, 4] {
        coalescer.settle(tag, Settlement::Ack, &mut out);
    }
    assert_eq!(collected(&mut coalescer), [Frame::Ack { tag: 4, multiple: true }]);
    assert_eq!(collected(&mut coalescer), []);
}

#[test]
fn acks_behind_an_open_tag_wait_and_are_then_written_singly() {
    let mut coalescer = Coalescer::new(100);
    let mut out = Vec::new();
    coalescer.settle(2, Settlement::Ack, &mut out);
    coalescer.settle(3, Settlement::Ack, &mut out);
    assert_eq!(collected(&mut coalescer), []);
    assert!(coalescer.is_waiting());
    coalescer.flush(&mut out);
    assert_eq!(
        out,
        [Frame::Ack { tag: 2, multiple: false }, Frame::Ack { tag: 3, multiple: false }]
    );
    out.clear();
    // The open one ends: a multiple ack over written tags must name one that is still held.
    coalescer.settle(1, Settlement::Ack, &mut out);
    coalescer.settle(4, Settlement::Ack, &mut out);
    assert_eq!(collected(&mut coalescer), [Frame::Ack { tag: 4, multiple: true }]);
}

#[test]
fn a_quarter_of_the_prefetch_waits_no_longer() {
    let mut coalescer = Coalescer::new(8);
    let mut out = Vec::new();
    coalescer.settle(2, Settlement::Ack, &mut out);
    assert_eq!(collected(&mut coalescer), []);
    coalescer.settle(3, Settlement::Ack, &mut out);
    assert_eq!(collected(&mut coalescer).len(), 2);
}

#[test]
fn a_parked_tag_costs_no_memory_per_message_behind_it() {
    let mut coalescer = Coalescer::new(4);
    for tag in 2..10_000 {
        let mut out = Vec::new();
        coalescer.settle(tag, Settlement::Ack, &mut out);
        coalescer.collect(&mut out);
    }
    assert_eq!(coalescer.written.len(), 1);
    assert!(coalescer.waiting.is_empty());
}
