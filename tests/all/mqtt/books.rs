//! What a talkative Mosquitto wrote down of its sessions: what it sent, what was acknowledged, and what of
//! that it had on disk when it died. By this every message that came twice has a reason, or is our fault.

use std::collections::{BTreeMap, HashMap};

/// Why a broker sent a message again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nobody had acknowledged it.
    Unacknowledged,
    /// It was acknowledged, and the broker died before it wrote that down.
    Forgotten,
    /// It was acknowledged, and the broker knew.
    None,
}

/// What was sent to a session, by topic.
#[derive(Default)]
pub(super) struct Books {
    sent: BTreeMap<String, Vec<Sent>>,
    /// Under which number it was last sent, in this life of the broker.
    numbers: HashMap<(String, u16), (String, usize)>,
    /// It has begun to write its store, and is alive to say something else once it has.
    writing: bool,
}

#[derive(Clone, Copy, Default)]
struct Sent {
    marked: bool,
    acknowledged: bool,
    written: bool,
}

impl Books {
    /// Of the sessions whose names begin so, from a log of all types.
    pub(super) fn of(sessions: &str, log: &str) -> Self {
        let mut books = Self::default();
        for line in log.lines() {
            books.note(sessions, line.split_once(": ").map_or(line, |(_, said)| said));
        }
        books
    }

    fn note(&mut self, sessions: &str, said: &str) {
        if std::mem::take(&mut self.writing) && !said.starts_with("mosquitto version") {
            for sent in self.sent.values_mut().flatten() {
                sent.written |= sent.acknowledged;
            }
        }
        if let Some(sending) = said.strip_prefix("Sending PUBLISH to ") {
            let Some((session, what)) = sending.split_once(" (d") else { return };
            let Some(topic) = what.split('\'').nth(1).filter(|_| session.starts_with(sessions))
            else {
                return;
            };
            let number = what.split(", m").nth(1).and_then(|it| it.split(',').next());
            let number: u16 = number.and_then(|it| it.parse().ok()).unwrap();
            let of_topic = self.sent.entry(format!("{session} {topic}")).or_default();
            of_topic.push(Sent { marked: what.starts_with('1'), ..Sent::default() });
            let place = (format!("{session} {topic}"), of_topic.len() - 1);
            self.numbers.insert((session.to_owned(), number), place);
        } else if let Some(received) = said.strip_prefix("Received PUBACK from ") {
            let Some((session, what)) = received.split_once(" (Mid: ") else { return };
            let number = what.split(',').next().and_then(|it| it.parse().ok()).unwrap();
            if let Some((topic, place)) = self.numbers.remove(&(session.to_owned(), number)) {
                self.sent.get_mut(&topic).unwrap()[place].acknowledged = true;
            }
        } else if said.starts_with("Saving in-memory database") {
            self.writing = true;
        }
    }

    /// How often a message was sent, and how often of that marked as sent before.
    pub(super) fn counts(&self) -> (usize, usize) {
        let all = || self.sent.values().flatten();
        (all().count(), all().filter(|it| it.marked).count())
    }

    /// Why the messages of a topic were sent again, each time.
    pub(super) fn again(&self, session: &str, topic: &str) -> Vec<Reason> {
        let sent = self.sent.get(&format!("{session} {topic}"));
        let before = sent.map(|it| &it[..it.len() - 1]).unwrap_or_default();
        let reason = |it: &Sent| match (it.acknowledged, it.written) {
            (false, _) => Reason::Unacknowledged,
            (true, false) => Reason::Forgotten,
            (true, true) => Reason::None,
        };
        before.iter().map(reason).collect()
    }
}

#[test]
fn the_books_tell_what_was_forgotten_from_what_nobody_acknowledged() {
    let log = "\
1: Sending PUBLISH to s (d0, q1, r0, m1, 'a', ... (4 bytes))
1: Sending PUBLISH to s (d0, q1, r0, m2, 'b', ... (4 bytes))
1: Sending PUBLISH to s (d0, q1, r0, m3, 'c', ... (4 bytes))
1: Sending PUBLISH to other (d0, q1, r0, m1, 'a', ... (4 bytes))
1: Received PUBACK from s (Mid: 1, RC:0)
1: Saving in-memory database to /x/mosquitto.db.
1: Received PUBACK from s (Mid: 2, RC:0)
1: Saving in-memory database to /x/mosquitto.db.
2: mosquitto version 2.0.11 starting
2: Sending PUBLISH to s (d1, q1, r0, m1, 'a', ... (4 bytes))
2: Sending PUBLISH to s (d1, q1, r0, m2, 'b', ... (4 bytes))
2: Sending PUBLISH to s (d1, q1, r0, m3, 'c', ... (4 bytes))
";
    let books = Books::of("s", log);
    assert_eq!(books.counts(), (6, 3));
    assert_eq!(books.again("s", "a"), [Reason::None]);
    assert_eq!(books.again("s", "b"), [Reason::Forgotten]);
    assert_eq!(books.again("s", "c"), [Reason::Unacknowledged]);
    assert_eq!(books.again("s", "d"), []);
}
