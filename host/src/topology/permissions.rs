//! The least that RabbitMQ must allow the host's user: regular expressions for `configure`, `write`
//! and `read`, anchored and escaped.
//!
//! What RabbitMQ asks for: to declare, `configure` on the object; for a new queue with a dead-letter
//! exchange, or a new exchange with an alternate, also `read` on the one and `write` on the other; to
//! bind, `write` on the destination and `read` on the source; to consume, `read`; to publish,
//! `write` on the exchange, the default one being called `amq.default`. Asking whether something is
//! there needs nothing.

use std::collections::BTreeSet;

use super::{Plan, is_private, plan, queue, queue_of};
use crate::broker::{Declaration, Destination};
use crate::config::{Broker, BrokerKind, Config, DeadLetter, Declare};
use crate::message::Table;

/// What the broker calls the names that it gives itself, as a pattern.
const SERVER_NAMED: &str = r"amq\.gen-.*";
/// What permissions call the default exchange.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// The three patterns of `rabbitmqctl set_permissions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// What may be declared.
    pub configure: String,
    /// What may be published to or bound.
    pub write: String,
    /// What may be consumed or bound from.
    pub read: String,
}

/// What the host's user needs on that broker when the config is run with that `declare`.
#[must_use]
pub fn permissions(config: &Config, broker: &str, mode: Declare) -> Permissions {
    let plan = plan(config).remove(broker).unwrap_or_default();
    let mut needs = Needs::default();
    needs.running(config, broker);
    match mode {
        Declare::Create => needs.declaring(&plan.shared),
        Declare::Verify if !shows_arguments(config.brokers.get(broker)) => {
            needs.comparing(&plan.shared);
        }
        Declare::Verify | Declare::None => {}
    }
    needs.private(&plan);
    Permissions {
        configure: any_of(&needs.configure),
        write: any_of(&needs.write),
        read: any_of(&needs.read),
    }
}

/// Whether arguments can be compared without declaring anything again.
fn shows_arguments(broker: Option<&Broker>) -> bool {
    match broker.map(|broker| &broker.kind) {
        Some(BrokerKind::Amqp(amqp)) => amqp.management.is_some() || amqp.definitions.is_some(),
        Some(BrokerKind::Mqtt(_) | BrokerKind::Embedded) | None => false,
    }
}

/// Patterns, escaped already.
#[derive(Default)]
struct Needs {
    configure: BTreeSet<String>,
    write: BTreeSet<String>,
    read: BTreeSet<String>,
}

impl Needs {
    /// To consume and publish, whoever declared.
    fn running(&mut self, config: &Config, broker: &str) {
        for told in config.notify.iter().filter_map(|rule| rule.exchange.as_ref()) {
            if told.broker == broker {
                self.write.insert(exchange(&told.name));
            }
        }
        for pipeline in &config.pipelines {
            let here = |output: &&crate::config::Output| output.broker == broker;
            let outputs = pipeline.outputs.values().filter(here);
            self.write.extend(outputs.map(|output| exchange(&output.exchange)));
            let Some(work) = queue_of(config, pipeline) else { continue };
            if config.home_of(pipeline) == broker {
                self.write.insert(escape(&config.failures.exchange));
            }
            if pipeline.broker != broker {
                if let DeadLetter::To(target) = &work.dead_letter
                    && target.broker == broker
                {
                    self.write.insert(exchange(&target.exchange));
                }
                continue;
            }
            self.read.insert(named(if work.server_named { "" } else { &work.name }));
            if !is_private(work) && !pipeline.retry.rungs_used().is_empty() {
                self.write.insert(escape(DEFAULT_EXCHANGE));
            }
            if let DeadLetter::To(target) = &work.dead_letter
                && !target.nack
            {
                self.write.insert(exchange(&target.exchange));
            }
        }
    }

    /// To declare again what is there.
    fn comparing(&mut self, objects: &[Declaration]) {
        for object in objects {
            match object {
                Declaration::Exchange(exchange) => self.configure.insert(escape(&exchange.name)),
                Declaration::Queue(queue) => self.configure.insert(named(&queue.name)),
                Declaration::Binding(_) => false,
            };
        }
    }

    fn declaring(&mut self, objects: &[Declaration]) {
        self.comparing(objects);
        for object in objects {
            match object {
                Declaration::Exchange(declaration) => {
                    let own = escape(&declaration.name);
                    self.fallback(own, &declaration.arguments, queue::ALTERNATE_EXCHANGE);
                }
                Declaration::Queue(declaration) => {
                    let own = named(&declaration.name);
                    self.fallback(own, &declaration.arguments, queue::DEAD_LETTER_EXCHANGE);
                }
                Declaration::Binding(binding) => {
                    self.write.insert(match &binding.destination {
                        Destination::Queue(name) => named(name),
                        Destination::Exchange(name) => escape(name),
                    });
                    self.read.insert(exchange(&binding.source));
                }
            }
        }
    }

    /// Messages leave `own` for the exchange in that argument, on the declaring user's authority.
    fn fallback(&mut self, own: String, arguments: &Table, argument: &str) {
        if let Some(target) = arguments.text(argument) {
            self.read.insert(own);
            self.write.insert(exchange(target));
        }
    }

    /// Consumers declare their own queues under every `declare`.
    fn private(&mut self, plan: &Plan) {
        for own in plan.connection.values() {
            self.declaring(own);
        }
    }
}

fn exchange(name: &str) -> String {
    escape(if name.is_empty() { DEFAULT_EXCHANGE } else { name })
}

fn named(queue: &str) -> String {
    if queue.is_empty() { SERVER_NAMED.to_owned() } else { escape(queue) }
}

fn escape(name: &str) -> String {
    let special = |c: char| r"\.^$|?*+()[]{}".contains(c);
    name.chars().fold(String::with_capacity(name.len()), |mut escaped, c| {
        if special(c) {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

/// Matches exactly one of them; `^$` is RabbitMQ's own word for nothing.
fn any_of(patterns: &BTreeSet<String>) -> String {
    let all: Vec<&str> = patterns.iter().map(String::as_str).collect();
    if all.is_empty() { "^$".to_owned() } else { format!("^({})$", all.join("|")) }
}
