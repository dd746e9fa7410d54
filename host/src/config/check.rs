//! What a config means as a whole: references, what a broker would refuse, what would lose messages.

mod dead_letter;
mod mqtt;
mod notify;
mod pipeline;
mod queue;

use std::collections::{BTreeMap, BTreeSet};

use super::notes::Notes;
use super::section::{closest, quote};
use super::{Binding, Config, Exchange, ExchangeKind};
use crate::limits;

/// Where the parts of a config came from, as key paths, in the order of the config's own lists.
#[derive(Default)]
pub(super) struct Origins {
    /// Names of all brokers, those that couldn't be read included.
    pub(super) brokers: BTreeSet<String>,
    /// Of exchanges; one that a `dead_letter` brought along has that key's path.
    pub(super) exchanges: Vec<String>,
    /// Of queues, likewise.
    pub(super) queues: Vec<String>,
    /// Names of all tables, those that couldn't be read included.
    pub(super) tables: BTreeSet<String>,
    /// Of plugins, with their names.
    pub(super) plugins: Vec<(String, String)>,
    /// Of pipelines.
    pub(super) pipelines: Vec<String>,
    /// Of notification rules.
    pub(super) notify: Vec<String>,
}

/// A config with the places that it came from, and where to note what is wrong.
struct Check<'c> {
    config: &'c Config,
    origins: &'c Origins,
    notes: &'c Notes,
}

/// Notes everything that is wrong between the parts of a config.
pub(super) fn check(config: &Config, origins: &Origins, notes: &Notes) {
    let check = Check { config, origins, notes };
    check.names();
    check.exchanges();
    // Before queues: a dead letter that is found wrong there can still be caught by nothing.
    check.dead_letters();
    check.queues();
    check.mqtt();
    check.pipelines();
    check.notify();
}

// === impl Check ===

impl<'c> Check<'c> {
    /// Exchanges with their key paths.
    fn exchanges_at(&self) -> impl Iterator<Item = (&'c Exchange, &'c str)> {
        self.config.exchanges.iter().zip(self.origins.exchanges.iter().map(String::as_str))
    }

    /// The exchange of that name, where the config has it.
    fn exchange(&self, broker: &str, name: &str) -> Option<(&'c Exchange, &'c str)> {
        self.exchanges_at().find(|(e, _)| e.name == name && e.broker == broker)
    }

    fn names(&self) {
        let exchanges = self.exchanges_at().map(|(e, path)| (path, &e.broker, &e.name));
        self.duplicates("an exchange", "exchange", exchanges);
        let queues = self.config.queues.iter().zip(&self.origins.queues);
        let queues = queues.map(|(q, path)| (path.as_str(), &q.broker, &q.name));
        self.duplicates("a queue", "queue", queues);
        let nowhere = String::new();
        let pipelines = self.config.pipelines.iter().zip(&self.origins.pipelines);
        let pipelines = pipelines.map(|(p, path)| (path.as_str(), &nowhere, &p.name));
        self.duplicates("a pipeline", "pipeline", pipelines);
        for (path, broker) in self.brokers_named() {
            if !self.origins.brokers.contains(broker) && !broker.is_empty() {
                let names = self.origins.brokers.iter().map(String::as_str);
                let remedy = suggest(broker, names, "add `[broker.NAME]`");
                let message = format!("there is no broker named '{}'", quote(broker));
                self.notes.error(&path, message, remedy);
            }
        }
    }

    /// Every place that names a broker.
    fn brokers_named(&self) -> Vec<(String, &'c String)> {
        let at = |path: &str| format!("{path}.broker");
        let config = self.config;
        let origins = self.origins;
        let exchanges = config.exchanges.iter().map(|e| &e.broker).zip(&origins.exchanges);
        let queues = config.queues.iter().map(|q| &q.broker).zip(&origins.queues);
        let mut named: Vec<(String, &String)> = exchanges
            .chain(queues)
            .filter(|(_, path)| self.notes.has(&at(path)))
            .map(|(broker, path)| (at(path), broker))
            .collect();
        for (pipeline, path) in config.pipelines.iter().zip(&origins.pipelines) {
            if self.notes.has(&at(path)) {
                named.push((at(path), &pipeline.broker));
            }
            for (name, output) in &pipeline.outputs {
                let path = at(&super::notes::child(&format!("{path}.outputs"), name));
                if self.notes.has(&path) {
                    named.push((path, &output.broker));
                }
            }
        }
        named
    }

    fn duplicates<'n>(
        &self,
        what: &str,
        section: &str,
        named: impl Iterator<Item = (&'n str, &'n String, &'n String)>,
    ) {
        let mut first: BTreeMap<(&String, &String), &str> = BTreeMap::new();
        for (path, broker, name) in named {
            match first.get(&(broker, name)) {
                None => drop(first.insert((broker, name), path)),
                Some(there) => {
                    let line = self.notes.line(there);
                    let message = format!("{what} named '{}' is there already", quote(name));
                    let remedy =
                        format!("see line {line}; give each [[{section}]] a name of its own");
                    self.notes.error(&format!("{path}.name"), message, remedy);
                }
            }
        }
    }

    fn exchanges(&self) {
        for (exchange, path) in self.exchanges_at() {
            if exchange.name.starts_with("amq.") {
                let message = "names that start with `amq.` are the broker's own";
                let remedy = "take this section out: they are always there, and may be referred to";
                self.notes.error(&format!("{path}.name"), message, remedy);
            }
            if [limits::RETURN_EXCHANGE, limits::REPLAY_EXCHANGE].contains(&exchange.name.as_str())
            {
                let message = "the host declares this exchange, and trusts what comes from it";
                let remedy = "take this section out, or give your exchange another name";
                self.notes.error(&format!("{path}.name"), message, remedy);
            }
            if let Some(alternate) = &exchange.alternate {
                let key = format!("{path}.alternate");
                self.exchange_exists(&exchange.broker, alternate, &key);
                if *alternate == exchange.name {
                    let message = "an exchange can't be its own alternate";
                    self.notes.error(&key, message, "name another one");
                }
            }
            self.bindings(&exchange.broker, &exchange.bind, path);
        }
    }

    /// Notes bindings to exchanges that aren't there, or that won't match as they look.
    fn bindings(&self, broker: &str, bindings: &[Binding], path: &str) {
        for (index, binding) in bindings.iter().enumerate() {
            let key = format!("{path}.bind[{index}]");
            if !self.notes.has(&key) {
                // Brought along by a `dead_letter`, whose exchange was added with it.
                continue;
            }
            self.exchange_exists(broker, &binding.exchange, &format!("{key}.exchange"));
            let Some(kind) = self.kind_of(broker, &binding.exchange) else { continue };
            let headers = !binding.arguments.is_empty();
            let (word, message, remedy) = match kind {
                ExchangeKind::Direct if binding.key.split('.').any(|w| matches!(w, "*" | "#")) => (
                    "key",
                    "a direct exchange takes `*` and `#` literally",
                    "use a topic exchange for patterns",
                ),
                ExchangeKind::Headers if !binding.key.is_empty() => (
                    "key",
                    "a headers exchange doesn't look at the routing key",
                    "take `key` out, and match by `headers`",
                ),
                ExchangeKind::Direct | ExchangeKind::Topic | ExchangeKind::Fanout if headers => (
                    "headers",
                    "only a headers exchange looks at `headers` and `match`",
                    "use a headers exchange, or take them out",
                ),
                _ => continue,
            };
            self.notes.warn(&format!("{key}.{word}"), message, remedy);
        }
    }

    /// Notes an exchange that neither the config nor every broker has.
    fn exchange_exists(&self, broker: &str, name: &str, key: &str) {
        if self.kind_of(broker, name).is_some() || self.notes.is_broken(key) {
            return;
        }
        let message = format!("exchange '{}' isn't declared", quote(name));
        let known = self.exchanges_at().filter(|(e, _)| e.broker == broker);
        let remedy = suggest(
            name,
            known.map(|(e, _)| e.name.as_str()),
            &format!(
                "add `[[exchange]]` with `name = \"{}\"`; with `declare = \"none\"` it is still \
                 listed, and not created",
                quote(name)
            ),
        );
        self.notes.error(key, message, remedy);
    }

    /// How an exchange routes: one of the config, of the host, or of every broker.
    fn kind_of(&self, broker: &str, name: &str) -> Option<ExchangeKind> {
        if let Some((exchange, _)) = self.exchange(broker, name) {
            return Some(exchange.kind);
        }
        match name {
            "" | "amq.direct" => Some(ExchangeKind::Direct),
            "amq.fanout" => Some(ExchangeKind::Fanout),
            "amq.topic" | "amq.rabbitmq.trace" => Some(ExchangeKind::Topic),
            "amq.headers" | "amq.match" => Some(ExchangeKind::Headers),
            _ if name == self.config.failures.exchange => Some(ExchangeKind::Topic),
            _ => None,
        }
    }
}

/// A remedy: the name that was probably meant, or else something to do.
fn suggest<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>, otherwise: &str) -> String {
    match closest(typed, names) {
        Some(near) => format!("did you mean '{near}'?"),
        None => otherwise.to_owned(),
    }
}
