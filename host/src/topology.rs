//! What a config needs on its brokers, as declarations: its own exchanges, queues and bindings, and
//! the host's retry and failure objects.
//!
//! [`plan`] says what is needed, [`apply`] makes or compares it, [`definitions`] and
//! [`permissions`] hand it to whoever may do what the host may not, [`findings`] says what is
//! unwise about it, [`orphans`] what is left of an earlier config. Nothing here consumes or publishes.

mod apply;
mod definitions;
mod findings;
mod inventory;
mod orphans;
mod permissions;
mod queue;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::broker::{
    BindingDeclaration, Declaration, Destination, ExchangeDeclaration, QueueDeclaration,
};
use crate::config::{
    Binding, Broker, BrokerKind, Config, DeadLetter, Exchange, ExchangeKind, Pipeline, Queue,
    QueueKind,
};
use crate::limits;
use crate::message::Table;

pub use apply::{Applied, apply, prepare};
pub use definitions::definitions;
pub use findings::{Finding, Severity, findings, stated_versions};
pub use orphans::{Orphan, Orphans, Source, orphans};
pub use permissions::{Permissions, permissions};
pub use queue::DELAY_KIND;

/// A broker's name in the config.
pub type BrokerName = String;

/// What delay queues are called, before the work queue's name and the rung.
const RETRY_PREFIX: &str = "sluicegate.retry.";

/// What one broker needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Declared once, for everybody: exchanges, then queues, then bindings; the bindings of
    /// dead-letter and alternate exchanges before those that let messages in.
    pub shared: Vec<Declaration>,
    /// By queue name in the config: exclusive and server-named queues with their bindings, which a
    /// consumer declares on its own connection
    /// ([`ConsumeRequest::declare`](crate::broker::ConsumeRequest)).
    pub connection: BTreeMap<String, Vec<Declaration>>,
    /// Shared queues whose dead-letter exchange a policy sets, which declaring can't show.
    pub dead_letters_by_policy: BTreeSet<String>,
    /// Quorum queues whose delivery limit is no more than the host's default: one without any will do
    /// where the host only verifies.
    pub default_delivery_limit: BTreeSet<String>,
}

/// What each broker of the config needs. Every broker has a plan, if an empty one.
#[must_use]
pub fn plan(config: &Config) -> BTreeMap<BrokerName, Plan> {
    let brokers = config.brokers.keys();
    brokers.map(|name| (name.clone(), Draft::of(config, name).finish(config, name))).collect()
}

/// The delay queue of that kind where a failed message of `work_queue` waits for `rung` before it
/// returns.
///
/// All that a delay queue is declared with follows from its name, so that another ladder gets
/// queues of its own and never clashes with those that are still draining, of whatever kind.
/// At most 255 bytes: a longer name is cut and made unique by its digest.
#[must_use]
pub fn delay_queue(work_queue: &str, kind: QueueKind, rung: Duration) -> String {
    let end = format!(".{}.{}", queue::kind_name(kind), rung.as_millis());
    let whole = format!("{RETRY_PREFIX}{work_queue}{end}");
    if whole.len() <= limits::SHORT_STRING_BYTES {
        return whole;
    }
    let digest = blake3::hash(work_queue.as_bytes()).to_hex();
    let tail = format!("~{}{end}", &digest[..16]);
    let room = limits::SHORT_STRING_BYTES - RETRY_PREFIX.len() - tail.len();
    let kept = (0..=room).rev().find(|&at| work_queue.is_char_boundary(at)).unwrap_or(0);
    format!("{RETRY_PREFIX}{}{tail}", &work_queue[..kept])
}

/// Whether the queue belongs to one connection, so that only its consumer can declare it, and no
/// delayed message could find its way back.
#[must_use]
pub fn is_private(queue: &Queue) -> bool {
    queue.server_named || queue.exclusive || queue.session.is_some()
}

/// Whether the delivery limit is no more than the host's default.
fn has_default_limit(queue: &Queue) -> bool {
    queue.kind == QueueKind::Quorum
        && queue.delivery_limit.is_none_or(|limit| limit == limits::DELIVERY_LIMIT)
        && queue.arguments.get(queue::DELIVERY_LIMIT).is_none()
}

/// The virtual host that the broker's first address names; `/` where it names none.
#[must_use]
pub fn vhost(broker: &Broker) -> String {
    let url = match &broker.kind {
        BrokerKind::Amqp(amqp) => amqp.urls.first().map_or("", String::as_str),
        BrokerKind::Mqtt(_) | BrokerKind::Embedded => "",
    };
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    let path = address.split(['?', '#']).next().and_then(|path| path.split_once('/'));
    path.map_or_else(
        || "/".to_owned(),
        |(_, vhost)| percent_decode_str(vhost).decode_utf8_lossy().into_owned(),
    )
}

/// The queue that a pipeline consumes, where the config has it.
pub(crate) fn queue_of<'a>(config: &'a Config, pipeline: &Pipeline) -> Option<&'a Queue> {
    config.queues.iter().find(|q| q.name == pipeline.queue && q.broker == pipeline.broker)
}

// === impl Plan ===

impl Plan {
    /// The same without bindings: what can be declared before it is known whether all can be.
    #[must_use]
    pub fn objects(&self) -> Self {
        let mut objects = self.clone();
        objects.shared.retain(|object| !matches!(object, Declaration::Binding(_)));
        objects
    }

    /// The same queue without a delivery limit, where that limit is only the host's default.
    fn without_default_limit(&self, object: &Declaration) -> Option<Declaration> {
        let Declaration::Queue(queue) = object else { return None };
        self.default_delivery_limit.contains(&queue.name).then(|| {
            let mut queue = queue.clone();
            queue.arguments.remove(queue::DELIVERY_LIMIT);
            Declaration::Queue(queue)
        })
    }
}

/// One broker's objects by kind, on their way to an ordered plan.
#[derive(Default)]
struct Draft {
    exchanges: Vec<ExchangeDeclaration>,
    queues: Vec<QueueDeclaration>,
    bindings: Vec<BindingDeclaration>,
    rest: Plan,
}

impl Draft {
    fn of(config: &Config, broker: &str) -> Self {
        let mut draft = Self::default();
        for exchange in config.exchanges.iter().filter(|e| e.broker == broker) {
            draft.exchange(exchange);
        }
        for queue in config.queues.iter().filter(|q| q.broker == broker) {
            draft.queue(queue);
        }
        for pipeline in config.pipelines.iter().filter(|p| p.broker == broker) {
            draft.retries(config, pipeline);
        }
        if config.pipelines.iter().any(|p| config.home_of(p) == broker) {
            draft.failures(config);
        }
        draft
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let mut arguments = Table::default();
        if let Some(alternate) = &exchange.alternate {
            arguments.set(queue::ALTERNATE_EXCHANGE, alternate.as_str());
        }
        for (name, value) in exchange.arguments.iter() {
            arguments.set(name, value.clone());
        }
        self.exchanges.push(ExchangeDeclaration {
            name: exchange.name.clone(),
            kind: exchange.kind,
            durable: exchange.durable,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments,
        });
        let destination = Destination::Exchange(exchange.name.clone());
        self.bindings.extend(exchange.bind.iter().map(|b| binding(b, destination.clone())));
    }

    fn queue(&mut self, queue: &Queue) {
        if let Some(session) = &queue.session {
            self.rest.connection.insert(queue.name.clone(), queue::session(queue, session));
            return;
        }
        let declaration = queue::declaration(queue);
        let destination = Destination::Queue(declaration.name.clone());
        let bindings = queue.bind.iter().map(|b| binding(b, destination.clone()));
        if is_private(queue) {
            let mut own = vec![Declaration::Queue(declaration)];
            own.extend(bindings.map(Declaration::Binding));
            self.rest.connection.insert(queue.name.clone(), own);
        } else {
            if queue.dead_letter == DeadLetter::Policy {
                self.rest.dead_letters_by_policy.insert(queue.name.clone());
            }
            if has_default_limit(queue) {
                self.rest.default_delivery_limit.insert(queue.name.clone());
            }
            self.bindings.extend(bindings);
            self.queues.push(declaration);
        }
    }

    /// Copies reach a delay queue by the default exchange and leave it by one that only brokers publish
    /// to; dead letters are replayed by another. Both know the work queue by its name.
    fn retries(&mut self, config: &Config, pipeline: &Pipeline) {
        let Some(work) = queue_of(config, pipeline).filter(|q| !is_private(q)) else { return };
        for (exchange, internal) in
            [(limits::RETURN_EXCHANGE, true), (limits::REPLAY_EXCHANGE, false)]
        {
            self.way_back(exchange, internal, &work.name);
        }
        for rung in pipeline.retry.rungs_used() {
            let delay = queue::delay(work, rung);
            if !self.has_queue(&delay.name) {
                self.queues.push(delay);
            }
        }
    }

    fn way_back(&mut self, exchange: &str, internal: bool, queue: &str) {
        if !self.exchanges.iter().any(|e| e.name == exchange) {
            self.exchanges.push(ExchangeDeclaration {
                name: exchange.to_owned(),
                kind: ExchangeKind::Direct,
                durable: true,
                auto_delete: false,
                internal,
                arguments: Table::default(),
            });
        }
        let destination = Destination::Queue(queue.to_owned());
        if !self.bindings.iter().any(|b| b.source == exchange && b.destination == destination) {
            self.bindings.push(BindingDeclaration {
                source: exchange.to_owned(),
                destination,
                key: queue.to_owned(),
                arguments: Table::default(),
            });
        }
    }

    /// An exchange or queue of that name in the config is the operator's own and is left alone.
    fn failures(&mut self, config: &Config) {
        let name = &config.failures.exchange;
        if !self.exchanges.iter().any(|e| e.name == *name) {
            self.exchanges.push(ExchangeDeclaration {
                name: name.clone(),
                kind: ExchangeKind::Topic,
                durable: true,
                auto_delete: false,
                internal: false,
                arguments: Table::default(),
            });
        }
        if !self.has_queue(name) {
            self.queues.push(queue::failures(&config.failures));
            self.bindings.push(BindingDeclaration {
                source: name.clone(),
                destination: Destination::Queue(name.clone()),
                key: "#".to_owned(),
                arguments: Table::default(),
            });
        }
    }

    fn has_queue(&self, name: &str) -> bool {
        self.queues.iter().any(|q| q.name == name)
    }

    fn finish(mut self, config: &Config, broker: &str) -> Plan {
        let catchers = catchers(config, broker);
        self.bindings.sort_by_key(|b| !catchers.contains(b.source.as_str()));
        let exchanges = self.exchanges.into_iter().map(Declaration::Exchange);
        let queues = self.queues.into_iter().map(Declaration::Queue);
        let bindings = self.bindings.into_iter().map(Declaration::Binding);
        Plan { shared: exchanges.chain(queues).chain(bindings).collect(), ..self.rest }
    }
}

/// Exchanges that catch what goes wrong elsewhere: they must have their queues first.
fn catchers<'a>(config: &'a Config, broker: &str) -> BTreeSet<&'a str> {
    let dead = config.queues.iter().filter_map(|q| match &q.dead_letter {
        DeadLetter::To(target) if target.broker == broker => Some(target.exchange.as_str()),
        _ => None,
    });
    let exchanges = config.exchanges.iter().filter(|e| e.broker == broker);
    let alternates = exchanges.filter_map(|e| e.alternate.as_deref());
    let own = [config.failures.exchange.as_str(), limits::RETURN_EXCHANGE];
    dead.chain(alternates).chain(own).collect()
}

fn binding(binding: &Binding, destination: Destination) -> BindingDeclaration {
    BindingDeclaration {
        source: binding.exchange.clone(),
        destination,
        key: binding.key.clone(),
        arguments: binding.arguments.clone(),
    }
}
