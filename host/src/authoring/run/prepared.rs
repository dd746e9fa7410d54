//! Messages and timers of a case, as a batch refers to them.

use super::within;
use crate::authoring::case::{self, Call, CaseError, DueTimer};
use crate::message::Properties;
use crate::plugin::Input;

/// A message or timer of a case, ready to be referred to by a batch.
pub(super) struct Prepared<'c> {
    pub(super) exchange: &'c str,
    pub(super) routing_key: &'c str,
    pub(super) key: Option<&'c str>,
    pub(super) properties: Properties,
    pub(super) body: Vec<u8>,
    pub(super) attempt: u32,
    pub(super) seed: [u8; 16],
    pub(super) row: Option<Vec<u8>>,
    pub(super) due_us: Option<u64>,
}

/// The timers of a call, which are due in it.
pub(super) fn timers<'c>(
    call: &'c Call,
    now_us: u64,
    number: &mut u64,
) -> Result<Vec<Prepared<'c>>, CaseError> {
    let mut timers: Vec<Prepared<'c>> = Vec::with_capacity(call.timers.len());
    for (at, timer) in call.timers.iter().enumerate() {
        let place = |error| within(&format!("timer {}", at + 1), &error);
        if timers.iter().any(|before| before.key == Some(&timer.key)) {
            let why = "a call has at most one due timer of a key; write another call".to_owned();
            return Err(place(CaseError(why)));
        }
        if timer.after.is_some() {
            let why = "`after` is for a call with `pass` or `down`; here it is due".to_owned();
            return Err(place(CaseError(why)));
        }
        let late = timer.late.as_ref().map(|late| case::time("late", late)).transpose();
        let late = late.map_err(place)?.unwrap_or_default();
        let late = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        timers.push(due(timer, now_us.saturating_sub(late), number).map_err(place)?);
    }
    Ok(timers)
}

/// A timer of a case that is due then.
pub(super) fn due<'c>(
    timer: &'c DueTimer,
    due_us: u64,
    number: &mut u64,
) -> Result<Prepared<'c>, CaseError> {
    *number += 1;
    let headers = case::table(&timer.headers)?;
    Ok(Prepared {
        exchange: "",
        routing_key: &timer.name,
        key: Some(&timer.key),
        properties: Properties { headers, ..Properties::default() },
        body: Vec::new(),
        attempt: timer.attempt,
        seed: case::seed(timer.seed.as_deref(), *number)?,
        row: case::row(&timer.row)?,
        due_us: Some(due_us.max(1)),
    })
}

/// The messages of a call.
pub(super) fn messages<'c>(
    call: &'c Call,
    number: &mut u64,
) -> Result<Vec<Prepared<'c>>, CaseError> {
    let mut messages = Vec::with_capacity(call.messages.len());
    for (at, message) in call.messages.iter().enumerate() {
        let place = |error| within(&format!("message {}", at + 1), &error);
        *number += 1;
        let body = message.body.as_ref().map(|body| body.bytes()).transpose().map_err(place)?;
        messages.push(Prepared {
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            key: message.key.as_deref(),
            properties: message.properties().map_err(place)?,
            body: body.unwrap_or_default(),
            attempt: message.attempt,
            seed: case::seed(message.seed.as_deref(), *number).map_err(place)?,
            row: case::row(&message.row).map_err(place)?,
            due_us: None,
        });
    }
    Ok(messages)
}

impl Prepared<'_> {
    pub(super) fn input(&self, keys: &[&str]) -> Input<'_> {
        let slot = self.key.and_then(|key| keys.binary_search(&key).ok());
        Input {
            exchange: self.exchange,
            routing_key: self.routing_key,
            key: self.key,
            properties: &self.properties,
            body: &self.body,
            attempt: self.attempt,
            seed: self.seed,
            row: self.row.as_deref(),
            due_us: self.due_us,
            slot: slot.and_then(|slot| u32::try_from(slot).ok()),
        }
    }
}
