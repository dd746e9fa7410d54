#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::message::Properties;
use crate::report::ResolvedLetter;

fn report(id: &str, letter: &str) -> Message {
    let report = Report {
        id: id.to_owned(),
        letter: letter.to_owned(),
        message_id: Some(format!("m-{letter}")),
        ..Report::default()
    };
    Message { body: serde_json::to_vec(&report).unwrap().into(), ..Message::default() }
}

fn resolved(id: &str) -> Message {
    let letter = ResolvedLetter { report: Some(id.to_owned()), ..ResolvedLetter::default() };
    let resolution =
        Resolution { what: "replayed".to_owned(), letters: vec![letter], ..Resolution::default() };
    Message {
        properties: Properties { kind: Some(RESOLVED_KIND.to_owned()), ..Properties::default() },
        body: serde_json::to_vec(&resolution).unwrap().into(),
        ..Message::default()
    }
}

fn letter(digest: &str, failure_id: Option<&str>) -> Letter {
    let mut letter = Letter::read(Message::default());
    digest.clone_into(&mut letter.digest);
    letter.failure_id = failure_id.map(str::to_owned);
    letter
}

#[test]
fn a_failure_told_twice_is_one_and_what_is_no_report_is_counted() {
    let mut ledger = Ledger::default();
    for message in [report("f-1", "a"), report("f-1", "a"), report("", "b")] {
        ledger.take(&message);
    }
    ledger.take(&Message { body: "not JSON".into(), ..Message::default() });
    assert_eq!((ledger.entries().count(), ledger.unreadable), (1, 2));
}

#[test]
fn a_letter_belongs_to_the_newest_open_report_of_its_digest() {
    let mut ledger = Ledger::default();
    for message in [report("f-1", "a"), report("f-2", "a"), report("f-3", "a"), resolved("f-3")] {
        ledger.take(&message);
    }
    let mut used = HashSet::new();
    let mut next = |letter: &Letter| {
        let number = ledger.report_of(letter, &mut used);
        number.map(|number| ledger.entry(number).unwrap().report.id.clone())
    };
    assert_eq!(next(&letter("x", Some("f-1"))).as_deref(), Some("f-1"), "by the id it carries");
    assert_eq!(next(&letter("a", None)).as_deref(), Some("f-2"));
    // A crash between copy and ack left it.
    assert_eq!(next(&letter("a", None)).as_deref(), Some("f-3"));
    assert_eq!(next(&letter("a", None)), None);
    assert_eq!(next(&letter("b", None)), None);
}

#[test]
fn the_oldest_are_forgotten_for_want_of_room_and_the_rest_is_whole() {
    let mut ledger = Ledger::keeping(10, usize::MAX);
    for n in 0..25 {
        ledger.take(&report(&format!("f-{n}"), &n.to_string()));
    }
    ledger.take(&resolved("f-3"));
    ledger.take(&resolved("f-20"));
    assert_eq!((ledger.entries().count(), ledger.forgotten), (10, 15));
    let open = ledger.entries().filter(|entry| entry.resolution.is_none()).count();
    assert_eq!(open, 9);
    assert_eq!(ledger.report_of(&letter("3", None), &mut HashSet::new()), None);
    let number = ledger.report_of(&letter("24", None), &mut HashSet::new()).unwrap();
    assert_eq!(ledger.entry(number).unwrap().report.id, "f-24");
}

#[test]
fn a_failure_that_is_told_after_it_was_dealt_with_is_open_again() {
    let mut ledger = Ledger::default();
    for message in [report("f-1", "a"), resolved("f-1")] {
        ledger.take(&message);
    }
    assert!(ledger.entries().all(|entry| entry.resolution.is_some()));
    ledger.take(&report("f-1", "a"));
    assert!(ledger.entries().all(|entry| entry.resolution.is_none()));
}

#[test]
fn what_is_kept_is_bounded_in_bytes_too() {
    let size = report("f-1", "a").body.len();
    let mut ledger = Ledger::keeping(100, size * 3);
    for n in 0..9 {
        ledger.take(&report(&format!("f-{n}"), "a"));
    }
    assert_eq!((ledger.entries().count(), ledger.forgotten), (3, 6));
    assert_eq!(ledger.entries().next().unwrap().report.id, "f-6");
}

#[test]
fn a_failure_is_named_by_its_id_the_beginning_of_it_or_its_message() {
    let mut ledger = Ledger::default();
    for message in [report("abc1", "a"), report("abc2", "b"), report("x", "b"), report("abc", "c")]
    {
        ledger.take(&message);
    }
    let one = |word: &str| match ledger.named(word) {
        Named::One(entry) => entry.report.id.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!([one("abc"), one("abc2"), one("m-b")], ["abc", "abc2", "x"]);
    assert!(matches!(ledger.named("ab"), Named::Several(3)));
    assert!(matches!(ledger.named("q"), Named::Nobody));
}
