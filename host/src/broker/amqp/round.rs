//! One attempt at the open messages of a group: write all, wait for every confirm, then judge.

use futures_util::future::join_all;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::time::{Instant, timeout_at};

use super::returns;
use super::vet::Encoded;
use crate::broker::{Outgoing, Published};
use crate::fault::{self, Point};
use crate::limits::PUBLISH_WINDOW_BYTES;

#[cfg(test)]
mod tests;

/// What an attempt brought.
#[derive(Debug)]
pub(super) struct Round {
    /// The places in the group that were tried, with what the broker said to each.
    answers: Vec<(usize, Answer)>,
    /// Whosoever's they are.
    returns: Vec<BasicReturnMessage>,
    /// How it ended.
    pub(super) end: End,
}

/// What the broker said to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Acked,
    Nacked,
    Nothing,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum End {
    /// Every confirm is in.
    Complete,
    /// The time was over first.
    Late,
    /// The channel or connection broke.
    Broken(lapin::Error),
}

impl Round {
    /// Publishes those messages.
    pub(super) async fn run(
        channel: &Channel,
        group: &[Outgoing],
        messages: Vec<(usize, Encoded)>,
        deadline: Instant,
    ) -> Self {
        let mut round = Self {
            answers: messages.iter().map(|(at, _)| (*at, Answer::Nothing)).collect(),
            returns: Vec::new(),
            end: End::Complete,
        };
        let mut confirms = Vec::with_capacity(messages.len());
        let writing = write_all(channel, group, messages, &mut confirms);
        let written = timeout_at(deadline, writing).await;
        let bodies = || round.answers.iter().map(|(at, _)| &*group[*at].body);
        fault::point(Point::PreConfirm, bodies);
        let waited = timeout_at(deadline, round.wait(confirms)).await;
        if written.is_err() || waited.is_err() {
            round.note_end(End::Late);
        }
        round
    }

    /// Takes the answers one after the other; those still missing at the end stay `Nothing`.
    async fn wait(&mut self, confirms: Vec<lapin::Result<PublisherConfirm>>) {
        for (index, confirm) in confirms.into_iter().enumerate() {
            let answer = match confirm {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(Confirmation::Ack(returned)) => {
                    self.answers[index].1 = Answer::Acked;
                    self.returns.extend(returned);
                }
                Ok(Confirmation::Nack(returned)) => {
                    self.answers[index].1 = Answer::Nacked;
                    self.returns.extend(returned);
                }
                // Not in confirm mode: never, on these channels. Nothing is known then.
                Ok(Confirmation::NotRequested) => {}
                Err(error) => self.note_end(End::Broken(error)),
            }
        }
    }

    /// Keeps the end that tells most: the broker's own words before a mere state of the channel.
    fn note_end(&mut self, end: End) {
        let better = match (&self.end, &end) {
            (End::Complete, _) => true,
            (End::Late, End::Broken(_)) => true,
            (End::Broken(old), End::Broken(new)) => !old.is_amqp_error() && new.is_amqp_error(),
            _ => false,
        };
        if better {
            self.end = end;
        }
    }

    /// Writes down the fate of every message that is certain.
    ///
    /// A confirm without a return means "routed" only where its return can't be waiting behind
    /// another's. The library takes one waiting return at each confirm, in order of arrival, and a
    /// return arrives before its own confirm. So if a confirmed message's return were still
    /// waiting, one that was taken instead belongs to a message without a confirm. Where none does
    /// (always, when every confirm is in), what has no return was routed.
    pub(super) fn judge(&self, group: &[Outgoing], fates: &mut [Option<Published>]) {
        let tried: Vec<usize> = self.answers.iter().map(|(at, _)| *at).collect();
        let returned = returns::places(group, &tried, &self.returns);
        for at in &returned.places {
            fates[*at] = Some(Published::Unroutable);
        }
        let doubtful = returned.strays > 0
            || self.answers.iter().any(|(at, answer)| {
                *answer == Answer::Nothing && fates[*at] == Some(Published::Unroutable)
            });
        for (at, answer) in &self.answers {
            match answer {
                Answer::Nacked => {
                    fates[*at] = Some(Published::Refused(
                        "the broker nacked it, as a full queue with overflow reject-publish does"
                            .to_owned(),
                    ));
                }
                Answer::Acked if fates[*at].is_none() && !doubtful => {
                    fates[*at] = Some(Published::Confirmed);
                }
                Answer::Acked | Answer::Nothing => {}
            }
        }
    }
}

/// Hands every message to the connection, in order, no more than a window of bytes ahead of the
/// wire: what is handed over is copied.
async fn write_all(
    channel: &Channel,
    group: &[Outgoing],
    messages: Vec<(usize, Encoded)>,
    confirms: &mut Vec<lapin::Result<PublisherConfirm>>,
) {
    let mut messages = messages.into_iter().peekable();
    while messages.peek().is_some() {
        let mut window = Vec::new();
        let mut bytes = 0;
        while bytes < PUBLISH_WINDOW_BYTES
            && let Some((at, message)) = messages.next()
        {
            let body = &group[at].body;
            bytes += body.len();
            window.push(write_one(channel, message, body));
        }
        // Each is handed over when first polled, and that happens in order.
        confirms.extend(join_all(window).await);
    }
}

async fn write_one(
    channel: &Channel,
    message: Encoded,
    body: &[u8],
) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel
        .basic_publish(message.exchange, message.routing_key, options, body, message.properties)
        .await
}
