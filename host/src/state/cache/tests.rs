#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;

use super::*;

fn entry(text: &str, generation: u64) -> Entry {
    Entry { bytes: Some(Bytes::from(text.to_owned())), generation, ..Entry::default() }
}

fn kept(text: &str) -> Option<Kept> {
    Some(Kept { entry: entry(text, 0), touched_s: 5 })
}

#[test]
fn what_is_used_stays_and_what_isnt_goes_when_there_is_no_room() {
    let mut cache = Cache::new(10 * 300, vec![0]);
    let keys: Vec<Arc<str>> = (0..100).map(|n| format!("k{n}").into()).collect();
    for key in &keys {
        cache.learn(key, 0, kept(&"x".repeat(100)));
        assert!(!cache.lacks("k0", 0), "it is used all the time");
        cache.trim();
        assert!(cache.bytes <= cache.limit);
    }
    assert!(cache.lacks("k50", 0));
    assert!(cache.keys.len() < 12 && cache.hand.len() < 120, "{}", cache.hand.len());
}

#[test]
fn what_is_read_again_has_a_generation_that_nobody_was_handed() {
    let mut cache = Cache::new(0, vec![0]);
    let key: Arc<str> = "a".into();
    cache.learn(&key, 0, None);
    let mut handed = vec![cache.get("a", 0).unwrap().generation];
    for round in 0..5 {
        let mut changes = Changes::default();
        let generation = cache.get("a", 0).unwrap().generation + 1 + round;
        changes.set(&key, 0, entry("undone", generation));
        cache.handed(&changes);
        handed.push(generation);
        cache.rewind("a");
        handed.push(cache.get("a", 0).unwrap().generation);
        for _ in 0..3 {
            // Used a moment ago, then not.
            cache.trim();
        }
        assert!(cache.lacks("a", 0));
        cache.learn(&key, 0, kept("committed"));
        let now = cache.get("a", 0).unwrap().generation;
        assert!(handed.iter().all(|before| *before < now), "{now} after {handed:?}");
        handed.push(now);
    }
}

#[test]
fn a_key_without_anything_is_known_not_to_have_it() {
    let mut cache = Cache::new(1 << 20, vec![0, 1 << 48]);
    let key: Arc<str> = "a".into();
    assert!(cache.lacks("a", 1));
    cache.learn(&key, 1, None);
    assert!(!cache.lacks("a", 1) && cache.lacks("a", 0) && !cache.has("a"));
    assert_eq!(cache.get("a", 1).unwrap().generation >> 48, 1);
    let mut changes = Changes::default();
    changes.set(&key, 1, entry("x", (1 << 48) + 9));
    cache.commit(changes, 77);
    assert!(cache.has("a"));
    assert_eq!(cache.touched_s("a", 1), Some(77));
    assert_eq!(cache.take_figures(), CacheFigures { hits: 1, misses: 2 });
}
