#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::message::{FieldValue, Properties, Table};

fn queue(kind: QueueKind, arguments: &[(&str, i64)]) -> Queue {
    let declaration = QueueDeclaration {
        name: "q".to_owned(),
        kind,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: arguments.iter().map(|(n, v)| (*n, FieldValue::I64(*v))).collect::<Table>(),
    };
    let settings = Settings::of(&declaration).unwrap();
    Queue::new(declaration, settings, Owner::Nobody, Instant::now())
}

fn message(body: &'static str, priority: Option<u8>, expiration: Option<&str>) -> Arc<Message> {
    let expiration = expiration.map(str::to_owned);
    let properties = Properties { priority, expiration, ..Properties::default() };
    Arc::new(Message { properties, body: body.into(), ..Message::default() })
}

fn add(queue: &mut Queue, message: Arc<Message>) {
    let entry = queue.entry(message, Instant::now());
    queue.put(entry);
}

fn bodies(queue: &mut Queue) -> Vec<String> {
    std::iter::from_fn(|| queue.pop())
        .map(|entry| String::from_utf8(entry.message.body.to_vec()).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn messages_leave_by_priority_then_by_age() {
    let mut queue = queue(QueueKind::Classic, &[("x-max-priority", 2)]);
    for (body, priority) in
        [("a", None), ("b", Some(2)), ("c", Some(0)), ("d", Some(9)), ("e", Some(1))]
    {
        add(&mut queue, message(body, priority, None));
    }
    assert_eq!(bodies(&mut queue), ["b", "d", "e", "a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_without_priorities_ignores_them() {
    let mut queue = queue(QueueKind::Classic, &[]);
    add(&mut queue, message("a", None, None));
    add(&mut queue, message("b", Some(9), None));
    assert_eq!(bodies(&mut queue), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_gets_its_place_whatever_the_order() {
    let mut queue = queue(QueueKind::Classic, &[]);
    for body in ["a", "b", "c", "d"] {
        add(&mut queue, message(body, None, None));
    }
    let (a, b, c) = (queue.pop().unwrap(), queue.pop().unwrap(), queue.pop().unwrap());
    for entry in [b, a, c] {
        queue.put_back(entry).unwrap();
    }
    assert_eq!(queue.length(), 4);
    assert_eq!(bodies(&mut queue), ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_quorum_queue_without_a_limit_puts_released_messages_last() {
    let mut unlimited = queue(QueueKind::Quorum, &[]);
    let mut limited = queue(QueueKind::Quorum, &[("x-delivery-limit", 3)]);
    for (queue, expected) in [(&mut unlimited, ["b", "a"]), (&mut limited, ["a", "b"])] {
        add(queue, message("a", None, None));
        add(queue, message("b", None, None));
        let first = queue.pop().unwrap();
        queue.put_back(first).unwrap();
        assert_eq!(bodies(queue), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_shorter_time_to_live_counts_and_only_the_head_expires() {
    let mut queue = queue(QueueKind::Classic, &[("x-message-ttl", 5_000)]);
    let start = Instant::now();
    add(&mut queue, message("long", None, Some("8000")));
    add(&mut queue, message("short", None, Some("1000")));
    let (one, five) = (start + Duration::from_secs(1), start + Duration::from_secs(5));
    assert_eq!(queue.due(), Some(five));
    assert!(queue.pop_expired(one).is_none(), "it waits behind the head");
    assert!(queue.pop_expired(five).is_some());
    assert_eq!(queue.due(), Some(one));
    assert!(queue.pop_expired(five).is_some());
    assert!(queue.pop_expired(five).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_queue_without_a_bound_has_the_models() {
    let mut queue = queue(QueueKind::Classic, &[]);
    let large = Arc::new(Message {
        body: vec![0; crate::limits::PUBLISH_BYTES].into(),
        ..Message::default()
    });
    let fitting = EMBEDDED_QUEUE_BYTES / crate::limits::PUBLISH_BYTES as u64;
    for _ in 0..fitting {
        assert_eq!(queue.room_for(&large), Room::Fits);
        add(&mut queue, Arc::clone(&large));
    }
    assert_eq!(queue.room_for(&large), Room::Full);
    assert!(queue.pop_overflow().is_none(), "nothing that was accepted is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_forgets_its_oldest() {
    let mut stream = queue(QueueKind::Stream, &[("x-max-length-bytes", 2)]);
    for body in ["a", "b", "c"] {
        let message = message(body, None, None);
        assert_eq!(stream.room_for(&message), Room::Fits);
        add(&mut stream, message);
    }
    assert_eq!(&*stream.pop_overflow().unwrap().message.body, b"a");
    assert!(stream.pop_overflow().is_none());
}
