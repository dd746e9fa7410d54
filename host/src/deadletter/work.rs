//! One pass over the letters of some queues, which replay, purge, export and their dry runs share.
//!
//! Each queue is read once, up to its length at the start. A letter that isn't meant is held and released
//! at the end. Those that are meant are dealt with in groups: whoever deals says of each whether it may
//! go. What may go is told as a resolution and acknowledged, in this order: a crash in between leaves a
//! letter that was dealt with, never one that wasn't and is gone.

mod progress;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

pub use self::progress::{Progress, Summary};
use super::browse::{Browse, Hold};
use super::filter::Filter;
use super::ledger::{Fate, Ledger};
use super::letter::Letter;
use super::places::Place;
use super::{Trouble, now_s};
use crate::broker::{Broker, Outgoing, Published, Publisher};
use crate::limits::{BACKOFF_MIN, DLQ_GROUP, DLQ_GROUP_BYTES, DLQ_PUBLISH_TRIES};
use crate::message::{Message, Properties};
use crate::pipeline::headers;
use crate::report::{RESOLVED_KIND, Report, Resolution, ResolvedLetter};

/// A letter with what is known of its failure.
#[derive(Clone, Debug)]
pub struct Found {
    /// The letter.
    pub letter: Letter,
    /// Its report, or what its headers tell in a report's words.
    pub report: Report,
    /// Whether there is a report of it.
    pub reported: bool,
    /// What somebody did about it before.
    pub fate: Option<Fate>,
    /// The dead-letter queue that it is in.
    pub place: String,
}

/// What becomes of a letter that was meant.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// It is dealt with and may go.
    Gone {
        /// How often it was replayed with this.
        replay_count: u32,
        /// Its body was mended.
        patched: bool,
    },
    /// It stays where it is, which is all that was wanted.
    Kept,
    /// It stays where it is, for this reason.
    Left(String),
}

/// Somebody who deals with letters.
#[async_trait]
pub trait Deal: Send {
    /// What it does, as a resolution says it: `replayed`.
    fn what(&self) -> &'static str;

    /// Where letters go, in words.
    fn target(&self) -> Option<String> {
        None
    }

    /// Deals with a group: one end for each, in order.
    ///
    /// # Errors
    /// When nothing further can be done; the group stays where it is.
    async fn deal(
        &mut self,
        group: &[Found],
        publisher: &mut dyn Publisher,
    ) -> Result<Vec<End>, Trouble>;
}

/// What is worked on, and how.
pub struct Pass {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The exchange that hears what became of letters.
    pub failures: String,
    /// The queues, in order.
    pub places: Vec<Place>,
    /// Which letters are meant.
    pub filter: Filter,
    /// So many letters at most.
    pub limit: Option<u64>,
    /// So many letters a second at most.
    pub rate_per_s: Option<f64>,
    /// Who does it: `USER@HOST`.
    pub by: String,
    /// Tells this run from others.
    pub run: String,
    /// Ends it after the group in hand.
    pub stop: CancellationToken,
    /// How far it has come.
    pub progress: Arc<Progress>,
}

/// A group on its way.
#[derive(Default)]
struct Group {
    found: Vec<Found>,
    holds: Vec<Kept>,
    bytes: usize,
}

/// The right to settle a letter, and the message as it was delivered where it must be renewed if it stays.
struct Kept {
    hold: Hold,
    raw: Option<Message>,
}

struct Run<'p> {
    pass: &'p Pass,
    ledger: &'p Ledger,
    deal: &'p mut dyn Deal,
    publisher: Box<dyn Publisher>,
    used: HashSet<usize>,
    summary: Summary,
    started: Instant,
}

// === impl Pass ===

impl Pass {
    /// Goes through all queues.
    ///
    /// # Errors
    /// When a queue can't be read, or whoever deals gave up. What was dealt with by then is.
    pub async fn run(&self, ledger: &Ledger, deal: &mut dyn Deal) -> Result<Summary, Trouble> {
        let mut total = 0;
        for place in &self.places {
            total += u64::from(self.broker.depth(&place.queue).await?.messages);
        }
        self.progress.total.store(total, Ordering::Relaxed);
        let mut run = Run {
            pass: self,
            ledger,
            deal,
            publisher: self.broker.publisher().await?,
            used: HashSet::new(),
            summary: Summary::default(),
            started: Instant::now(),
        };
        for place in &self.places {
            if run.is_over() {
                break;
            }
            let browse = Browse::open(&self.broker, &place.queue).await?;
            let mut browse = browse.counting(place.deliveries.is_some());
            let mut group = Group::default();
            let mut end = run.read(place, &mut browse, &mut group).await;
            if end.is_ok() {
                end = run.settle(place, &mut browse, &mut group).await;
            }
            for (found, kept) in group.found.iter().zip(group.holds) {
                run.leave(place, &mut browse, found, kept).await;
            }
            let closed = browse.close().await;
            end.and(closed)?;
        }
        run.summary.interrupted = self.stop.is_cancelled();
        Ok(run.summary)
    }

    fn group_letters(&self) -> usize {
        match self.rate_per_s {
            // Several a second, so that a low rate is an even one.
            #[expect(clippy::cast_possible_truncation, reason = "bounded by the line below")]
            #[expect(clippy::cast_sign_loss, reason = "a rate is above 0")]
            Some(rate) => ((rate / 5.0) as usize).clamp(1, DLQ_GROUP),
            None => DLQ_GROUP,
        }
    }
}

// === impl Run ===

impl Run<'_> {
    fn is_over(&self) -> bool {
        let enough = self.pass.limit.is_some_and(|limit| self.summary.matched >= limit);
        enough || self.pass.stop.is_cancelled()
    }

    async fn read(
        &mut self,
        place: &Place,
        browse: &mut Browse,
        group: &mut Group,
    ) -> Result<(), Trouble> {
        let most = self.pass.group_letters();
        while !self.is_over() {
            let taken = tokio::select! {
                taken = browse.next() => taken?,
                () = self.pass.stop.cancelled() => None,
            };
            let Some(taken) = taken else { break };
            self.summary.seen += 1;
            self.pass.progress.seen.fetch_add(1, Ordering::Relaxed);
            let (message, deliveries, hold) = taken.split();
            // A copy renews a letter that a further delivery or two would use up.
            let near = place.deliveries.zip(deliveries).is_some_and(|(most, had)| had + 2 > most);
            let raw = near.then(|| message.clone());
            let found = self.find(place, message);
            let kept = Kept { hold, raw };
            if self.pass.filter.matches(&found.report) {
                self.summary.matched += 1;
                group.bytes += found.letter.message.body.len();
                group.found.push(found);
                group.holds.push(kept);
                if group.found.len() >= most || group.bytes >= DLQ_GROUP_BYTES {
                    self.settle(place, browse, group).await?;
                }
            } else {
                self.leave(place, browse, &found, kept).await;
            }
        }
        Ok(())
    }

    fn find(&mut self, place: &Place, message: Message) -> Found {
        let letter = Letter::read(message);
        let number = self.ledger.report_of(&letter, &mut self.used);
        let report = number.and_then(|number| self.ledger.entry(number));
        let reported = report.is_some();
        self.summary.unreported += u64::from(!reported);
        let fate = report.and_then(|entry| entry.resolution.clone());
        let report = report.map_or_else(|| letter.stand_in(), |entry| entry.report.clone());
        Found { letter, report, reported, fate, place: place.queue.clone() }
    }

    /// Has a group dealt with, tells what became of it, acknowledges what may go.
    async fn settle(
        &mut self,
        place: &Place,
        browse: &mut Browse,
        group: &mut Group,
    ) -> Result<(), Trouble> {
        if group.found.is_empty() {
            return Ok(());
        }
        let ends = self.deal.deal(&group.found, &mut *self.publisher).await?;
        let mut gone = Vec::new();
        for (found, end) in group.found.iter().zip(&ends) {
            match end {
                End::Gone { replay_count, patched } => gone.push(ResolvedLetter {
                    report: found.reported.then(|| found.report.id.clone()),
                    letter: found.letter.digest.clone(),
                    message_id: found.letter.message.properties.message_id.clone(),
                    replay_count: *replay_count,
                    patched: *patched,
                }),
                End::Kept => {}
                End::Left(why) => {
                    *self.summary.left.entry(why.clone()).or_default() += 1;
                    self.pass.progress.left.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.tell(gone).await;
        let Group { found, holds, .. } = std::mem::take(group);
        let ends = ends.into_iter().chain(std::iter::repeat(End::Kept));
        for ((found, kept), end) in found.iter().zip(holds).zip(ends) {
            if !matches!(end, End::Left(_)) {
                self.summary.done += 1;
                self.pass.progress.done.fetch_add(1, Ordering::Relaxed);
            }
            match end {
                End::Gone { .. } => browse.ack(kept.hold),
                End::Kept | End::Left(_) => self.leave(place, browse, found, kept).await,
            }
        }
        self.pace().await;
        Ok(())
    }

    /// Tells what became of letters. Their safety doesn't depend on it.
    async fn tell(&mut self, letters: Vec<ResolvedLetter>) {
        if letters.is_empty() {
            return;
        }
        let count = letters.len() as u64;
        let resolution = Resolution {
            kind: RESOLVED_KIND.to_owned(),
            what: self.deal.what().to_owned(),
            run: self.pass.run.clone(),
            at: now_s(),
            by: self.pass.by.clone(),
            target: self.deal.target(),
            letters,
        };
        let body = serde_json::to_vec(&resolution).unwrap_or_default();
        let properties = Properties {
            content_type: Some("application/json".to_owned()),
            delivery_mode: Some(2),
            message_id: Some(format!("{}-{}", self.pass.run, self.summary.done)),
            timestamp: Some(resolution.at),
            kind: Some(RESOLVED_KIND.to_owned()),
            ..Properties::default()
        };
        let outgoing = Outgoing {
            exchange: self.pass.failures.clone(),
            routing_key: RESOLVED_KIND.to_owned(),
            properties,
            body: body.into(),
        };
        let told = self.publisher.publish(&[outgoing]).await;
        if told.first() != Some(&Published::Confirmed) {
            self.summary.untold += count;
        }
    }

    /// Waits until the rate allows the next group.
    async fn pace(&self) {
        let Some(rate) = self.pass.rate_per_s else { return };
        let due = self.started + Duration::from_secs_f64(self.summary.done as f64 / rate);
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.pass.stop.cancelled() => {}
        }
    }

    /// Leaves a letter in its queue. One whose deliveries are nearly used up is put behind the others, as
    /// a confirmed copy whose deliveries are counted anew.
    async fn leave(&mut self, place: &Place, browse: &mut Browse, found: &Found, kept: Kept) {
        let Kept { hold, raw: Some(raw) } = kept else { return browse.hold(kept.hold) };
        let mut properties = raw.properties;
        properties.expiration = None;
        properties.user_id = None;
        properties.delivery_mode = Some(2);
        let told = &mut properties.headers;
        told.remove("x-delivery-count");
        let original = &found.letter.message;
        if let Some(queue) = &found.letter.queue {
            told.set(headers::QUEUE, queue.as_str());
        }
        told.set(headers::EXCHANGE, original.exchange.as_str());
        told.set(headers::ROUTING_KEY, original.routing_key.as_str());
        if !found.report.id.is_empty() {
            told.set(headers::FAILURE_ID, found.report.id.as_str());
        }
        let copy = Outgoing {
            exchange: String::new(),
            routing_key: place.queue.clone(),
            properties,
            body: raw.body,
        };
        if self.publisher.publish(&[copy]).await.first() == Some(&Published::Confirmed) {
            self.summary.renewed += 1;
            browse.ack(hold);
        } else {
            browse.hold(hold);
        }
    }
}

/// Publishes a group and repeats what was refused for now: the same bytes with the same ids.
pub async fn publish(publisher: &mut dyn Publisher, group: &[Outgoing]) -> Vec<Published> {
    let mut outcomes = publisher.publish(group).await;
    let mut pause = BACKOFF_MIN;
    for _ in 1..DLQ_PUBLISH_TRIES {
        let passing =
            |end: &Published| matches!(end, Published::Refused(_) | Published::Unknown(_));
        let again: Vec<usize> = (0..outcomes.len()).filter(|&at| passing(&outcomes[at])).collect();
        if again.is_empty() {
            break;
        }
        sleep(pause).await;
        pause *= 2;
        let repeated: Vec<Outgoing> = again.iter().map(|&at| group[at].clone()).collect();
        for (at, outcome) in again.into_iter().zip(publisher.publish(&repeated).await) {
            outcomes[at] = outcome;
        }
    }
    outcomes
}
