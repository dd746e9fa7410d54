#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Read;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Counts, End, Feed, Job, Progress};
use crate::broker::{
    Broker, BrokerError, ConsumeRequest, Consumer, Declaration, Declared, Depth, LinkState,
    Outgoing, Published, Publisher, Server,
};
use crate::publish::recipe::{BodyKind, Recipe};
use crate::publish::record::Format;
use crate::publish::template::Template;

type Answer = dyn Fn(&str, usize) -> Published + Send + Sync;

/// A broker that answers as a test says: by body, and how often that body was published before.
struct Scripted {
    answer: Box<Answer>,
    published: Mutex<Vec<String>>,
}

struct Lane(Arc<Scripted>);

#[async_trait]
impl Broker for Arc<Scripted> {
    async fn server(&self) -> Result<Server, BrokerError> {
        Err(BrokerError::Unsupported("scripted".to_owned()))
    }
    async fn declare(&self, _: &Declaration) -> Result<Declared, BrokerError> {
        Err(BrokerError::Unsupported("scripted".to_owned()))
    }
    async fn exists(&self, _: &Declaration) -> Result<bool, BrokerError> {
        Err(BrokerError::Unsupported("scripted".to_owned()))
    }
    async fn depth(&self, _: &str) -> Result<Depth, BrokerError> {
        Err(BrokerError::Unsupported("scripted".to_owned()))
    }
    async fn consume(&self, _: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError> {
        Err(BrokerError::Unsupported("scripted".to_owned()))
    }
    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError> {
        Ok(Box::new(Lane(Arc::clone(self))))
    }
    fn link(&self) -> LinkState {
        LinkState::default()
    }
    async fn close(&self) {}
}

#[async_trait]
impl Publisher for Lane {
    async fn publish(&mut self, group: &[Outgoing]) -> Vec<Published> {
        let mut published = self.0.published.lock().unwrap();
        let mut answer = |message: &Outgoing| {
            let body = String::from_utf8(message.body.to_vec()).unwrap();
            let before = published.iter().filter(|one| **one == body).count();
            published.push(body.clone());
            (self.0.answer)(&body, before)
        };
        group.iter().map(&mut answer).collect()
    }
}

struct Ran {
    end: End,
    counts: Counts,
    notes: Vec<String>,
    published: Vec<String>,
}

fn feed(input: &'static str) -> Feed {
    Feed {
        open: Box::new(move || Ok(Box::new(input.as_bytes()) as Box<dyn Read + Send>)),
        format: Format::Lines,
        delimiter: None,
        recipe: Recipe {
            exchange: "x".to_owned(),
            routing_key: Template::text("k").unwrap(),
            headers: Vec::new(),
            kind: None,
            message_id: Some(Template::text("{uuid}").unwrap()),
            content_type: None,
            priority: None,
            expiration_ms: None,
            persistent: true,
            times: Vec::new(),
            body: Some(Template::text("{text}{seq}").unwrap()),
            body_kind: BodyKind::Text,
            exported: false,
        },
        copies: 1,
        passes: 1,
        limit: None,
        skip_bad: false,
    }
}

async fn run(feed: Feed, stop: CancellationToken, answer: Box<Answer>) -> Ran {
    let broker = Arc::new(Scripted { answer, published: Mutex::default() });
    let progress = Arc::new(Progress::default());
    let job = Job {
        feed,
        broker: Arc::new(Arc::clone(&broker)),
        publishers: 1,
        rate_per_s: None,
        progress: Arc::clone(&progress),
        stop,
    };
    let end = job.run().await;
    let published = broker.published.lock().unwrap().clone();
    Ran { end, counts: progress.counts(), notes: progress.take_notes(), published }
}

fn confirmed() -> Box<Answer> {
    Box::new(|_, _| Published::Confirmed)
}

#[tokio::test]
async fn every_copy_of_every_record_is_published_in_order_on_every_pass() {
    let ran =
        run(Feed { copies: 2, passes: 2, ..feed("a\nb\n") }, CancellationToken::new(), confirmed())
            .await;
    assert_eq!(ran.end, End::Complete);
    assert_eq!(ran.published, ["a1", "a2", "b3", "b4", "a5", "a6", "b7", "b8"]);
    assert_eq!(ran.counts, Counts { confirmed: 8, ..Counts::default() });
}

#[tokio::test]
async fn a_limit_ends_a_run_that_would_go_on() {
    let feed = Feed { limit: Some(5), passes: u64::MAX, ..feed("a\nb\n") };
    let ran = run(feed, CancellationToken::new(), confirmed()).await;
    assert_eq!((ran.end, ran.counts.confirmed), (End::Complete, 5));
}

#[tokio::test]
async fn an_empty_input_repeated_for_ever_ends() {
    let feed = Feed { passes: u64::MAX, ..feed("") };
    let ran = run(feed, CancellationToken::new(), confirmed()).await;
    assert_eq!((ran.end, ran.counts.confirmed), (End::Complete, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_or_not_answered_is_published_again() {
    let answer: Box<Answer> = Box::new(|body, before| match (body, before) {
        ("a1", 0..3) => Published::Refused("queue full".to_owned()),
        ("b2", 0) => Published::Unknown("connection lost".to_owned()),
        _ => Published::Confirmed,
    });
    let ran = run(feed("a\nb\nc\n"), CancellationToken::new(), answer).await;
    assert_eq!(ran.end, End::Complete);
    assert_eq!(ran.counts, Counts { confirmed: 3, repeated: 4, ..Counts::default() });
    assert!(ran.notes[0].starts_with("publishing "), "{:?}", ran.notes);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_nothing_ends_the_run_at_last() {
    let answer: Box<Answer> = Box::new(|_, _| Published::Refused("memory alarm".to_owned()));
    let ran = run(feed("a\n"), CancellationToken::new(), answer).await;
    let End::Failed(text) = ran.end else { panic!("{:?}", ran.end) };
    assert!(text.starts_with("the broker took nothing for 300 s: memory alarm"), "{text}");
    assert_eq!(ran.counts.unknown, 1);
}

#[tokio::test]
async fn unroutable_messages_are_counted_and_named() {
    let answer: Box<Answer> = Box::new(|body, _| match body {
        "b2" => Published::Unroutable,
        _ => Published::Confirmed,
    });
    let ran = run(feed("a\nb\n"), CancellationToken::new(), answer).await;
    assert_eq!(ran.counts, Counts { confirmed: 1, unroutable: 1, ..Counts::default() });
    assert_eq!(ran.notes, ["line 2: exchange 'x' routes 'k' to no queue"]);
}

#[tokio::test]
async fn a_missing_exchange_ends_the_run() {
    let answer: Box<Answer> = Box::new(|_, _| Published::NoTarget("no exchange 'x'".to_owned()));
    let ran = run(feed("a\n"), CancellationToken::new(), answer).await;
    let End::Failed(text) = ran.end else { panic!("{:?}", ran.end) };
    assert!(text.starts_with("no exchange 'x'"), "{text}");
}

#[tokio::test]
async fn a_bad_record_ends_the_run_after_those_before_it() {
    let bad = Feed { format: Format::Jsonl, ..feed("\"a\"\n{\n\"c\"\n") };
    let ran = run(bad_text(bad), CancellationToken::new(), confirmed()).await;
    let End::Failed(text) = ran.end else { panic!("{:?}", ran.end) };
    assert!(text.starts_with("line 2: not JSON"), "{text}");
    assert_eq!(ran.counts.confirmed, 1);
}

#[tokio::test]
async fn a_bad_record_is_left_out_where_that_is_wanted() {
    let bad = Feed { format: Format::Jsonl, skip_bad: true, ..feed("\"a\"\n{\n\"c\"\n") };
    let ran = run(bad_text(bad), CancellationToken::new(), confirmed()).await;
    assert_eq!(ran.end, End::Complete);
    assert_eq!(ran.counts, Counts { confirmed: 2, skipped: 1, ..Counts::default() });
    assert!(ran.notes[0].starts_with("skipped line 2: not JSON"), "{:?}", ran.notes);
}

fn bad_text(mut feed: Feed) -> Feed {
    feed.recipe.body = None;
    feed
}

#[tokio::test]
async fn a_run_that_is_stopped_says_what_was_confirmed() {
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let answer: Box<Answer> = Box::new(move |_, _| {
        stopper.cancel();
        Published::Confirmed
    });
    let ran = run(Feed { passes: u64::MAX, ..feed("a\n") }, stop, answer).await;
    assert_eq!(ran.end, End::Interrupted);
    assert_eq!(ran.counts.confirmed, ran.published.len() as u64);
}
