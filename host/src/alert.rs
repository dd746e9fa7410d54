//! Who is told: failures and conditions, grouped, rate-limited, to exchanges and webhooks.
//!
//! ```text
//! notices ──► rule: is it about that? ──► group: one per cause, what is due ──► deliver: retries
//! (lossy)                                                                    ──► exchange, webhook
//! ```
//!
//! `rule` and `group` are pure and decide; `telling` says it in each receiver's words; `deliver` and
//! `post` bring it there. Nothing here is ever waited for by a pipeline: notices that come too fast
//! are lost and counted, and so are tellings that a receiver doesn't take in time.

mod deliver;
mod group;
mod post;
mod rule;
mod telling;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use self::deliver::{Outbox, Receiver};
use self::group::{Groups, Now};
use crate::broker::Broker;
use crate::config::Notify;
use crate::limits;
use crate::notice::Notice;
use crate::telemetry::Telemetry;

/// All rules of a host.
pub struct Alerts {
    rules: Vec<(Groups, Vec<Outbox>)>,
    couriers: JoinSet<()>,
    notices: mpsc::Receiver<Notice>,
    telemetry: Telemetry,
}

impl Alerts {
    /// Listens from now on; tells nothing before [`Alerts::run`].
    #[must_use]
    pub fn new(
        rules: &[Notify],
        brokers: &BTreeMap<String, Arc<dyn Broker>>,
        telemetry: &Telemetry,
    ) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut couriers = JoinSet::new();
        let rules = rules.iter().map(|rule| {
            let outboxes = receivers(rule, brokers).into_iter().map(|(kind, receiver)| {
                let metrics = telemetry.notify(&rule.name, kind);
                let (outbox, courier) = deliver::open(receiver, &host, metrics);
                couriers.spawn(courier);
                outbox
            });
            (Groups::new(rule.clone()), outboxes.collect())
        });
        let rules = rules.collect();
        Self { rules, couriers, notices: telemetry.listen(), telemetry: telemetry.clone() }
    }

    /// Tells for as long as it is polled.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(limits::NOTIFY_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lost = self.telemetry.notices_lost();
        // Where another config brought these rules, some may stand already.
        self.catch_up();
        loop {
            tokio::select! {
                notice = self.notices.recv() => match notice {
                    Some(notice) => self.note(&notice),
                    // Somebody else listens now.
                    None => return,
                },
                _ = ticks.tick() => {
                    if std::mem::replace(&mut lost, self.telemetry.notices_lost()) != lost {
                        self.catch_up();
                    }
                    self.tell();
                }
                Some(ended) = self.couriers.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a receiver's task ended");
                    }
                }
            }
        }
    }

    fn note(&mut self, notice: &Notice) {
        let now = self.now();
        for (groups, _) in &mut self.rules {
            if rule::is_about(&groups.rule().about, notice) {
                groups.note(notice, now);
            }
        }
    }

    /// Takes conditions from where none is lost.
    fn catch_up(&mut self) {
        let conditions = self.telemetry.conditions();
        let now = self.now();
        for (groups, _) in &mut self.rules {
            for ended in groups.standing().into_iter().filter(|known| {
                !conditions.iter().any(|it| it.kind == known.kind && it.subject == known.subject)
            }) {
                groups.note(&Notice::Ended(ended), now);
            }
        }
        for condition in conditions {
            self.note(&Notice::Began(condition));
        }
    }

    fn now(&self) -> Now {
        Now { at: Instant::now(), s: self.telemetry.clock().now_s() }
    }

    fn tell(&mut self) {
        let now = self.now();
        for (groups, outboxes) in &mut self.rules {
            for telling in groups.due(now) {
                for outbox in &*outboxes {
                    outbox.send(telling.clone());
                }
            }
        }
    }
}

fn receivers(
    rule: &Notify,
    brokers: &BTreeMap<String, Arc<dyn Broker>>,
) -> Vec<(&'static str, Receiver)> {
    let exchange = rule.exchange.as_ref().and_then(|target| {
        let broker = Arc::clone(brokers.get(&target.broker)?);
        Some(("exchange", Receiver::Exchange { broker, target: target.clone() }))
    });
    let webhook = rule.webhook.clone();
    let webhook = webhook.map(|webhook| ("webhook", Receiver::Webhook(Arc::new(webhook))));
    exchange.into_iter().chain(webhook).collect()
}
