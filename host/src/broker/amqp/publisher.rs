//! Publishes groups on a channel in confirm mode and judges each message once all is known.
//!
//! A round ([`super::round`]) writes every message that is still open, waits for every confirm, and
//! only then looks at the returns. RabbitMQ closes the channel for some messages: what can be known
//! before is sorted out by [`super::vet`], the broker's reply names an exchange that is missing or
//! forbidden, and where it names nothing the rest is tried one by one. The others of the group are
//! published again, so they may arrive twice, with the same ids.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use tokio::time::{Instant, timeout};

use super::declare::answered;
use super::errors;
use super::link::Link;
use super::round::{End, Round};
use super::vet::vet;
use crate::broker::{BrokerError, Outgoing, Published, Publisher};
use crate::limits::{BROKER_ANSWER, CONFIRM_TIMEOUT, PUBLISH_ROUNDS};

/// Publishes on one channel at a time.
pub(super) struct AmqpPublisher {
    link: Arc<Link>,
    line: Option<Line>,
}

/// An open channel in confirm mode.
struct Line {
    connection: Arc<Connection>,
    channel: Channel,
}

/// A group on its way.
struct Batch<'a> {
    group: &'a [Outgoing],
    fates: Vec<Option<Published>>,
    /// Nothing is waited for beyond it.
    deadline: Instant,
    /// The broker closed the channel without naming a culprit: one message at a time from now on.
    singly: bool,
}

impl AmqpPublisher {
    /// A publisher; its channel is opened now, so that a wrong password shows at the start.
    pub(super) async fn open(link: Arc<Link>) -> Result<Self, BrokerError> {
        let mut publisher = Self { link, line: None };
        publisher.line = Some(publisher.line().await?);
        Ok(publisher)
    }

    /// Takes the channel out; opens one where there is none in working order.
    async fn line(&mut self) -> Result<Line, BrokerError> {
        if let Some(line) = self.line.take().filter(|line| line.channel.status().connected()) {
            return Ok(line);
        }
        let connection = self.link.connection().await?;
        let what = "a channel for publishing";
        let channel = answered(connection.create_channel(), what).await?;
        answered(channel.confirm_select(ConfirmSelectOptions::default()), what).await?;
        Ok(Line { connection, channel })
    }

    /// Tries what is open. An error says why nothing more can be learnt about the rest.
    async fn round(&mut self, batch: &mut Batch<'_>) -> Result<(), String> {
        self.link
            .unblocked(batch.deadline)
            .await
            .map_err(|reason| format!("the broker takes no publishes: {reason}"))?;
        // Put back only when every confirm is in: a group that is given up half-way takes its
        // channel with it, so that its returns can't be taken for the next group's.
        let line = self.line().await.map_err(|error| error.to_string())?;
        let mut open = batch.open();
        if batch.singly {
            open.truncate(1);
        }
        let messages = vet(batch.group, &open, &mut batch.fates, &line.connection);
        let tried = messages.len();
        let round = Round::run(&line.channel, batch.group, messages, batch.deadline).await;
        round.judge(batch.group, &mut batch.fates);
        match round.end {
            End::Complete => {
                self.line = Some(line);
                Ok(())
            }
            End::Late => {
                self.abandon(line).await;
                Err(format!("no confirm within {CONFIRM_TIMEOUT:?}; it may have arrived"))
            }
            End::Broken(error) => batch.blame(&error, tried),
        }
    }

    /// Gives a channel up whose confirms don't come. What is unresolved on it is freed with it.
    async fn abandon(&self, line: Line) {
        // A blocked connection writes nothing, not even a close; it is waited for, not replaced:
        // another one would be blocked as well.
        if line.connection.status().blocked() {
            return;
        }
        let closing = line.channel.close(320, "no confirm in time".into());
        if timeout(BROKER_ANSWER, closing).await.is_err() {
            self.link.discard(&line.connection);
        }
    }
}

#[async_trait]
impl Publisher for AmqpPublisher {
    async fn publish(&mut self, group: &[Outgoing]) -> Vec<Published> {
        let mut batch = Batch {
            group,
            fates: vec![None; group.len()],
            deadline: Instant::now() + CONFIRM_TIMEOUT,
            singly: false,
        };
        let mut why = "the broker closed the channel too often".to_owned();
        // A round that settles nothing is charged; one that does brings the end nearer.
        let mut fruitless = 0;
        let mut open = group.len();
        while open > 0 && fruitless < PUBLISH_ROUNDS {
            if let Err(reason) = self.round(&mut batch).await {
                why = reason;
                break;
            }
            let left = batch.open().len();
            if left == open {
                fruitless += 1;
            }
            open = left;
        }
        let unknown = || Published::Unknown(why.clone());
        batch.fates.into_iter().map(|fate| fate.unwrap_or_else(unknown)).collect()
    }
}

// === impl Batch ===

impl Batch<'_> {
    /// Places of the messages whose fate isn't known.
    fn open(&self) -> Vec<usize> {
        (0..self.group.len()).filter(|&at| self.fates[at].is_none()).collect()
    }

    /// Finds out which messages broke the channel, so that the rest can go on without them.
    fn blame(&mut self, error: &lapin::Error, tried: usize) -> Result<(), String> {
        let Some((code, text)) = errors::reply(error) else {
            return Err(format!("the connection broke: {error}; it may have arrived"));
        };
        match code {
            403 | 404 => {
                let named = errors::publish_target(text)
                    .is_some_and(|at| self.refuse(at.exchange, at.routing_key, text) > 0);
                if !named {
                    self.corner(tried, Published::NoTarget(text.to_owned()));
                }
                Ok(())
            }
            // Bad content: the broker's own size limit, a malformed CC header and the like.
            406 => {
                self.corner(tried, Published::Impossible(text.to_owned()));
                Ok(())
            }
            _ => Err(format!("the broker closed the channel: {text}")),
        }
    }

    /// The only message that was tried has that fate; of several, each is tried alone.
    fn corner(&mut self, tried: usize, fate: Published) {
        self.singly = tried > 1;
        if tried == 1
            && let Some(&at) = self.open().first()
        {
            self.fates[at] = Some(fate);
        }
    }

    /// Gives up the open messages for that exchange, and routing key where one is named.
    fn refuse(&mut self, exchange: &str, routing_key: Option<&str>, why: &str) -> usize {
        let aimed: BTreeSet<usize> = self
            .open()
            .into_iter()
            .filter(|&at| self.group[at].exchange == exchange)
            .filter(|&at| routing_key.is_none_or(|key| self.group[at].routing_key == key))
            .collect();
        for &at in &aimed {
            self.fates[at] = Some(Published::NoTarget(why.to_owned()));
        }
        aimed.len()
    }
}
