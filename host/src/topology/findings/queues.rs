//! What a broker of some version refuses or does otherwise, and what can go wrong between a queue and
//! its pipeline. What holds for a queue by itself is said where the config is read.

use super::{Finding, Severity};
use crate::broker::Version;
use crate::config::{Broker, BrokerKind, Config, DeadLetter, Declare, Pipeline, Queue, QueueKind};
use crate::topology::{is_private, queue_of};

pub(super) fn check(
    config: &Config,
    broker: &str,
    settings: &Broker,
    version: Option<Version>,
    found: &mut Vec<Finding>,
) {
    let rabbit = matches!(settings.kind, BrokerKind::Amqp(_));
    for queue in config.queues.iter().filter(|queue| queue.broker == broker) {
        let mut about = About { place: format!("queue '{}'", queue.name), version, found };
        match queue.kind {
            QueueKind::Classic if rabbit => about.classic(queue),
            QueueKind::Quorum if rabbit => about.quorum(queue, settings.declare),
            QueueKind::Classic | QueueKind::Quorum | QueueKind::Stream => {}
        }
        if rabbit {
            about.warn_if(
                queue.bind.iter().any(|binding| binding.filter.is_some()),
                "through RabbitMQ's MQTT plugin a queue gets no retained messages, QoS 2 as QoS 1, no \
                 headers of MQTT 5 before RabbitMQ 3.13, and a dot in a topic as a slash; where one of \
                 these matters, consume from a broker at mqtt://",
            );
            about.needs_version(config, queue);
        }
        if queue.session.is_none() {
            about.any_kind(config, queue);
        }
    }
    for pipeline in config.pipelines.iter().filter(|pipeline| pipeline.broker == broker) {
        let mut about = About { place: format!("pipeline '{}'", pipeline.name), version, found };
        if let Some(queue) = queue_of(config, pipeline) {
            about.pipeline(pipeline, queue);
        }
    }
}

/// The pipelines that consume the queue.
fn consumers<'a>(config: &'a Config, queue: &Queue) -> impl Iterator<Item = &'a Pipeline> {
    let (name, broker) = (queue.name.clone(), queue.broker.clone());
    config.pipelines.iter().filter(move |p| p.queue == name && p.broker == broker)
}

/// Whether delay queues of its kind stand beside it.
fn is_retried(config: &Config, queue: &Queue) -> bool {
    !is_private(queue) && consumers(config, queue).any(|p| !p.retry.rungs_used().is_empty())
}

/// One object, and what is found about it.
struct About<'a> {
    place: String,
    version: Option<Version>,
    found: &'a mut Vec<Finding>,
}

impl About<'_> {
    fn say(&mut self, severity: Severity, text: impl Into<String>) {
        self.found.push(Finding::new(severity, self.place.as_str(), text));
    }

    fn warn_if(&mut self, unwise: bool, text: &str) {
        if unwise {
            self.say(Severity::Warning, text);
        }
    }

    /// Whether the broker is known to be older.
    fn older_than(&self, major: u16, minor: u16) -> bool {
        self.version.is_some_and(|version| (version.major, version.minor) < (major, minor))
    }

    /// Whether the broker is known to be that new.
    fn is_at_least(&self, major: u16, minor: u16) -> bool {
        self.version.is_some_and(|version| (version.major, version.minor) >= (major, minor))
    }

    fn classic(&mut self, queue: &Queue) {
        if matches!(&queue.dead_letter, DeadLetter::To(target) if target.nack) {
            self.say(
                Severity::Note,
                "a classic queue hands over its dead letters at most once: one may be lost if the \
                 broker dies in that moment; a quorum queue with strategy = \"at-least-once\" loses \
                 none",
            );
        }
        self.warn_if(
            !queue.durable && !queue.exclusive && !queue.server_named,
            "a queue that is neither durable nor exclusive is deprecated, and a newer RabbitMQ may \
             refuse it; set durable = true or exclusive = true",
        );
    }

    fn quorum(&mut self, queue: &Queue, declare: Declare) {
        if let DeadLetter::To(target) = &queue.dead_letter {
            if !target.at_least_once {
                self.say(
                    Severity::Note,
                    "its dead letters are handed over at most once; strategy = \"at-least-once\" in \
                     dead_letter loses none",
                );
            } else if queue.max_length.is_none() && queue.max_bytes.is_none() {
                self.say(
                    Severity::Note,
                    "dead letters that can't be handed over are kept in the queue; max_length or \
                     max_bytes bounds how many",
                );
            }
        }
        if queue.max_priority.is_some() {
            self.quorum_priorities();
        }
        if declare == Declare::None && !self.older_than(4, 0) {
            self.say(
                Severity::Note,
                "with declare = \"none\" its delivery limit is the broker's: from RabbitMQ 4.0 on a \
                 queue without one gives up a message after 20 deliveries, which a few restarts of \
                 the host can use up; declare it with x-delivery-limit",
            );
        }
    }

    fn quorum_priorities(&mut self) {
        if self.older_than(4, 0) {
            self.say(
                Severity::Error,
                "quorum queues of this RabbitMQ have no priorities and the broker refuses \
                 x-max-priority; set kind = \"classic\", or use one queue per priority",
            );
        } else if self.is_at_least(4, 3) {
            self.say(
                Severity::Note,
                "quorum queues of this RabbitMQ have 32 priorities whatever max_priority says; \
                 take it out",
            );
        } else if self.version.is_some() {
            self.say(
                Severity::Warning,
                "quorum queues of this RabbitMQ have two priorities, up to 4 and above, served 2 \
                 to 1, and need no max_priority: take it out, or set kind = \"classic\"",
            );
        }
    }

    fn needs_version(&mut self, config: &Config, queue: &Queue) {
        let at_least_once =
            matches!(&queue.dead_letter, DeadLetter::To(target) if target.at_least_once);
        let quorum = queue.kind == QueueKind::Quorum;
        let wants = [
            (queue.kind == QueueKind::Stream, 3, 9, "streams"),
            (quorum, 3, 8, "quorum queues"),
            (quorum && queue.message_ttl.is_some(), 3, 10, "message_ttl on a quorum queue"),
            (quorum && at_least_once, 3, 10, "at-least-once dead-lettering"),
            (quorum && is_retried(config, queue), 3, 10, "retrying from a quorum queue"),
            (queue.single_active_consumer, 3, 8, "single_active_consumer"),
        ];
        for (wanted, major, minor, what) in wants {
            if let Some(version) = self.version
                && wanted
                && self.older_than(major, minor)
            {
                let text = format!(
                    "{what} needs RabbitMQ {major}.{minor}; this broker is {version}. Upgrade it, or \
                     take this out"
                );
                self.say(Severity::Error, text);
            }
        }
    }

    fn any_kind(&mut self, config: &Config, queue: &Queue) {
        self.warn_if(
            is_private(queue) && consumers(config, queue).next().is_none(),
            "it belongs to its consumer, and no pipeline consumes it, so it is never declared; \
             name it in a pipeline or take exclusive and server_named out",
        );
        for binding in queue.bind.iter().filter(|_| queue.durable) {
            let source = config
                .exchanges
                .iter()
                .find(|e| e.broker == queue.broker && e.name == binding.exchange);
            if source.is_some_and(|exchange| !exchange.durable) {
                let text = format!(
                    "exchange '{}' isn't durable, so its binding to this durable queue goes with a \
                     restart of the broker; set durable = true there",
                    binding.exchange
                );
                self.say(Severity::Warning, text);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, queue: &Queue) {
        let retries = !pipeline.retry.rungs_used().is_empty();
        self.warn_if(
            retries && is_private(queue) && queue.session.is_none(),
            "its queue goes with its consumer, so a delayed message couldn't find its way back: \
             what asks for a retry is dead-lettered at once; use a shared queue to retry, or set \
             max_attempts = 1 under retry to say so",
        );
        self.warn_if(
            retries && !is_private(queue) && (queue.auto_delete || queue.expires.is_some()),
            "its queue may be deleted while retried messages wait to come back to it, and then they \
             are lost; take auto_delete and expires out of the queue, or retry nothing",
        );
    }
}
