#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;

use bytes::Bytes;

use super::*;
use crate::state::store::Change;
use crate::state::{Entry, MemoryStore, Timer};

fn opened(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder, Durability::Process).unwrap()
}

fn places() -> Vec<Arc<Place>> {
    Place::of_stages("readings", ["anomaly", "fault", "anomaly"])
}

fn entry(text: &str) -> Entry {
    Entry { bytes: Some(Bytes::from(text.to_owned())), schema: 3, ..Entry::default() }
}

fn due(text: &str, due_us: u64) -> Entry {
    let timer = Timer { name: "t".into(), due_us, attempt: 0 };
    Entry { timers: Some([timer].into()), ..entry(text) }
}

fn commit(place: &Arc<Place>, entries: &[(&str, Entry)], now_s: u64) -> Commit {
    let change = |(key, entry): &(&str, Entry)| Change {
        place: Arc::clone(place),
        key: (*key).into(),
        entry: entry.clone(),
    };
    let entries = entries.iter().map(change).collect();
    Commit { entries, ..Commit::new("readings".into(), now_s) }
}

fn one(n: u8, at_us: u64) -> Remembered {
    Remembered {
        at_us,
        whole: [n; 16],
        id: u64::from(n) + 100,
        dead: n % 2 == 1,
        partition: n % 64,
    }
}

/// Both stores do the same.
fn behaves(store: &dyn StateStore) {
    let places = places();
    store.commit(&[commit(&places[0], &[("b", due("1", 50)), ("a", entry("2"))], 7)]).unwrap();
    store.commit(&[commit(&places[2], &[("b", due("3", 40))], 8)]).unwrap();
    let kept = store.load(&places[0], "b").unwrap().unwrap();
    assert_eq!((kept.entry, kept.touched_s), (due("1", 50), 7));
    assert_eq!(store.load(&places[2], "b").unwrap().unwrap().entry, due("3", 40));
    assert_eq!(store.load(&places[1], "b").unwrap(), None);
    let keys = |after, limit| {
        let keys = store.keys(&places[0], after, limit).unwrap();
        keys.into_iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(keys(None, 9), ["a", "b"]);
    assert_eq!(keys(None, 1), ["a"]);
    assert_eq!(keys(Some("a"), 9), ["b"]);
    let firsts = |until| store.due(&places[0], until, 9).unwrap();
    assert_eq!((firsts(49), firsts(50)), (vec![], vec![(50, "b".into())]));

    // A timer moves, then its key goes.
    store.commit(&[commit(&places[0], &[("b", due("1", 60))], 9)]).unwrap();
    assert_eq!(firsts(u64::MAX), [(60, "b".into())]);
    assert_eq!(store.usage("readings").keys, 3);
    store.commit(&[commit(&places[0], &[("b", Entry::default())], 9)]).unwrap();
    assert_eq!((firsts(u64::MAX), store.load(&places[0], "b").unwrap()), (vec![], None));
    assert_eq!(store.usage("readings").keys, 2);
    assert_eq!(store.usage("other"), Usage::default());
    let listed: Vec<String> = store.places().iter().map(|(place, _)| place.stage()).collect();
    assert_eq!(listed, ["anomaly", "anomaly#2"]);

    let settled = Commit {
        settled: vec![one(1, 20), one(2, 10), one(3, 30)],
        ..Commit::new("readings".into(), 9)
    };
    store.commit(&[settled]).unwrap();
    let gone = Commit { forgotten: vec![one(2, 10)], ..Commit::new("readings".into(), 9) };
    store.commit(&[gone]).unwrap();
    assert_eq!(store.remembered("readings").unwrap(), [one(1, 20), one(3, 30)]);
    assert!(store.remembered("other").unwrap().is_empty());
    store.check().unwrap();
}

#[test]
fn a_store_in_a_folder_does_what_one_in_memory_does() {
    behaves(&*MemoryStore::new());
    let folder = tempfile::tempdir().unwrap();
    behaves(&opened(folder.path()));
    let folder = tempfile::tempdir().unwrap();
    behaves(&EmbeddedStore::open(folder.path(), Durability::Power).unwrap());
}

#[test]
fn what_was_committed_is_there_when_the_folder_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let places = places();
    {
        let store = opened(folder.path());
        let settled =
            Commit { settled: vec![one(1, 20)], ..commit(&places[0], &[("a", due("x", 5))], 7) };
        store.commit(&[settled, commit(&places[1], &[("a", entry("y"))], 7)]).unwrap();
    }
    let store = opened(folder.path());
    assert_eq!(store.load(&places[0], "a").unwrap().unwrap().entry, due("x", 5));
    assert_eq!(store.load(&places[1], "a").unwrap().unwrap().entry, entry("y"));
    assert_eq!(store.due(&places[0], 5, 9).unwrap(), [(5, "a".into())]);
    assert_eq!(store.remembered("readings").unwrap(), [one(1, 20)]);
    assert_eq!(store.usage("readings").keys, 2);
}

#[test]
fn bytes_of_keys_and_state_are_counted_as_they_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let (store, places) = (opened(folder.path()), places());
    for round in 0..3 {
        let text = "x".repeat(round * 10);
        store.commit(&[commit(&places[0], &[("a", entry(&text)), ("bb", entry(""))], 1)]).unwrap();
    }
    let all: usize = ["a", "bb"]
        .iter()
        .map(|key| {
            let kept = store.load(&places[0], key).unwrap().unwrap();
            key.len() + record::encode(&kept.entry, 1).len()
        })
        .sum();
    assert_eq!(store.usage("readings"), Usage { keys: 2, bytes: all as u64 });
    let gone = [("a", Entry::default()), ("bb", Entry::default()), ("never", Entry::default())];
    store.commit(&[commit(&places[0], &gone, 1)]).unwrap();
    assert_eq!(store.usage("readings"), Usage::default());
}

#[test]
fn a_folder_of_a_later_release_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    fs::write(folder.path().join("format"), "2\n").unwrap();
    let error = EmbeddedStore::open(folder.path(), Durability::Process).err().unwrap();
    assert_eq!(error, StoreError::Newer { found: 2, known: 1 });
    assert!(error.to_string().contains("run the release that wrote it"), "{error}");
    assert_eq!(fs::read_to_string(folder.path().join("format")).unwrap(), "2\n");
}

#[test]
fn a_damaged_folder_is_refused_with_what_to_do_and_never_emptied() {
    type Harm = fn(&Path);
    let damage: [(&str, Harm); 4] = [
        ("format", |folder| fs::write(folder.join("format"), "x").unwrap()),
        ("no format", |folder| fs::remove_file(folder.join("format")).unwrap()),
        ("page", |folder| {
            let path = folder.join(folder::DATABASE);
            let mut bytes = fs::read(&path).unwrap();
            let all = bytes.windows(6).enumerate().filter(|(_, at)| *at == b"SECRET");
            let all: Vec<usize> = all.map(|(at, _)| at).collect();
            assert!(!all.is_empty(), "what was written");
            all.into_iter().for_each(|at| bytes[at] ^= 0x40);
            fs::write(&path, bytes).unwrap();
        }),
        ("cut", |folder| {
            let file = fs::OpenOptions::new().write(true).open(folder.join(folder::DATABASE));
            file.unwrap().set_len(5000).unwrap();
        }),
    ];
    for (what, damage) in damage {
        let folder = tempfile::tempdir().unwrap();
        let store = opened(folder.path());
        let places = places();
        for n in 0..10 {
            let key = format!("k{n}");
            store.commit(&[commit(&places[0], &[(&key, entry("SECRET"))], 1)]).unwrap();
        }
        drop(store);
        damage(folder.path());
        let error = EmbeddedStore::open(folder.path(), Durability::Process).err();
        let error = error.unwrap_or_else(|| panic!("{what}: opened"));
        let text = error.to_string();
        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {text}");
        assert!(text.contains("restore the folder from a backup"), "{what}: {text}");
        assert!(folder.path().join(folder::DATABASE).exists(), "{what}");
    }
}

#[test]
fn a_second_opening_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let _first = opened(folder.path());
    let error = EmbeddedStore::open(folder.path(), Durability::Process).err().unwrap();
    assert!(error.to_string().contains("a running host has it"), "{error}");
}
