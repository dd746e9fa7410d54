//! What MQTT doesn't have, and what is lost where AMQP stands in for it.

use super::super::section::quote;
use super::super::{DeadLetter, Pipeline, Queue, RetryOrder};
use super::Check;
use crate::limits;
use crate::topic;

impl Check<'_> {
    /// Notes what a broker that speaks MQTT can't do, and what RabbitMQ's plugin loses.
    pub(super) fn mqtt(&self) {
        for (exchange, path) in self.exchanges_at() {
            if self.config.speaks_mqtt(&exchange.broker) {
                let message = "a broker that speaks MQTT has no exchanges";
                let remedy = "name another `broker`, or take this section out";
                self.notes.wrong_key(&format!("{path}.name"), message, remedy);
            }
        }
        for (queue, path) in self.config.queues.iter().zip(&self.origins.queues) {
            if queue.session.is_some() {
                self.session(queue, path);
            } else {
                self.plugin(queue, path);
            }
            self.letters(queue, path);
        }
        for (pipeline, path) in self.config.pipelines.iter().zip(&self.origins.pipelines) {
            self.by_mqtt(pipeline, path);
        }
    }

    fn session(&self, queue: &Queue, path: &str) {
        if queue.bind.len() > limits::MQTT_FILTERS {
            let message = format!("{} filters are too many for one session", queue.bind.len());
            let remedy = format!("use wildcards, or sessions; at most {}", limits::MQTT_FILTERS);
            self.notes.error(&format!("{path}.bind"), message, remedy);
        }
        for (index, binding) in queue.bind.iter().enumerate() {
            let at = format!("{path}.bind[{index}]");
            match &binding.filter {
                // One that is there and wrong is told of already.
                None if self.notes.has(&format!("{at}.mqtt")) => {}
                None => {
                    let message = "a broker that speaks MQTT has no exchanges to bind to";
                    let remedy = "write `{ mqtt = \"FILTER\" }`";
                    self.notes.error(&format!("{at}.exchange"), message, remedy);
                }
                Some(filter) if filter.qos == 0 => {
                    let message = "QoS 0 is acknowledged by nobody: what is on its way when a host or \
                                   a connection ends is lost";
                    let remedy =
                        "take `qos` out, which is 1 then, unless a lost message is no matter";
                    self.notes.warn(&format!("{at}.qos"), message, remedy);
                }
                Some(_) => {}
            }
        }
    }

    /// What the plugin loses on the way from topics to routing keys.
    fn plugin(&self, queue: &Queue, path: &str) {
        for (index, binding) in queue.bind.iter().enumerate() {
            let Some(filter) = &binding.filter else { continue };
            let key = format!("{path}.bind[{index}].mqtt");
            if topic::is_shared(&filter.filter) {
                let message =
                    "a queue is shared by all who consume it: `$share/…` means nothing here";
                self.notes.error(&key, message, "write the filter without it");
            }
            if filter.filter.contains('.') {
                let message = "RabbitMQ's MQTT plugin takes a dot in a topic for what separates levels: \
                               this filter takes topics with a slash there too";
                self.notes.warn(&key, message, "name levels without dots");
            }
            if self.notes.has(&format!("{path}.bind[{index}].qos")) {
                let message = "a queue has no QoS: what is published with 1 or 2 is persistent there, \
                               what is published with 0 isn't";
                self.notes.warn(&format!("{path}.bind[{index}].qos"), message, "take it out");
            }
        }
    }

    /// Where dead letters can't go.
    fn letters(&self, queue: &Queue, path: &str) {
        let key = format!("{path}.dead_letter");
        match (&queue.dead_letter, &queue.session) {
            (DeadLetter::Policy, Some(_)) => {
                let message = "a broker that speaks MQTT has no policies";
                let remedy = "name an exchange or a queue of another broker";
                self.notes.error(&key, message, remedy);
            }
            (DeadLetter::To(target), Some(_)) if self.config.speaks_mqtt(&target.broker) => {
                let message = "dead letters need exchange and queue, which MQTT has not";
                let remedy = "name another `broker` here";
                self.notes.error(&format!("{key}.broker"), message, remedy);
            }
            (DeadLetter::To(target), Some(_)) if target.broker.is_empty() => {
                let message = "dead letters of what comes by MQTT go to another broker, and it isn't \
                               clear to which";
                let remedy = "add `broker = \"NAME\"` here, of a RabbitMQ or the embedded broker";
                self.notes.error(&key, message, remedy);
            }
            (DeadLetter::To(target), None) if target.broker != queue.broker => {
                let message = "a queue's dead letters stay on its broker";
                let remedy = "take `broker` out here";
                self.notes.error(&format!("{key}.broker"), message, remedy);
            }
            _ => {}
        }
    }

    fn by_mqtt(&self, pipeline: &Pipeline, path: &str) {
        if !self.config.speaks_mqtt(&pipeline.broker) {
            return;
        }
        if self.config.speaks_mqtt(self.config.home_of(pipeline)) {
            let message = format!(
                "what pipeline '{}' reports of failures needs a broker with exchanges",
                quote(&pipeline.name)
            );
            let remedy = "add a RabbitMQ, or `[broker.local]` with `url = \"embedded:\"`";
            self.notes.error(path, message, remedy);
        }
        if self.notes.has(&format!("{path}.retry")) && pipeline.retry.order == RetryOrder::Free {
            let message = "MQTT has no queue that a message could wait in: what asks for a retry is \
                           dead-lettered at once";
            let remedy = "add `order = \"key\"`, with which it waits here and its key with it, or republish \
                          to a queue and retry there";
            self.notes.warn(&format!("{path}.retry"), message, remedy);
        }
    }
}
