//! A broker's plan to read: exchanges with what they feed, queues with what becomes of their
//! messages.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::broker::{
    BindingDeclaration, Declaration, Destination, ExchangeDeclaration, QueueDeclaration,
};
use crate::config::{BrokerKind, Config, DeadLetter, Declare, Queue};
use crate::message::{FieldValue, Table};
use crate::telemetry::logging::printable;
use crate::topology::{self, Plan};

/// The tree of one broker, with a last line end.
pub(super) fn render(config: &Config, broker: &str) -> String {
    let plan = topology::plan(config).remove(broker).unwrap_or_default();
    let tree = Tree { config, broker, plan: &plan };
    let mut text = tree.head();
    for exchange in tree.exchanges() {
        tree.exchange(&mut text, exchange);
    }
    for source in tree.foreign_sources() {
        line(&mut text, 2, &format!("exchange {source}"), "not declared here");
        tree.fed_by(&mut text, source);
    }
    for queue in tree.queues() {
        tree.queue(&mut text, queue);
    }
    text
}

struct Tree<'a> {
    config: &'a Config,
    broker: &'a str,
    plan: &'a Plan,
}

impl<'a> Tree<'a> {
    fn head(&self) -> String {
        let (address, declare) = match self.config.brokers.get(self.broker) {
            Some(broker) => {
                let address = match &broker.kind {
                    BrokerKind::Amqp(amqp) => amqp.urls.join(", "),
                    BrokerKind::Mqtt(mqtt) => mqtt.urls.join(", "),
                    BrokerKind::Embedded => "embedded".to_owned(),
                };
                let declare = match broker.declare {
                    Declare::Create => "create",
                    Declare::Verify => "verify",
                    Declare::None => "none",
                };
                (address, declare)
            }
            None => (String::new(), ""),
        };
        let head = format!("broker {} ({address}), declare = \"{declare}\"", self.broker);
        printable(&head) + "\n"
    }

    fn objects(&self) -> impl Iterator<Item = &'a Declaration> {
        self.plan.shared.iter().chain(self.plan.connection.values().flatten())
    }

    fn exchanges(&self) -> impl Iterator<Item = &'a ExchangeDeclaration> {
        self.objects().filter_map(|object| match object {
            Declaration::Exchange(exchange) => Some(exchange),
            Declaration::Queue(_) | Declaration::Binding(_) => None,
        })
    }

    /// Queues with the names that the config gives them.
    fn queues(&self) -> impl Iterator<Item = (&'a str, &'a QueueDeclaration)> {
        let shared = self.plan.shared.iter().filter_map(|object| match object {
            Declaration::Queue(queue) => Some((queue.name.as_str(), queue)),
            Declaration::Exchange(_) | Declaration::Binding(_) => None,
        });
        let own = self.plan.connection.iter().flat_map(|(name, objects)| {
            objects.iter().filter_map(move |object| match object {
                Declaration::Queue(queue) => Some((name.as_str(), queue)),
                Declaration::Exchange(_) | Declaration::Binding(_) => None,
            })
        });
        shared.chain(own)
    }

    /// Bindings, with the config's names for queues that the broker names.
    fn bindings(&self) -> impl Iterator<Item = (&'a BindingDeclaration, String)> {
        let named = |object: &'a Declaration, own: Option<&str>| match object {
            Declaration::Binding(binding) => Some((
                binding,
                match (&binding.destination, own) {
                    (Destination::Queue(_), Some(name)) => format!("queue {name}"),
                    (Destination::Queue(name), None) => format!("queue {name}"),
                    (Destination::Exchange(name), _) => format!("exchange {name}"),
                },
            )),
            Declaration::Exchange(_) | Declaration::Queue(_) => None,
        };
        let shared = self.plan.shared.iter().filter_map(move |object| named(object, None));
        let own = self.plan.connection.iter().flat_map(move |(name, objects)| {
            objects.iter().filter_map(move |object| named(object, Some(name)))
        });
        shared.chain(own)
    }

    /// Sources of bindings that the config doesn't declare, such as `amq.topic`.
    fn foreign_sources(&self) -> BTreeSet<&'a str> {
        let declared: BTreeSet<&str> = self.exchanges().map(|e| e.name.as_str()).collect();
        let sources = self.bindings().map(|(binding, _)| binding.source.as_str());
        sources.filter(|source| !declared.contains(source)).collect()
    }

    fn exchange(&self, text: &mut String, exchange: &ExchangeDeclaration) {
        let mut traits = vec![format!("{:?}", exchange.kind).to_lowercase()];
        let flags = [
            (!exchange.durable, "not durable"),
            (exchange.auto_delete, "auto-delete"),
            (exchange.internal, "internal"),
        ];
        traits.extend(flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()));
        traits.extend(arguments(&exchange.arguments));
        line(text, 2, &format!("exchange {}", exchange.name), &traits.join(", "));
        self.fed_by(text, &exchange.name);
    }

    fn fed_by(&self, text: &mut String, source: &str) {
        for (binding, destination) in self.bindings().filter(|(b, _)| b.source == source) {
            let mut key =
                vec![if binding.key.is_empty() { "(no key)" } else { &binding.key }.to_owned()];
            key.extend(arguments(&binding.arguments));
            line(text, 4, &key.join(", "), &format!("→ {destination}"));
        }
    }

    fn queue(&self, text: &mut String, (name, queue): (&str, &QueueDeclaration)) {
        let mut traits: Vec<String> = Vec::new();
        let flags = [
            (queue.name.is_empty(), "named by the broker"),
            (!queue.durable, "not durable"),
            (queue.exclusive, "exclusive"),
            (queue.auto_delete, "auto-delete"),
        ];
        traits.extend(arguments(&queue.arguments));
        traits.extend(flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()));
        line(text, 2, &format!("queue {name}"), &traits.join(", "));
        let here = |broker: &str| broker == self.broker;
        for pipeline in self.config.pipelines.iter().filter(|p| here(&p.broker) && p.queue == name)
        {
            line(text, 4, "consumed by", &format!("pipeline {}", pipeline.name));
        }
        let configured = self.config.queues.iter().find(|q| here(&q.broker) && q.name == name);
        if let Some(fate) = configured.and_then(dead_letters) {
            line(text, 4, "dead letters", &fate);
        }
    }
}

fn dead_letters(queue: &Queue) -> Option<String> {
    match &queue.dead_letter {
        DeadLetter::Unset => None,
        DeadLetter::Policy => Some("as a policy on the broker says".to_owned()),
        DeadLetter::Discard => Some("thrown away".to_owned()),
        DeadLetter::To(target) => {
            let key = target.routing_key.as_deref();
            let key = key.map_or_else(String::new, |key| format!(" with key {key}"));
            let how = match (target.nack, target.at_least_once) {
                (false, _) => "as confirmed copies with the reason",
                (true, true) => "at least once",
                (true, false) => "at most once",
            };
            let exchange = if target.exchange.is_empty() { "(default)" } else { &target.exchange };
            Some(format!("→ exchange {exchange}{key}, {how}"))
        }
    }
}

fn arguments(arguments: &Table) -> impl Iterator<Item = String> {
    arguments.iter().map(|(name, value)| {
        let value = match value {
            FieldValue::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            FieldValue::Bool(value) => value.to_string(),
            other => other.as_i64().map_or_else(|| format!("{other:?}"), |n| n.to_string()),
        };
        if value.is_empty() { format!("{name} (default)") } else { format!("{name} {value}") }
    })
}

/// Column at which the second part of a line starts.
const COLUMN: usize = 44;

fn line(text: &mut String, indent: usize, first: &str, second: &str) {
    let first = format!("{:indent$}{}", "", printable(first));
    let _infallible = writeln!(text, "{first:COLUMN$} {}", printable(second));
}
