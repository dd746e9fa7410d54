#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// One message whose body is at the arena's start, one state slot.
fn index() -> Vec<u32> {
    let mut index = vec![VERSION, 16, 1, 20, 36, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    index.extend([0, 4, NONE, 0, 4, 3, 7, 1, NONE, 0, 0, 2, 1, 2, 3, 4]);
    index.extend([7, 1, 5, 1]);
    index.extend([NONE, 0, 9, 0]);
    index
}

#[test]
fn a_batch_is_read_in_place() {
    let (arena, index) = (b"bodykeyk", index());
    let batch = Batch::read(arena, &index).unwrap();
    assert_eq!((batch.messages(), batch.slots()), (1, 1));
    let record = batch.record(0).unwrap();
    assert_eq!((record.body, record.exchange), (&b"body"[..], Text(b"")));
    assert_eq!((record.routing_key, record.key), (Text(b"key"), Some(Text(b"k"))));
    assert_eq!((record.slot, record.attempt, record.seed), (Some(0), 2, [1, 2, 3, 4]));
    assert_eq!((record.row, record.due_us), (Some(&b"k"[..]), Some(5 | 1 << 32)));
    assert_eq!(batch.state(0), Ok((None, 9)));
}

#[test]
fn records_of_a_later_layout_may_be_longer() {
    let mut index = index();
    index.insert(36, 77);
    index[3] = 21;
    index[4] = 37;
    let batch = Batch::read(b"bodykeyk", &index).unwrap();
    assert_eq!(batch.record(0).unwrap().body, b"body");
}

#[test]
fn what_leaves_arena_or_index_is_refused() {
    let refused = |at: usize, word: u32| {
        let mut index = index();
        index[at] = word;
        let batch = Batch::read(b"bodykeyk", &index);
        batch.and_then(|batch| batch.record(0).and(batch.state(0))).unwrap_err()
    };
    assert_eq!(refused(0, 2), Malformed("a layout version that this plugin doesn't know"));
    assert_eq!(refused(1, 34), Malformed("a table outside the index"));
    assert_eq!(refused(2, u32::MAX), Malformed("a table outside the index"));
    assert_eq!(refused(3, 8), Malformed("records smaller than this plugin's"));
    assert_eq!(refused(17, 9), Malformed("a span outside the arena"));
    assert_eq!(refused(26, 1), Malformed("a state slot that isn't there"));
    assert_eq!(refused(36, 9), Malformed("a span outside the arena"));
}

#[test]
fn whatever_words_come_reading_neither_panics_nor_leaves_the_arena() {
    // A small generator of its own: the SDK has no dependency for it.
    let mut random: u64 = 42;
    let mut below = |limit: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % limit
    };
    for _ in 0..20_000 {
        let mut index = index();
        let arena: Vec<u8> = (0..below(64)).map(|_| below(256).to_le_bytes()[0]).collect();
        for _ in 0..=below(4) {
            let at = usize::try_from(below(40)).unwrap();
            let word = [below(80), u64::from(NONE) - below(3)][usize::from(below(4) == 0)];
            index[at] = u32::try_from(word).unwrap();
        }
        let Ok(batch) = Batch::read(&arena, &index) else { continue };
        for position in 0..batch.messages().min(40) {
            if let Ok(record) = batch.record(position) {
                assert!(record.body.len() <= arena.len());
                assert!(record.properties.headers().iter().count() <= arena.len());
            }
        }
        for slot in 0..batch.slots().min(40) {
            let state = batch.state(slot).ok().and_then(|(state, _)| state).unwrap_or_default();
            assert!(state.len() <= arena.len());
        }
    }
}

#[test]
#[should_panic(expected = "text isn't UTF-8")]
fn text_that_is_none_is_told_when_somebody_reads_it() {
    Text(b"\xff").get();
}
