#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::broker::{ConsumeRequest, Consumer, Declaration, Declared, Depth, LinkState, Server};
use crate::limits::{BREAKER_PATIENCE, PROBE_HOLD};
use crate::message::Properties;
use crate::telemetry::Telemetry;

type Group = Vec<String>;

/// A broker that answers as it was told, group by group, and then confirms everything.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Published>>,
    groups: Mutex<Vec<Group>>,
    /// Put right while each group is under way.
    ready: Option<watch::Sender<Result<(), String>>>,
}

struct Script(Arc<Scripted>);

fn unused<T>() -> Result<T, BrokerError> {
    Err(BrokerError::Unsupported("only publishing".to_owned()))
}

#[async_trait]
impl Broker for Script {
    async fn server(&self) -> Result<Server, BrokerError> {
        unused()
    }

    async fn declare(&self, _: &Declaration) -> Result<Declared, BrokerError> {
        unused()
    }

    async fn exists(&self, _: &Declaration) -> Result<bool, BrokerError> {
        unused()
    }

    async fn depth(&self, _: &str) -> Result<Depth, BrokerError> {
        unused()
    }

    async fn consume(&self, _: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError> {
        unused()
    }

    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError> {
        Ok(Box::new(Script(Arc::clone(&self.0))))
    }

    fn link(&self) -> LinkState {
        LinkState::default()
    }

    async fn close(&self) {}
}

#[async_trait]
impl Publisher for Script {
    async fn publish(&mut self, group: &[Outgoing]) -> Vec<Published> {
        let keys = group.iter().map(|message| message.routing_key.clone()).collect();
        self.0.groups.lock().unwrap().push(keys);
        if let Some(ready) = &self.0.ready {
            drop(ready.send_replace(Err("looking".to_owned())));
            drop(ready.send_replace(Ok(())));
        }
        let answer = self.0.answers.lock().unwrap().pop_front().unwrap_or(Published::Confirmed);
        vec![answer; group.len()]
    }
}

/// A publisher whose broker gives these answers, one a group; what it saw; who hears doubts.
fn publishing(
    answers: Vec<Published>,
) -> (Publishing, Arc<Scripted>, mpsc::Receiver<()>, CancellationToken) {
    let scripted =
        Arc::new(Scripted { answers: Mutex::new(answers.into()), ..Scripted::default() });
    let (doubt, doubts) = mpsc::channel(1);
    let target = Target { broker: Arc::new(Script(Arc::clone(&scripted))), doubt, ready: None };
    let abandon = CancellationToken::new();
    let metrics = Telemetry::new().pipeline("p");
    (
        Publishing::new(Arc::new([target]), metrics, Arc::default(), abandon.clone()),
        scripted,
        doubts,
        abandon,
    )
}

fn planned(key: &str, role: Role) -> Planned {
    let message = Outgoing {
        exchange: "x".to_owned(),
        routing_key: key.to_owned(),
        properties: Properties::default(),
        body: key.to_owned().into(),
    };
    Planned { broker: 0, message, role }
}

fn output(key: &str, unroutable: Unroutable) -> Planned {
    planned(key, Role::Output { name: "out".to_owned(), unroutable })
}

fn unknown() -> Published {
    Published::Unknown("lost".to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_or_unknown_is_sent_again_until_it_is_safe() {
    let refused = Published::Refused("full".to_owned());
    let (mut publishing, seen, _doubts, _) = publishing(vec![unknown(), refused]);
    let items = [output("a", Unroutable::Fail), planned("b", Role::Copy)];
    assert_eq!(publishing.publish(&items).await, [Fate::Safe, Fate::Safe]);
    assert_eq!(*seen.groups.lock().unwrap(), [["a", "b"]; 3]);
}

#[tokio::test(start_paused = true)]
async fn what_follows_never_overtakes_what_is_sent_again() {
    let (mut publishing, seen, _doubts, _) = publishing(vec![unknown()]);
    let items: Vec<Planned> =
        (0..=PUBLISH_GROUP_MESSAGES).map(|n| output(&n.to_string(), Unroutable::Fail)).collect();
    let fates = publishing.publish(&items).await;
    assert!(fates.iter().all(|fate| *fate == Fate::Safe));
    let sizes: Vec<usize> = seen.groups.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [PUBLISH_GROUP_MESSAGES, PUBLISH_GROUP_MESSAGES, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_report_gets_one_try_and_what_it_is_about_goes_on() {
    let (mut publishing, seen, _doubts, _) = publishing(vec![unknown()]);
    let items = [output("a", Unroutable::Fail), planned("told", Role::Report)];
    assert_eq!(publishing.publish(&items).await, [Fate::Safe, Fate::Untold]);
    assert_eq!(*seen.groups.lock().unwrap(), [["told"], ["a"]]);
}

#[tokio::test(start_paused = true)]
async fn an_unroutable_output_is_as_its_config_says() {
    let (mut allowed, ..) = publishing(vec![Published::Unroutable]);
    assert_eq!(allowed.publish(&[output("a", Unroutable::Drop)]).await, [Fate::Safe]);
    let (mut refused, ..) = publishing(vec![Published::Unroutable]);
    let fates = refused.publish(&[output("a", Unroutable::Fail)]).await;
    let [Fate::Impossible(failure)] = &fates[..] else { panic!("{fates:?}") };
    assert_eq!((failure.class, &*failure.code), (FailureClass::Publish, "unroutable"));
}

#[tokio::test(start_paused = true)]
async fn a_missing_target_is_doubted_and_waited_for() {
    for missing in [Published::NoTarget("no exchange".to_owned()), Published::Unroutable] {
        let (mut publishing, seen, mut doubts, _) = publishing(vec![missing]);
        assert_eq!(publishing.publish(&[planned("a", Role::Copy)]).await, [Fate::Safe]);
        assert_eq!(seen.groups.lock().unwrap().len(), 2);
        assert!(doubts.try_recv().is_ok(), "somebody has a look");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_after_it_was_given_up() {
    let (mut publishing, seen, _doubts, abandon) = publishing(Vec::new());
    abandon.cancel();
    let fates = publishing.publish(&[output("a", Unroutable::Fail)]).await;
    assert_eq!(fates, [Fate::Abandoned]);
    assert!(seen.groups.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_unroutable_while_its_broker_was_put_right_is_published_again() {
    let (sender, ready) = watch::channel(Ok(()));
    let answers = Mutex::new([Published::Unroutable].into());
    let scripted = Scripted { answers, ready: Some(sender), ..Scripted::default() };
    let broker = Arc::new(Script(Arc::new(scripted)));
    let target = Target { broker, doubt: mpsc::channel(1).0, ready: Some(ready) };
    let metrics = Telemetry::new().pipeline("p");
    let mut publishing =
        Publishing::new(Arc::new([target]), metrics, Arc::default(), CancellationToken::new());
    let fates = publishing.publish(&[output("a", Unroutable::Fail)]).await;
    assert_eq!(fates, [Fate::Safe], "it was ready before, and after, but not all the time");
}

#[tokio::test(start_paused = true)]
async fn trouble_that_lasts_trips_the_breaker_and_an_open_one_has_the_group_given_up() {
    let (mut publishing, ..) = publishing(vec![unknown(); 10_000]);
    let breaker = Arc::clone(&publishing.breaker);
    let group = [output("a", Unroutable::Fail)];
    // The first time a little patience, then, with one message in hand, a lot.
    for patience in [BREAKER_PATIENCE, PROBE_HOLD] {
        let started = Instant::now();
        let intake = async {
            let why = breaker.tripped().await;
            assert!(started.elapsed() >= patience, "{:?}", started.elapsed());
            assert!(started.elapsed() < patience + 2 * crate::limits::BACKOFF_MAX);
            breaker.open(&why);
        };
        let both = async { tokio::join!(publishing.publish(&group), intake) };
        let (fates, ()) = timeout(2 * PROBE_HOLD, both).await.expect("it trips");
        assert_eq!(fates, [Fate::Abandoned]);
        breaker.probe();
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_passes_closes_the_breaker() {
    let (mut publishing, ..) = publishing(vec![unknown(), unknown()]);
    let breaker = Arc::clone(&publishing.breaker);
    breaker.open("full");
    breaker.probe();
    let fates = publishing.publish(&[output("a", Unroutable::Fail)]).await;
    assert_eq!((fates, breaker.phase()), (vec![Fate::Safe], Phase::Closed));
}
