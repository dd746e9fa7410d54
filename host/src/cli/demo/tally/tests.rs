#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::{Alert, Sink, Tally};
use crate::limits;
use crate::message::{Message, Properties};
use crate::simulate::{Bad, Fault, Fleet, Plant, Sent, Simulated};

fn send(tally: &mut Tally, id: &str, planted: Plant) {
    let mut simulated = Fleet::new(1, 1).next_message();
    simulated.message.properties.message_id = Some(id.to_owned());
    let simulated = Simulated { planted: Some(planted), ..simulated };
    tally.sending(&simulated, Sent::default());
}

fn from(id: &str, body: &'static str) -> Message {
    let properties = Properties { correlation_id: Some(id.to_owned()), ..Properties::default() };
    Message { properties, body: body.into(), ..Message::default() }
}

const CONSUMPTION: &str = r#"{"meter":"m-0001","ts":"2016-01-02T07:15:00Z","class":"consumption",
    "severity":"major","seen":3.456,"expected":0.3,"score":40.0}"#;
const OUTAGE: &str =
    r#"{"meter":"m-0002","ts":null,"event":"power_loss","class":"outage","severity":"critical"}"#;

#[test]
fn each_planted_thing_is_found_once_and_what_nobody_planted_is_counted_apart() {
    let mut tally = Tally::default();
    send(&mut tally, "spike", Plant::Spike);
    send(&mut tally, "fault", Plant::Fault(Fault::Tamper));
    send(&mut tally, "bad", Plant::Bad(Bad::Cut));
    for id in ["spike", "spike", "never"] {
        tally.found(Sink::Alerts, &from(id, CONSUMPTION));
    }
    for id in ["fault", "never"] {
        tally.found(Sink::Faults, &from(id, "{}"));
    }
    for id in ["bad", "never"] {
        tally.found(Sink::Dead, &from(id, ""));
    }
    let found = &tally.figures;
    assert_eq!((found.spikes_found, found.false_alarms), (1, 2));
    assert_eq!(found.faults_found, 1);
    assert_eq!((found.bad_found, found.good_rejected), (1, 1));
    assert_eq!(found.collected[&Sink::Alerts], 3);
}

#[test]
fn alerts_are_shown_in_words_the_newest_first() {
    let mut tally = Tally::default();
    tally.found(Sink::Alerts, &from("a", CONSUMPTION));
    tally.found(Sink::Alerts, &from("b", OUTAGE));
    tally.found(Sink::Alerts, &from("c", "not an alert"));
    let alert =
        |severity: &str, text: &str| Alert { severity: severity.to_owned(), text: text.to_owned() };
    assert_eq!(
        tally.figures.alerts,
        [
            alert("critical", "  m-0002  power loss"),
            alert("major", "2016-01-02 07:15:00  m-0001  3.46 kWh, expected 0.30"),
        ]
    );
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut tally = Tally::default();
    for n in 0..=limits::DEMO_PLANTED_MAX {
        send(&mut tally, &n.to_string(), Plant::Spike);
    }
    assert_eq!(tally.planted.len(), limits::DEMO_PLANTED_MAX);
    for _ in 0..100 {
        tally.found(Sink::Alerts, &from("a", CONSUMPTION));
    }
    assert_eq!(tally.figures.alerts.len(), limits::DEMO_ALERTS_SHOWN);
}
