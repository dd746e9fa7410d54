//! Letters go back: to the queue where they failed, by way of the host's own exchange, or to a target
//! that somebody names.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Trouble;
use super::ledger::Fate;
use super::patch::Patch;
use super::work::{Deal, End, Found, publish};
use crate::broker::{Outgoing, Published, Publisher};
use crate::limits::{REPLAY_EXCHANGE, REPLAYS_MAX};
use crate::message::FieldValue;
use crate::pipeline::headers;

/// What a resolution says of a replay.
const REPLAYED: &str = "replayed";

/// How letters are replayed.
pub struct Replay {
    /// Where to.
    pub target: Target,
    /// What is mended on the way.
    pub patch: Option<Patch>,
    /// A letter that was replayed so often stays.
    pub max_replays: MaxReplays,
    /// Nothing is published or settled.
    pub dry: bool,
    /// What was, or would be, done with each: the first of them.
    pub rows: Vec<Row>,
    /// How many rows are kept.
    pub rows_max: usize,
}

/// How often a letter may be replayed.
#[derive(Clone, Debug, Default)]
pub struct MaxReplays {
    /// What somebody said for this run.
    pub said: Option<u32>,
    /// What the config says, by the queue where letters failed.
    pub by_queue: BTreeMap<String, u32>,
}

/// Where letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The queue where each failed, and no other.
    Origin,
    /// An exchange, with that routing key or each one's own.
    Exchange(String, Option<String>),
    /// A queue.
    Queue(String),
}

/// One letter of a dry run.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Row {
    /// The failure's id, or the letter's digest.
    pub id: String,
    /// The message's.
    pub message_id: Option<String>,
    /// Kind of cause.
    pub class: String,
    /// Reason.
    pub code: String,
    /// Where it would go; `None`: it would be left.
    pub target: Option<String>,
    /// Why it would be left.
    pub left: Option<String>,
    /// Which replay of it this would be.
    pub replay_count: u32,
    /// Its body as it would be sent, where it is mended.
    pub patched_body: Option<String>,
}

/// A copy ready to go.
struct Copy {
    outgoing: Outgoing,
    replay_count: u32,
    patched: bool,
}

impl MaxReplays {
    /// How often a letter of that queue may be replayed.
    #[must_use]
    pub fn of(&self, queue: &str) -> u32 {
        self.said.or_else(|| self.by_queue.get(queue).copied()).unwrap_or(REPLAYS_MAX)
    }
}

impl Replay {
    /// Of that target, with nothing mended.
    #[must_use]
    pub fn to(target: Target, max_replays: MaxReplays) -> Self {
        Self { target, patch: None, max_replays, dry: false, rows: Vec::new(), rows_max: 0 }
    }

    /// The message that goes back, as it is published.
    ///
    /// # Errors
    /// Why the letter stays.
    pub fn message(&self, found: &Found) -> Result<Outgoing, String> {
        self.copy(found).map(|copy| copy.outgoing)
    }

    fn copy(&self, found: &Found) -> Result<Copy, String> {
        let letter = &found.letter;
        let most = self.max_replays.of(letter.queue.as_deref().unwrap_or(&found.report.queue));
        if letter.replay_count >= most {
            return Err(format!("replayed {most} times already; --max-replays N allows more"));
        }
        let replay_count = letter.replay_count + 1;
        let mut body = letter.message.body.clone();
        if let Some(patch) = &self.patch {
            body = patch.apply(&letter.message)?;
        }
        let patched = body != letter.message.body;
        let (exchange, routing_key) = self.address(found)?;
        let mut properties = letter.message.properties.clone();
        let (expiration, user_id) = (properties.expiration.take(), properties.user_id.take());
        properties.delivery_mode = Some(2);
        let marks = &mut properties.headers;
        if self.target == Target::Origin {
            marks.set(headers::EXCHANGE, letter.message.exchange.as_str());
            marks.set(headers::ROUTING_KEY, letter.message.routing_key.as_str());
            for (name, value) in [(headers::EXPIRATION, expiration), (headers::USER_ID, user_id)] {
                if let Some(value) = value {
                    marks.set(name, value);
                }
            }
            if !letter.brokers.is_empty() {
                marks.set(headers::BROKERS, FieldValue::Table(letter.brokers.clone()));
            }
        }
        let of = if found.report.id.is_empty() { &letter.digest } else { &found.report.id };
        if !of.is_empty() {
            marks.set(headers::REPLAY_OF, of.as_str());
        }
        marks.set(headers::REPLAY_COUNT, i64::from(replay_count));
        if patched {
            marks.set(headers::REPLAY_PATCHED, true);
        }
        let outgoing = Outgoing { exchange, routing_key, properties, body };
        Ok(Copy { outgoing, replay_count, patched })
    }

    fn address(&self, found: &Found) -> Result<(String, String), String> {
        match &self.target {
            Target::Origin => {
                let told = (!found.report.queue.is_empty()).then_some(&found.report.queue);
                let queue = found.letter.queue.as_ref().or(told).ok_or_else(|| {
                    "nothing tells which queue it came from; name a target with --to-queue"
                        .to_owned()
                })?;
                Ok((REPLAY_EXCHANGE.to_owned(), queue.clone()))
            }
            Target::Exchange(exchange, key) => {
                let key = key.as_ref().unwrap_or(&found.letter.message.routing_key);
                Ok((exchange.clone(), key.clone()))
            }
            Target::Queue(queue) => Ok((String::new(), queue.clone())),
        }
    }

    /// Why a copy that the broker didn't take stays.
    fn refused(&self, outgoing: &Outgoing, end: &Published) -> String {
        let (exchange, key) = (&outgoing.exchange, &outgoing.routing_key);
        match (end, &self.target) {
            (Published::Unroutable | Published::NoTarget(_), Target::Origin) => format!(
                "exchange '{exchange}' doesn't lead to queue '{key}': a host that consumes it binds it \
                 when it starts; or name a target with --to-queue"
            ),
            (Published::Unroutable, _) => {
                format!("no queue takes messages of exchange '{exchange}' with key '{key}'")
            }
            (Published::NoTarget(text) | Published::Impossible(text), _) => text.clone(),
            (Published::Refused(text), _) => format!("the broker refused it: {text}"),
            (Published::Unknown(text), _) => format!(
                "it isn't known whether it arrived: {text}; replayed again it has the same identity"
            ),
            (Published::Confirmed, _) => String::new(),
        }
    }

    fn note(&mut self, found: &Found, copy: &Result<Copy, String>) {
        if self.rows.len() >= self.rows_max {
            return;
        }
        let report = &found.report;
        let sent = copy.as_ref().ok();
        let patched = sent.filter(|copy| copy.patched);
        self.rows.push(Row {
            id: if report.id.is_empty() { found.letter.digest.clone() } else { report.id.clone() },
            message_id: report.message_id.clone(),
            class: report.class.clone(),
            code: report.code.clone(),
            target: sent.map(|copy| words(&copy.outgoing)),
            left: copy.as_ref().err().cloned(),
            replay_count: found.letter.replay_count + 1,
            patched_body: patched
                .map(|copy| String::from_utf8_lossy(&copy.outgoing.body).into_owned()),
        });
    }
}

/// Whether this very letter was replayed before, its copy confirmed, and came back because its
/// acknowledgement was lost: all that is left is to take it out. Without an id two messages may be one
/// another's like, and nothing is taken for the other.
fn was_sent(found: &Found) -> bool {
    let sent =
        |fate: &Fate| fate.what == REPLAYED && fate.replay_count == found.letter.replay_count + 1;
    found.letter.message.properties.message_id.is_some() && found.fate.as_ref().is_some_and(sent)
}

/// An address for people.
fn words(outgoing: &Outgoing) -> String {
    match outgoing.exchange.as_str() {
        "" | REPLAY_EXCHANGE => format!("queue {}", outgoing.routing_key),
        exchange => format!("exchange {exchange}, key {}", outgoing.routing_key),
    }
}

#[async_trait]
impl Deal for Replay {
    fn what(&self) -> &'static str {
        REPLAYED
    }

    fn target(&self) -> Option<String> {
        Some(match &self.target {
            Target::Origin => "the queue where it failed".to_owned(),
            Target::Exchange(exchange, None) => format!("exchange {exchange}"),
            Target::Exchange(exchange, Some(key)) => format!("exchange {exchange}, key {key}"),
            Target::Queue(queue) => format!("queue {queue}"),
        })
    }

    async fn deal(
        &mut self,
        group: &[Found],
        publisher: &mut dyn Publisher,
    ) -> Result<Vec<End>, Trouble> {
        let copies: Vec<Result<Copy, String>> =
            group.iter().map(|found| self.copy(found)).collect();
        for (found, copy) in group.iter().zip(&copies) {
            self.note(found, copy);
        }
        let unsent = group.iter().zip(&copies).filter(|(found, _)| !was_sent(found));
        let ready: Vec<Outgoing> =
            unsent.filter_map(|(_, copy)| Some(copy.as_ref().ok()?.outgoing.clone())).collect();
        let mut outcomes = if self.dry || ready.is_empty() {
            Vec::new()
        } else {
            publish(publisher, &ready).await
        }
        .into_iter();
        let ends = group.iter().zip(copies).map(|(found, copy)| match copy {
            Ok(_) if self.dry => End::Kept,
            Ok(Copy { replay_count, patched, .. }) if was_sent(found) => {
                End::Gone { replay_count, patched }
            }
            Err(why) => End::Left(why),
            Ok(Copy { outgoing, replay_count, patched }) => match outcomes.next() {
                Some(Published::Confirmed) => End::Gone { replay_count, patched },
                Some(refused) => End::Left(self.refused(&outgoing, &refused)),
                None => End::Left("the broker said nothing of it".to_owned()),
            },
        });
        Ok(ends.collect())
    }
}
