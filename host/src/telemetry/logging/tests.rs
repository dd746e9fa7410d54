#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Page {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What an event looks like in that format.
fn written(format: Format, event: impl FnOnce()) -> String {
    let page = Page::default();
    let subscriber = subscriber(format, EnvFilter::new("info"), false, page.clone());
    tracing::subscriber::with_default(subscriber, event);
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_hostile_text_stays_on_its_line_and_steers_no_terminal() {
    let hostile = "\u{1b}[2J\nINFO all is well\u{9b}31m\u{202e}x";
    let line = written(Format::Human, || {
        tracing::warn!(text = hostile, other = %hostile, "said: {hostile}");
    });
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(!line.trim_end().chars().any(is_steering), "{line:?}");
    assert!(line.contains("all is well"));
}

#[test]
fn a_json_event_is_one_object_with_its_fields() {
    let line = written(Format::Json, || {
        tracing::warn!(pipeline = "readings", text = "a\n\u{1b}b", "message failed");
    });
    assert_eq!(line.lines().count(), 1);
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["level"], "WARN");
    assert_eq!(event["message"], "message failed");
    assert_eq!(event["text"], "a\n\u{1b}b");
    assert_eq!(event["pipeline"], "readings");
}

#[test]
fn levels_and_levels_by_room_are_filters() {
    for filter in
        ["info", "WARN", "off", "info,sluicegate::pipeline=debug", "sluicegate[{x=1}]=trace"]
    {
        assert!(parse(filter).is_ok(), "{filter}");
    }
}

#[test]
fn a_mistyped_filter_is_refused_with_what_would_do() {
    for filter in ["infoo", "", "info,verbose", "sluicegate=loud"] {
        let error = parse(filter).expect_err(filter).to_string();
        assert!(error.starts_with(&format!("log filter '{filter}': ")), "{error}");
        assert!(error.contains("'info,sluicegate::pipeline=debug'"), "{error}");
    }
}

#[test]
fn a_text_is_cut_between_characters() {
    assert_eq!(clipped("aé", 2), "a");
    assert_eq!(clipped("aé", 3), "aé");
    assert_eq!(clipped("aé", 100), "aé");
}
