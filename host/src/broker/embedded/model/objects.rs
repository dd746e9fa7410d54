//! What exists in the broker: exchanges, queues, bindings and consumers come and go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::{Consuming, Model};
use crate::broker::embedded::channel::Signal;
use crate::broker::embedded::exchange::Exchange;
use crate::broker::embedded::queue::{ConsumerId, Owner, Queue};
use crate::broker::embedded::settings::{Settings, exchange_mismatch, queue_mismatch};
use crate::broker::{
    BindingDeclaration, BrokerError, ConsumeRequest, Declaration, Declared, Destination,
    ExchangeDeclaration, QueueDeclaration,
};
use crate::config::{ExchangeKind, QueueKind};
use crate::limits::{EMBEDDED_OBJECTS, SHORT_STRING_BYTES};
use crate::route::HeadersMatch;

impl Model {
    /// Creates an object, or finds it the same.
    pub(in super::super) fn declare(
        &mut self,
        object: &Declaration,
        owner: Owner,
        now: Instant,
    ) -> Result<Declared, BrokerError> {
        match object {
            Declaration::Exchange(exchange) => self.declare_exchange(exchange),
            Declaration::Queue(queue) => self.declare_queue(queue, owner, now),
            Declaration::Binding(binding) => self.declare_binding(binding),
        }
    }

    pub(in super::super) fn has_exchange(&self, name: &str) -> bool {
        self.exchanges.contains_key(name)
    }

    pub(in super::super) fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.get(name)
    }

    fn declare_exchange(&mut self, wanted: &ExchangeDeclaration) -> Result<Declared, BrokerError> {
        if let Some(exchange) = self.exchanges.get(wanted.name.as_str()) {
            if wanted.name.is_empty() {
                return Err(BrokerError::Forbidden(
                    "the default exchange can't be declared".into(),
                ));
            }
            return match exchange_mismatch(&exchange.declaration, wanted) {
                Some(mismatch) => Err(mismatch),
                None => Ok(Declared { name: wanted.name.clone(), messages: 0 }),
            };
        }
        check_name("exchange", &wanted.name)?;
        check_room("exchanges", self.exchanges.len())?;
        let exchange =
            Exchange { declaration: wanted.clone(), bindings: Vec::new(), predeclared: false };
        self.exchanges.insert(wanted.name.as_str().into(), exchange);
        Ok(Declared { name: wanted.name.clone(), messages: 0 })
    }

    fn declare_queue(
        &mut self,
        wanted: &QueueDeclaration,
        owner: Owner,
        now: Instant,
    ) -> Result<Declared, BrokerError> {
        let settings = Settings::of(wanted)?;
        let owner = if wanted.exclusive { owner } else { Owner::Nobody };
        if let Some(queue) = self.queues.get_mut(wanted.name.as_str()) {
            if queue.declaration.exclusive && queue.owner != owner {
                return Err(locked(&wanted.name, "exclusive to another connection"));
            }
            if let Some(mismatch) = queue_mismatch(&queue.declaration, wanted) {
                return Err(mismatch);
            }
            queue.used_at = now;
            let messages = u32::try_from(queue.length()).unwrap_or(u32::MAX);
            self.refresh(&wanted.name, now);
            return Ok(Declared { name: wanted.name.clone(), messages });
        }
        check_room("queues", self.queues.len())?;
        let mut declaration = wanted.clone();
        if declaration.name.is_empty() {
            self.next_queue += 1;
            declaration.name = format!("amq.gen-{:08}", self.next_queue);
        } else {
            check_name("queue", &declaration.name)?;
        }
        let name = declaration.name.clone();
        self.queues.insert(name.as_str().into(), Queue::new(declaration, settings, owner, now));
        self.refresh(&name, now);
        Ok(Declared { name, messages: 0 })
    }

    fn declare_binding(&mut self, binding: &BindingDeclaration) -> Result<Declared, BrokerError> {
        if binding.source.is_empty() {
            return Err(BrokerError::Forbidden(
                "nothing can be bound to the default exchange".into(),
            ));
        }
        match &binding.destination {
            Destination::Queue(name) if !self.queues.contains_key(name.as_str()) => {
                return Err(BrokerError::NotFound(format!("no queue '{name}'")));
            }
            Destination::Exchange(name) if name.is_empty() => {
                return Err(BrokerError::Forbidden("the default exchange can't be bound".into()));
            }
            Destination::Exchange(name) if !self.exchanges.contains_key(name.as_str()) => {
                return Err(BrokerError::NotFound(format!("no exchange '{name}'")));
            }
            _ => {}
        }
        let Some(exchange) = self.exchanges.get_mut(binding.source.as_str()) else {
            return Err(BrokerError::NotFound(format!("no exchange '{}'", binding.source)));
        };
        if exchange.declaration.kind == ExchangeKind::Headers
            && HeadersMatch::of(&binding.arguments).is_none()
        {
            return Err(BrokerError::Unsupported(format!(
                "x-match of a binding of exchange '{}': must be 'all', 'any', 'all-with-x' or 'any-with-x'",
                binding.source
            )));
        }
        if !exchange.bindings.contains(binding) {
            check_room("bindings of one exchange", exchange.bindings.len())?;
            exchange.bindings.push(binding.clone());
        }
        Ok(Declared::default())
    }

    /// Starts a consumer on a queue that is there.
    pub(in super::super) fn consume(
        &mut self,
        id: ConsumerId,
        request: &ConsumeRequest,
        queue_name: &str,
        signal: Arc<Signal>,
        now: Instant,
    ) -> Result<(), BrokerError> {
        check_room("consumers", self.consumers.len())?;
        let Some((name, _)) = self.queues.get_key_value(queue_name) else {
            return Err(BrokerError::NotFound(format!("no queue '{queue_name}'")));
        };
        let name = Arc::clone(name);
        let Some(queue) = self.queues.get_mut(&name) else { return Ok(()) };
        if queue.settings.kind == QueueKind::Stream {
            return Err(BrokerError::Unsupported(format!("consuming a stream: queue '{name}'")));
        }
        if matches!(queue.owner, Owner::Consumer(owner) if owner != id) {
            return Err(locked(&name, "exclusive to another connection"));
        }
        let held = queue
            .consumers
            .iter()
            .any(|other| self.consumers.get(other).is_some_and(|other| other.exclusive));
        if held {
            return Err(locked(&name, "it has an exclusive consumer"));
        }
        if request.exclusive && !queue.consumers.is_empty() {
            return Err(locked(&name, "it has other consumers, so none can be exclusive"));
        }
        if request.exclusive && queue.settings.single_active_consumer {
            return Err(BrokerError::Unsupported(format!(
                "an exclusive consumer on queue '{name}', which has x-single-active-consumer"
            )));
        }
        queue.consumers.push_back(id);
        queue.used_at = now;
        let consuming = Consuming {
            queue: Arc::clone(&name),
            exclusive: request.exclusive,
            prefetch: request.prefetch.max(1).into(),
            next_tag: 1,
            unacked: BTreeMap::new(),
            outbox: VecDeque::new(),
            signal,
            cancelled: false,
            end: None,
        };
        self.consumers.insert(id, consuming);
        self.refresh(&name, now);
        self.deliver_letters(now);
        Ok(())
    }

    /// A number for a consumer that is about to start.
    pub(in super::super) fn next_consumer(&mut self) -> ConsumerId {
        self.next_consumer += 1;
        self.next_consumer
    }

    /// Gives a consumer no more messages and takes back what its client hasn't got. What the
    /// client holds can still be settled.
    pub(in super::super) fn cancel(
        &mut self,
        id: ConsumerId,
        now: Instant,
    ) -> Result<(), BrokerError> {
        let Some(consumer) = self.consumers.get_mut(&id) else { return Ok(()) };
        match &consumer.end {
            Some(_) if consumer.cancelled => return Ok(()),
            Some(end) => return Err(end.clone()),
            None => {}
        }
        consumer.cancelled = true;
        consumer.end = Some(BrokerError::Cancelled("by this host".to_owned()));
        consumer.signal.wake();
        let name = Arc::clone(&consumer.queue);
        let tags: Vec<u64> = consumer.outbox.drain(..).collect();
        self.take_back(id, &tags, now);
        self.detach(id, &name, now);
        Ok(())
    }

    /// Ends a consumer's channel: what it holds is released. Its client finds out why from `end`.
    pub(in super::super) fn end_consumer(
        &mut self,
        id: ConsumerId,
        end: BrokerError,
        now: Instant,
    ) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        consumer.end = Some(end);
        consumer.outbox.clear();
        consumer.signal.close();
        let name = Arc::clone(&consumer.queue);
        let tags: Vec<u64> = consumer.unacked.keys().copied().collect();
        self.take_back(id, &tags, now);
        self.detach(id, &name, now);
        self.remove_queues_of(Owner::Consumer(id), now);
    }

    /// Forgets a consumer whose client is gone.
    pub(in super::super) fn forget_consumer(&mut self, id: ConsumerId, now: Instant) {
        let end = BrokerError::ChannelClosed("the consumer is closed".to_owned());
        self.end_consumer(id, end, now);
        self.consumers.remove(&id);
    }

    /// Ends every consumer and every exclusive queue, as a lost connection does.
    pub(in super::super) fn disconnect(&mut self, end: &BrokerError, now: Instant) {
        let ids: Vec<ConsumerId> = self
            .consumers
            .iter()
            .filter(|(_, c)| !c.signal.is_closed())
            .map(|(id, _)| *id)
            .collect();
        // All at once: what one gives back must not go to the next one on its way out.
        for id in &ids {
            if let Some(consumer) = self.consumers.get(id)
                && let Some(queue) = self.queues.get_mut(&consumer.queue)
            {
                queue.consumers.retain(|other| other != id);
            }
        }
        for id in ids {
            self.end_consumer(id, end.clone(), now);
        }
        self.remove_queues_of(Owner::Broker, now);
    }

    /// Deletes the exclusive queues that go with their owner.
    pub(in super::super) fn remove_queues_of(&mut self, owner: Owner, now: Instant) {
        let owned = self.queues.iter().filter(|(_, queue)| queue.owner == owner);
        let owned: Vec<Arc<str>> = owned.map(|(name, _)| Arc::clone(name)).collect();
        for name in owned {
            self.remove_queue(&name, now);
        }
    }

    /// Deletes a queue with its messages; its consumers are cancelled. False if there is none.
    pub(in super::super) fn remove_queue(&mut self, name: &str, now: Instant) -> bool {
        let Some(queue) = self.queues.remove(name) else { return false };
        if let Some(alarm) = queue.alarm {
            self.alarms.remove(&(alarm, name.into()));
        }
        let consumers = self.consumers.iter().filter(|(_, consumer)| *consumer.queue == *name);
        let consumers: Vec<ConsumerId> = consumers.map(|(id, _)| *id).collect();
        for id in consumers {
            let end = BrokerError::Cancelled(format!("queue '{name}' was deleted"));
            self.end_consumer(id, end, now);
        }
        self.unbind(&Destination::Queue(name.to_owned()));
        true
    }

    /// Deletes an exchange with its bindings. False if there is none, or it is the broker's own.
    pub(in super::super) fn remove_exchange(&mut self, name: &str) -> bool {
        match self.exchanges.get(name) {
            Some(exchange) if !exchange.predeclared => {}
            _ => return false,
        }
        self.exchanges.remove(name);
        self.unbind(&Destination::Exchange(name.to_owned()));
        true
    }

    /// Forgets the ready messages of a queue; `None` if there is no such queue.
    pub(in super::super) fn purge(&mut self, name: &str, now: Instant) -> Option<usize> {
        let purged = self.queues.get_mut(name)?.clear();
        self.refresh(name, now);
        Some(purged)
    }

    /// Takes away every binding to a destination, and the auto-delete exchanges that fed it alone.
    fn unbind(&mut self, gone: &Destination) {
        let mut orphans = Vec::new();
        for (name, exchange) in &mut self.exchanges {
            let before = exchange.bindings.len();
            exchange.bindings.retain(|binding| binding.destination != *gone);
            let unbound = exchange.bindings.len() < before && exchange.bindings.is_empty();
            if unbound && exchange.declaration.auto_delete {
                orphans.push(Arc::clone(name));
            }
        }
        for orphan in orphans {
            self.remove_exchange(&orphan);
        }
    }

    /// Releases deliveries of a consumer.
    fn take_back(&mut self, id: ConsumerId, tags: &[u64], now: Instant) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        let name = Arc::clone(&consumer.queue);
        let entries: Vec<_> = tags.iter().filter_map(|tag| consumer.unacked.remove(tag)).collect();
        for entry in entries {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.unacked -= 1;
            }
            self.put_back(&name, entry, now);
        }
    }

    /// Takes a consumer off its queue, which others then get more of, or which goes with it.
    fn detach(&mut self, id: ConsumerId, name: &str, now: Instant) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        queue.consumers.retain(|other| *other != id);
        queue.used_at = now;
        if queue.declaration.auto_delete && queue.consumers.is_empty() {
            self.remove_queue(name, now);
        } else {
            self.refresh(name, now);
        }
        self.deliver_letters(now);
    }
}

fn locked(queue: &str, why: &str) -> BrokerError {
    BrokerError::Locked(format!("queue '{queue}': {why}"))
}

fn check_name(what: &str, name: &str) -> Result<(), BrokerError> {
    if name.starts_with("amq.") {
        return Err(BrokerError::Forbidden(format!(
            "{what} '{name}': names that begin with 'amq.' are the broker's own"
        )));
    }
    if name.len() > SHORT_STRING_BYTES {
        return Err(BrokerError::Unsupported(format!(
            "{what} '{name}': a name has {SHORT_STRING_BYTES} bytes at most"
        )));
    }
    Ok(())
}

fn check_room(what: &str, used: usize) -> Result<(), BrokerError> {
    if used < EMBEDDED_OBJECTS {
        return Ok(());
    }
    Err(BrokerError::Unsupported(format!(
        "more than {EMBEDDED_OBJECTS} {what} in the embedded broker"
    )))
}
