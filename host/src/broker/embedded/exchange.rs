//! Exchanges and their bindings: which queues a message goes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::death::copies;
use crate::broker::{BindingDeclaration, Destination, ExchangeDeclaration};
use crate::config::ExchangeKind;
use crate::message::{Message, Table};
use crate::route;

/// An exchange with what it feeds.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) declaration: ExchangeDeclaration,
    pub(super) bindings: Vec<BindingDeclaration>,
    /// One of the broker's own, which nobody declares or deletes.
    pub(super) predeclared: bool,
}

/// Exchanges by name.
pub(super) type Exchanges = BTreeMap<Arc<str>, Exchange>;

/// The exchanges that every RabbitMQ has. The default exchange has no bindings: its routing keys
/// are queue names.
pub(super) fn predeclared() -> Exchanges {
    [
        ("", ExchangeKind::Direct),
        ("amq.direct", ExchangeKind::Direct),
        ("amq.topic", ExchangeKind::Topic),
        ("amq.fanout", ExchangeKind::Fanout),
        ("amq.headers", ExchangeKind::Headers),
        ("amq.match", ExchangeKind::Headers),
    ]
    .into_iter()
    .map(|(name, kind)| {
        let declaration = ExchangeDeclaration {
            name: name.to_owned(),
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Table::default(),
        };
        (name.into(), Exchange { declaration, bindings: Vec::new(), predeclared: true })
    })
    .collect()
}

/// The queues that a message published to its exchange reaches, each once, in binding order. A
/// name may belong to no queue where the default exchange was used.
pub(super) fn route(exchanges: &Exchanges, message: &Message) -> Vec<String> {
    let headers = &message.properties.headers;
    let mut keys = vec![message.routing_key.as_str()];
    keys.extend(copies(headers, "CC"));
    keys.extend(copies(headers, "BCC"));

    let mut queues: Vec<String> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open = vec![message.exchange.as_str()];
    while let Some(name) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        let Some(exchange) = exchanges.get(name) else { continue };
        if name.is_empty() {
            keys.iter().for_each(|key| add(&mut queues, key));
            continue;
        }
        let mut matched = false;
        for binding in exchange.bindings.iter().filter(|b| exchange.takes(b, &keys, headers)) {
            matched = true;
            match &binding.destination {
                Destination::Queue(queue) => add(&mut queues, queue),
                Destination::Exchange(fed) => open.push(fed),
            }
        }
        if !matched {
            open.extend(exchange.alternate());
        }
    }
    queues
}

fn add(queues: &mut Vec<String>, queue: &str) {
    if !queues.iter().any(|added| added == queue) {
        queues.push(queue.to_owned());
    }
}

// === impl Exchange ===

impl Exchange {
    /// Where a message goes that no binding takes.
    fn alternate(&self) -> Option<&str> {
        self.declaration.arguments.text("alternate-exchange")
    }

    fn takes(&self, binding: &BindingDeclaration, keys: &[&str], headers: &Table) -> bool {
        match self.declaration.kind {
            ExchangeKind::Fanout => true,
            ExchangeKind::Direct => keys.contains(&binding.key.as_str()),
            ExchangeKind::Topic => keys.iter().any(|key| route::topic_matches(&binding.key, key)),
            ExchangeKind::Headers => route::headers_match(&binding.arguments, headers),
        }
    }
}
