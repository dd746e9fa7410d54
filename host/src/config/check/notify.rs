//! What notification rules refer to.

use std::collections::BTreeMap;

use super::super::Notify;
use super::super::section::quote;
use super::{Check, suggest};

impl Check<'_> {
    /// Notes rules whose exchange isn't there, or that ask for what the config doesn't have.
    pub(super) fn notify(&self) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (rule, path) in self.config.notify.iter().zip(&self.origins.notify) {
            if let Some(there) = seen.insert(&rule.name, path) {
                let message = format!("a rule named '{}' is there already", quote(&rule.name));
                let remedy =
                    format!("see line {}; give each a name of its own", self.notes.line(there));
                self.notes.error(&format!("{path}.name"), message, remedy);
            }
            self.told_exchange(rule, path);
            let pipelines = self.config.pipelines.iter().map(|it| it.name.as_str());
            self.known(path, "pipeline", &rule.about.pipelines, pipelines);
            let plugins = self.origins.plugins.iter().map(|(_, name)| name.as_str());
            self.known(path, "plugin", &rule.about.plugins, plugins);
            let queues = self.config.queues.iter().map(|it| it.name.as_str());
            self.known(path, "queue", &rule.about.queues, queues);
            if rule.after > rule.cool_down && self.notes.has(&format!("{path}.after")) {
                let message = "a condition would be told again before it is told first";
                let remedy = "write a longer `cool_down`, or a shorter `after`";
                self.notes.error(&format!("{path}.after"), message, remedy);
            }
        }
    }

    fn told_exchange(&self, rule: &Notify, path: &str) {
        let Some(target) = &rule.exchange else { return };
        let broker_key = format!("{path}.broker");
        if !self.origins.brokers.contains(&target.broker) {
            if self.notes.has(&broker_key) && !target.broker.is_empty() {
                let names = self.origins.brokers.iter().map(String::as_str);
                let message = format!("there is no broker named '{}'", quote(&target.broker));
                let remedy = suggest(&target.broker, names, "add `[broker.NAME]`");
                self.notes.error(&broker_key, message, remedy);
            }
            return;
        }
        let key = format!("{path}.exchange");
        self.exchange_exists(&target.broker, &target.name, &key);
        if self.exchange(&target.broker, &target.name).is_some_and(|(e, _)| e.internal) {
            let remedy = "take `internal` out of the exchange, or name another one";
            self.notes.error(&key, "an internal exchange takes no publishes", remedy);
        }
        let consumed = |queue: &str| {
            self.config.pipelines.iter().any(|p| p.queue == queue && p.broker == target.broker)
        };
        let fed = self.config.queues.iter().find(|queue| {
            queue.broker == target.broker
                && consumed(&queue.name)
                && queue.bind.iter().any(|binding| binding.exchange == target.name)
        });
        if let Some(queue) = fed {
            let message = format!(
                "queue '{}' gets what is told here, and a pipeline consumes it: a failure there would \
                 be told there",
                quote(&queue.name)
            );
            self.notes.warn(&key, message, "publish to an exchange that no pipeline listens to");
        }
    }

    /// Notes names that the config doesn't have.
    fn known<'n>(
        &self,
        path: &str,
        what: &str,
        named: &[String],
        there: impl Iterator<Item = &'n str> + Clone,
    ) {
        for (index, name) in named.iter().enumerate() {
            if there.clone().any(|it| it == name) {
                continue;
            }
            let item = format!("{path}.{what}[{index}]");
            let key = if self.notes.has(&item) { item } else { format!("{path}.{what}") };
            let message = format!("there is no {what} named '{}'", quote(name));
            let remedy = suggest(name, there.clone(), &format!("add `[[{what}]]`"));
            self.notes.error(&key, message, remedy);
        }
    }
}
