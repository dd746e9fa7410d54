#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use bytes::Bytes;

use super::*;
use crate::state::{Change, Commit, EmbeddedStore, Entry, MemoryStore};

fn filled(store: &dyn StateStore) {
    let places = Place::of_stages("p", ["a", "b"]);
    for (at, key) in [(0, "k1"), (0, "k2"), (1, "k1"), (0, "m")] {
        let state = Bytes::from(rmp_serde::to_vec(&(key, at)).unwrap());
        let entry = Entry { bytes: Some(state), ..Entry::default() };
        let change = Change { place: Arc::clone(&places[at]), key: key.into(), entry };
        store.commit(&[Commit { entries: vec![change], ..Commit::new("p".into(), 7) }]).unwrap();
    }
}

fn seen(store: &dyn StateStore, what: &Look) -> Vec<Value> {
    let mut lines = Vec::new();
    look(store, what, &mut |line| {
        lines.push(serde_json::from_str(&line).unwrap());
        true
    })
    .unwrap();
    lines
}

fn keys(prefix: &str, limit: usize) -> Look {
    Look::Keys { pipeline: "p".to_owned(), stage: None, prefix: prefix.to_owned(), limit }
}

#[test]
fn both_stores_tell_the_same_of_what_they_keep() {
    let folder = tempfile::tempdir().unwrap();
    let embedded =
        EmbeddedStore::open(&folder.path().join("s"), crate::state::Durability::Process).unwrap();
    let memory = MemoryStore::new();
    for store in [&embedded as &dyn StateStore, &*memory] {
        filled(store);
        let places = seen(store, &Look::Places);
        assert_eq!((&places[0]["stage"], &places[0]["keys"]), (&json!("a"), &json!(3)));
        let named = |lines: &[Value]| -> Vec<(String, String)> {
            let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
            lines.iter().map(|line| (text(line, "stage"), text(line, "key"))).collect()
        };
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(stage, key)| ((*stage).to_owned(), (*key).to_owned())).collect()
        };
        assert_eq!(
            named(&seen(store, &keys("k", 9))),
            owned(&[("a", "k1"), ("a", "k2"), ("b", "k1")])
        );
        assert_eq!(named(&seen(store, &keys("", 1))), owned(&[("a", "k1")]));
        let at_b = Look::Keys {
            pipeline: "p".to_owned(),
            stage: Some("b".to_owned()),
            prefix: String::new(),
            limit: 9,
        };
        assert_eq!(named(&seen(store, &at_b)), owned(&[("b", "k1")]));
        let one = OneKey { pipeline: "p".into(), key: "k1".into(), stage: Some("b".into()) };
        let shown = seen(store, &Look::Key(one));
        assert_eq!((shown.len(), &shown[0]["decoded"]), (1, &json!(["k1", 1])));
        let exported = seen(store, &Look::Export);
        assert_eq!((exported.len(), &exported[0]), (5, &header()));
        assert_eq!(exported[1]["touched_s"], json!(7));
    }
}

#[test]
fn a_pipeline_without_state_is_told_where_there_is_some() {
    let memory = MemoryStore::new();
    filled(&*memory);
    let what = Look::Keys {
        pipeline: "p".to_owned(),
        stage: Some("c".to_owned()),
        prefix: String::new(),
        limit: 1,
    };
    let error = look(&*memory, &what, &mut |_| true).unwrap_err();
    assert_eq!(error.to_string(), "nothing is kept there; pipeline 'p' has state at: a, b");
}
