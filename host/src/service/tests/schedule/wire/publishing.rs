//! Publishes that are refused, lost, or confirmed unheard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::super::book::{Book, Line};
use super::{Faults, id_of};
use crate::broker::{Outgoing, Published, Publisher};
use crate::message::FieldValue;
use crate::pipeline::headers::ATTEMPT;

/// Publishes late, not at all, or unheard.
pub(super) struct WirePublisher {
    pub(super) inner: Box<dyn Publisher>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Publisher for WirePublisher {
    async fn publish(&mut self, group: &[Outgoing]) -> Vec<Published> {
        let faults = Arc::clone(&self.faults);
        let breaks = faults.breaks.load(Ordering::Relaxed);
        faults.latency().await;
        let mut outcomes = Vec::new();
        for message in group {
            let broken = faults.breaks.load(Ordering::Relaxed) != breaks;
            let lost = broken || faults.lose.load(Ordering::Relaxed) && faults.chance(2);
            let outcome = if broken && faults.chance(2) {
                Published::Unknown("the connection broke on the way".to_owned())
            } else if faults.refuse.load(Ordering::Relaxed) && faults.chance(2) {
                Published::Refused("full".to_owned())
            } else {
                let outcome = self.inner.publish(std::slice::from_ref(message)).await.remove(0);
                match (outcome, lost) {
                    (Published::Confirmed, true) => {
                        arrived_unknown(&faults.book, message);
                        Published::Unknown("the confirm was lost".to_owned())
                    }
                    (outcome, _) => outcome,
                }
            };
            outcomes.push(outcome);
        }
        faults.latency().await;
        for (message, outcome) in group.iter().zip(&mut outcomes) {
            if *outcome == Published::Confirmed && faults.breaks.load(Ordering::Relaxed) != breaks {
                arrived_unknown(&faults.book, message);
                *outcome = Published::Unknown("the connection broke on the way back".to_owned());
            }
            note(&faults.book, message, outcome);
        }
        outcomes
    }
}

fn arrived_unknown(book: &Book, message: &Outgoing) {
    let mut facts = book.facts();
    if message.properties.headers.get(ATTEMPT).is_some()
        && let Some(id) = id_of(&message.body)
    {
        *facts.unknown_copies.entry(id).or_default() += 1;
    } else if let Some(id) = &message.properties.message_id {
        *facts.unknown.entry(id.clone()).or_default() += 1;
    }
}

/// What the host was told.
fn note(book: &Book, message: &Outgoing, outcome: &Published) {
    let Outgoing { exchange, routing_key, properties, body } = message;
    let what = if body.starts_with(b"{") { "a report" } else { std::str::from_utf8(body).unwrap() };
    let attempt = properties.headers.get(ATTEMPT).and_then(FieldValue::as_i64);
    book.trace(&format!("'{exchange}' '{routing_key}' {what} {attempt:?}: {outcome:?}"));
    if *outcome != Published::Confirmed {
        return;
    }
    let mut facts = book.facts();
    if let Some(line) = Line::parse(body) {
        facts.confirmed.insert((exchange.clone(), line.id, line.stage, line.index));
    } else if let (Some(attempt), Some(id)) = (attempt, id_of(body)) {
        if exchange == "dead" {
            facts.letters.insert(id);
        } else {
            let copy = facts.copies.entry(id).or_default();
            *copy = (*copy).max(u32::try_from(attempt).unwrap_or(0));
        }
    }
}
