#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::limits::ARCHIVE_FILE_BYTES;
use crate::message::{FieldValue, Table};

fn death(queue: &str, reason: &str, exchange: &str, key: &str) -> FieldValue {
    let mut death = Table::default();
    death.set("queue", queue);
    death.set("reason", reason);
    death.set("exchange", exchange);
    death.set("routing-keys", FieldValue::Array(vec![key.into()]));
    death.set("time", FieldValue::Timestamp(7));
    FieldValue::Table(death)
}

#[test]
fn a_line_tells_of_the_message_as_it_was_first_published_and_why_it_left() {
    let mut message = Message { body: "{\"a\":1}".into(), ..Message::default() };
    message.routing_key = "sluicegate.archive.q.dead".to_owned();
    message.properties.message_id = Some("m-1".to_owned());
    let deaths =
        vec![death("q.dead", "expired", "dlx", "k"), death("q", "rejected", "meters", "meter.1")];
    message.properties.headers.set("x-death", FieldValue::Array(deaths));
    message.properties.headers.set("region", "north");
    let line = line(&message, 9);
    assert_eq!((&line["exchange"], &line["routing_key"]), (&"meters".into(), &"meter.1".into()));
    assert_eq!((&line["queue"], &line["dead_letter_queue"]), (&"q".into(), &"q.dead".into()));
    assert_eq!(line["left"], json!({ "reason": "expired", "time": 7, "archived_at": 9 }));
    assert_eq!((&line["body"]["a"], &line["headers"]["region"]), (&1.into(), &"north".into()));
    let letter = crate::report::letter("q", "meters", "meter.1", Some("m-1"), b"{\"a\":1}");
    assert_eq!(line["letter"], letter);
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_are_rotated_by_size_and_bounded_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("archive");
    let bytes = usize::try_from(ARCHIVE_FILE_BYTES).unwrap();
    let files = Files::new(&folder, 2 * ARCHIVE_FILE_BYTES + 5);
    files.room().unwrap();
    files.write("q/1", 5, b"{}\n").unwrap();
    files.write("q/1", 6, &vec![b'x'; bytes]).unwrap();
    assert_eq!(names(&folder).len(), 1);
    files.write("q/1", 7, b"{}\n").unwrap();
    let two = names(&folder);
    assert_eq!(two.len(), 2);
    assert!(two[0].starts_with("q_1.5-") && two[1].ends_with(".jsonl"), "{two:?}");
    let full = files.write("q/1", 8, &vec![b'x'; bytes]).unwrap_err();
    assert!(full.to_string().contains("archive_bytes"), "{full}");
    files.write("q/1", 9, b"{}\n").unwrap();
    std::fs::remove_file(folder.join(&two[0])).unwrap();
    files.write("q/1", 10, &vec![b'x'; bytes]).unwrap();
}

#[test]
fn a_folder_that_can_not_be_is_an_error_each_time_and_fine_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    std::fs::write(&path, "a file").unwrap();
    let files = Files::new(&path, ARCHIVE_FILE_BYTES);
    files.room().unwrap_err();
    files.write("q", 1, b"{}\n").unwrap_err();
    std::fs::remove_file(&path).unwrap();
    files.write("q", 1, b"{}\n").unwrap();
    assert_eq!(names(&path).len(), 1);
}
