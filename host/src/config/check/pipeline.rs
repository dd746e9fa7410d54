//! What pipelines refer to, and what wouldn't work about them.

use std::collections::BTreeSet;

use super::super::notes::child;
use super::super::section::quote;
use super::super::{Pipeline, Queue, QueueKind, RetryOrder};
use super::{Check, suggest};
use crate::limits;

impl Check<'_> {
    /// Notes pipelines whose queue, plugins or outputs aren't there or don't fit.
    pub(super) fn pipelines(&self) {
        for (index, (pipeline, path)) in
            self.config.pipelines.iter().zip(&self.origins.pipelines).enumerate()
        {
            self.source(pipeline, path);
            self.stages(pipeline, path);
            self.tables(pipeline, path);
            self.outputs(pipeline, path);
            self.rivals(index, pipeline, path);
            self.retry(pipeline, path);
        }
        self.unused_plugins();
    }

    fn source(&self, pipeline: &Pipeline, path: &str) {
        let key = format!("{path}.queue");
        let there =
            |queue: &&Queue| queue.name == pipeline.queue && queue.broker == pipeline.broker;
        let Some(queue) = self.config.queues.iter().find(there) else {
            if !pipeline.queue.is_empty() && self.origins.brokers.contains(&pipeline.broker) {
                let known = self.config.queues.iter().filter(|q| q.broker == pipeline.broker);
                let name = quote(&pipeline.queue);
                let otherwise = format!("add `[[queue]]` with `name = \"{name}\"`");
                let remedy = suggest(&pipeline.queue, known.map(|q| q.name.as_str()), &otherwise);
                self.notes.error(&key, format!("there is no queue named '{name}'"), remedy);
            }
            return;
        };
        if queue.kind == QueueKind::Stream {
            let message = "a stream can't be consumed: it has no acknowledgement that takes a message \
                           off, so nothing can be settled, retried or dead-lettered";
            let remedy = "bind a quorum queue to the same exchange and consume that one";
            self.notes.error(&key, message, remedy);
        }
        if queue.max_priority.is_some() && pipeline.prefetch > limits::PRIORITY_PREFETCH_WARN {
            let message = format!(
                "prefetch defeats priorities: up to {} messages are here already, and what is \
                 urgent can overtake only what is still on the broker",
                pipeline.prefetch
            );
            let at = format!("{path}.prefetch");
            let remedy = format!("write `prefetch = {}` or less", limits::PRIORITY_PREFETCH_WARN);
            self.notes.warn(&at, message, remedy);
        }
        if pipeline.exclusive && queue.single_active_consumer {
            let message =
                "the broker refuses an exclusive consumer on a queue with a single active one";
            let remedy = "take `exclusive` out: the queue sees to it, and a second host stands by";
            self.notes.error(&format!("{path}.exclusive"), message, remedy);
        }
    }

    fn stages(&self, pipeline: &Pipeline, path: &str) {
        let names = || self.origins.plugins.iter().map(|(_, name)| name.as_str());
        for (index, stage) in pipeline.stages.iter().enumerate() {
            if stage.plugin.is_empty() || names().any(|name| name == stage.plugin) {
                continue;
            }
            let table = format!("{path}.stages[{index}].plugin");
            let key =
                if self.notes.has(&table) { table } else { format!("{path}.stages[{index}]") };
            let name = quote(&stage.plugin);
            let otherwise = format!("add `[[plugin]]` with `name = \"{name}\"`");
            let remedy = suggest(&stage.plugin, names(), &otherwise);
            self.notes.error(&key, format!("there is no plugin named '{name}'"), remedy);
        }
    }

    fn tables(&self, pipeline: &Pipeline, path: &str) {
        let names = || self.origins.tables.iter().map(String::as_str);
        for (index, stage) in pipeline.stages.iter().enumerate() {
            let key = format!("{path}.stages[{index}].tables");
            for table in stage.tables.iter().filter(|table| !self.origins.tables.contains(*table)) {
                let name = quote(table);
                let remedy = suggest(table, names(), &format!("add `[table.{name}]`"));
                self.notes.error(&key, format!("there is no table named '{name}'"), remedy);
            }
            if pipeline.key.is_none() && !stage.tables.is_empty() {
                let message = "rows are found by a message's key, and this pipeline has none";
                self.notes.error(&key, message, "add `key` to the pipeline, or take `tables` out");
            }
        }
    }

    fn outputs(&self, pipeline: &Pipeline, path: &str) {
        for (name, output) in &pipeline.outputs {
            let path = child(&format!("{path}.outputs"), name);
            if !self.origins.brokers.contains(&output.broker) {
                continue;
            }
            let key = format!("{path}.exchange");
            self.exchange_exists(&output.broker, &output.exchange, &key);
            if self.exchange(&output.broker, &output.exchange).is_some_and(|(e, _)| e.internal) {
                let message = "an internal exchange takes no publishes";
                let remedy = "take `internal` out of the exchange, or name another one";
                self.notes.error(&key, message, remedy);
            }
            let Some(target) = output.routing_key.as_deref().filter(|_| output.exchange.is_empty())
            else {
                continue;
            };
            let known = self.config.queues.iter().filter(|q| q.broker == output.broker);
            let mut names = known.map(|q| q.name.as_str());
            if !names.clone().any(|name| name == target) && !names.any(str::is_empty) {
                let message = format!("no queue named '{}' is declared", quote(target));
                let remedy = "through the default exchange the routing key names a queue: add it as \
                              `[[queue]]`";
                self.notes.error(&format!("{path}.routing_key"), message, remedy);
            }
        }
    }

    fn retry(&self, pipeline: &Pipeline, path: &str) {
        if pipeline.retry.order == RetryOrder::Key && pipeline.key.is_none() {
            let message = "there is no key whose order could be kept";
            let remedy = "add `key` to the pipeline, or take `order` out";
            self.notes.error(&format!("{path}.retry.order"), message, remedy);
        }
        let all = pipeline.retry.rungs_used().len();
        if all > limits::RETRY_RUNGS_MAX {
            let message = format!("{all} rungs in all are too many: each is a queue");
            let remedy =
                format!("let classes share rungs; use at most {}", limits::RETRY_RUNGS_MAX);
            self.notes.error(&format!("{path}.retry"), message, remedy);
        }
    }

    /// Two pipelines on one queue each get a part of its messages.
    fn rivals(&self, index: usize, pipeline: &Pipeline, path: &str) {
        let before = self.config.pipelines.iter().take(index);
        let rival = before
            .into_iter()
            .find(|other| other.queue == pipeline.queue && other.broker == pipeline.broker);
        let Some(rival) = rival.filter(|_| !pipeline.queue.is_empty()) else { return };
        let key = format!("{path}.queue");
        let name = quote(&rival.name);
        let remedy = "bind a queue for each, or put their stages into one pipeline";
        if rival.exclusive || pipeline.exclusive {
            let message =
                format!("pipeline '{name}' consumes this queue too, and one is exclusive");
            self.notes.error(&key, message, remedy);
        } else {
            let message = format!(
                "pipeline '{name}' consumes this queue too: each message goes to one of the two"
            );
            self.notes.warn(&key, message, remedy);
        }
    }

    fn unused_plugins(&self) {
        let stages = self.config.pipelines.iter().flat_map(|p| &p.stages);
        let used: BTreeSet<&str> = stages.map(|stage| stage.plugin.as_str()).collect();
        // A plugin that seems unused beside a mistyped stage is probably what was meant there.
        let mistyped = used.iter().any(|name| !self.config.plugins.contains_key(*name));
        for (path, name) in self.origins.plugins.iter().filter(|_| !mistyped) {
            if !used.contains(name.as_str()) {
                let message = format!("no pipeline uses plugin '{}'", quote(name));
                self.notes.warn(
                    &format!("{path}.name"),
                    message,
                    "use it in `stages`, or take it out",
                );
            }
        }
    }
}
