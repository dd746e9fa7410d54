#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;

#[test]
fn what_is_exported_is_taken_up_as_it_was() {
    let timer = Timer { name: "t".into(), due_us: 7, attempt: 2 };
    let entries = [
        Entry { bytes: Some(Bytes::from_static(&[0, 255, 7])), schema: 3, ..Entry::default() },
        Entry { bytes: Some(Bytes::new()), ..Entry::default() },
        Entry { timers: Some([timer].into()), ..Entry::default() },
        Entry { shadow: Some(Shadow { schema: 2, bytes: None }), ..Entry::default() },
        Entry {
            shadow: Some(Shadow { schema: 2, bytes: Some(Bytes::from_static(b"x")) }),
            ..Entry::default()
        },
    ];
    let place = Place { pipeline: "p".into(), plugin: "a\n".into(), nth: 1 };
    for entry in entries {
        let kept = Kept { entry, touched_s: 99 };
        let line = serde_json::to_string(&Line::of(&place, "k\u{1}", &kept)).unwrap();
        assert!(!line.contains('\n'));
        let commit = serde_json::from_str::<Line>(&line).unwrap().into_commit().unwrap();
        assert_eq!(commit.now_s, 99);
        let [change] = &commit.entries[..] else { panic!("{commit:?}") };
        assert_eq!((&*change.place, &*change.key, &change.entry), (&place, "k\u{1}", &kept.entry));
    }
}

#[test]
fn another_format_is_told_from_this_one() {
    assert!(is_header(&header().to_string()));
    for other in ["", "{}", r#"{"sluicegate_state":2}"#, r#"{"pipeline":"p"}"#] {
        assert!(!is_header(other), "{other}");
    }
}
