//! A config file as a whole: text → sections → [`Config`], with everything that is wrong at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::de::DeTable;

use super::check::{self, Origins};
use super::notes::Notes;
use super::problem::{Problem, Severity, Warning};
use super::queue::{Catcher, Homes, QueueRead};
use super::section::Section;
use super::{
    Broker, BrokerKind, Config, Exchange, ExchangeKind, Notify, Plugin, Queue, broker, exchange,
    notify, pipeline, plugin, queue, service, state, table,
};
use crate::limits;

/// The broker that goes without saying, where there are several.
const MAIN: &str = "main";

/// Reads a config file.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of the file.
pub fn read(path: &Path) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
    parse(&load(path)?, path)
}

/// The text of a config file.
///
/// # Errors
/// One problem: it isn't there, is too large, or isn't text.
pub fn load(path: &Path) -> Result<String, Vec<Problem>> {
    let whole = |line: usize, message: String, remedy: &str| {
        vec![Problem {
            severity: Severity::Error,
            file: path.to_owned(),
            line,
            column: line.min(1),
            width: 1,
            key: String::new(),
            message,
            remedy: remedy.to_owned(),
        }]
    };
    let unreadable = |error: std::io::Error| {
        let remedy = "name a config file with `-c FILE`";
        whole(0, format!("can't read this file: {error}"), remedy)
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(limits::CONFIG_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limits::CONFIG_FILE_BYTES {
        let message = format!("this file is larger than {} bytes", limits::CONFIG_FILE_BYTES);
        return Err(whole(0, message, "a config is text of a few pages"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
        whole(line, "this line isn't UTF-8".to_owned(), "save the file as UTF-8")
    })
}

/// Reads a config from text. `origin` is the file it came from: paths are relative to its folder.
///
/// # Errors
/// Everything that is wrong with it, warnings included, in the order of the text.
pub fn parse(text: &str, origin: &Path) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
    let (config, problems, _) = parse_with_keys(text, origin);
    match config {
        Some(config) => Ok((config, problems)),
        None => Err(problems),
    }
}

/// The config where there is no error, all problems, and the keys that readers know.
pub(super) fn parse_with_keys(
    text: &str,
    origin: &Path,
) -> (Option<Config>, Vec<Problem>, BTreeSet<String>) {
    let (root, syntax) = DeTable::parse_recoverable(text);
    let notes = Notes::new(origin, text, root.get_ref(), !syntax.is_empty());
    for error in &syntax {
        let message = format!("this isn't TOML: {}", error.message());
        notes.syntax(error.span(), message, "what else is wrong may show once this is mended");
    }
    let (config, origins) = read_root(Section::root(&notes, &root));
    if syntax.is_empty() {
        check::check(&config, &origins, &notes);
    }
    let (problems, known) = notes.finish();
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    ((!failed).then_some(config), problems, known)
}

fn read_root(root: Section<'_>) -> (Config, Origins) {
    let notes = root.notes;
    let mut brokers = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (name, item) in root.named("broker") {
        names.insert(name.clone());
        if let Some(broker) = item.section().and_then(broker::read) {
            brokers.insert(name, broker);
        }
    }
    if names.is_empty() && !notes.is_broken("broker") {
        notes.missing("broker", "add `[broker.main]` with `url = \"amqp://127.0.0.1:5672/%2f\"`");
    }
    let usual = usual(&names);
    let mut origins = Origins { brokers: names.clone(), ..Origins::default() };
    let mut exchanges = Vec::new();
    for section in root.sections("exchange") {
        let path = section.path.clone();
        if let Some(exchange) = exchange::read(section, usual) {
            exchanges.push(exchange);
            origins.exchanges.push(path);
        }
    }
    let homes = homes(&brokers, usual);
    let (mut queues, mut catchers) = (Vec::new(), Vec::new());
    for section in root.sections("queue") {
        let path = section.path.clone();
        if let Some(QueueRead { queue, catcher }) = queue::read(section, &homes) {
            catchers.extend(catcher.map(|catcher| (format!("{path}.dead_letter"), catcher)));
            queues.push(queue);
            origins.queues.push(path);
        }
    }
    for (path, catcher) in catchers {
        add_catcher(path, catcher, &mut exchanges, &mut queues, &mut origins, notes);
    }
    let plugins = read_plugins(&root, &mut origins);
    let tables = table::read_all(&root, &mut origins.tables);
    let mut pipelines = Vec::new();
    for section in root.sections("pipeline") {
        let path = section.path.clone();
        if let Some(mut pipeline) = pipeline::read(section) {
            settle_brokers(&mut pipeline, &queues, &homes);
            pipelines.push(pipeline);
            origins.pipelines.push(path);
        }
    }
    let notify = read_rules(&root, usual, &mut origins);
    let failures = service::read_failures(root.section("failures"));
    let state = state::read(root.section("state"));
    let service = service::read(root.section("service"));
    place_quarantines(&mut brokers, &service.state_dir);
    root.finish();
    let config = Config {
        brokers,
        exchanges,
        queues,
        plugins,
        tables,
        pipelines,
        failures,
        notify,
        state,
        service,
    };
    (config, origins)
}

/// The broker that goes without saying.
fn usual(names: &BTreeSet<String>) -> Option<&str> {
    match names.len() {
        // Where there is none, that is the one problem.
        0 => Some(MAIN),
        1 => names.first().map(String::as_str),
        _ => names.get(MAIN).map(String::as_str),
    }
}

/// Each broker that speaks MQTT has a folder for what it can't take in.
fn place_quarantines(brokers: &mut BTreeMap<String, Broker>, state_dir: &Path) {
    for (name, broker) in brokers {
        if let BrokerKind::Mqtt(mqtt) = &mut broker.kind {
            mqtt.quarantine.dir = state_dir.join(limits::QUARANTINE).join(name);
        }
    }
}

/// Where queues and dead letters are that don't say it.
fn homes<'b>(brokers: &'b BTreeMap<String, Broker>, usual: Option<&'b str>) -> Homes<'b> {
    let speaks = |broker: &Broker| matches!(broker.kind, BrokerKind::Mqtt(_));
    let of_kind = |mqtt: bool| {
        let named = brokers.iter().filter(move |(_, broker)| speaks(broker) == mqtt);
        named.map(|(name, _)| name.as_str())
    };
    let letters = match of_kind(false).collect::<Vec<_>>().as_slice() {
        [only] => Some(*only),
        several => several.iter().copied().find(|name| *name == MAIN),
    };
    Homes { usual, mqtt: of_kind(true).collect(), letters }
}

fn read_plugins(root: &Section<'_>, origins: &mut Origins) -> BTreeMap<String, Plugin> {
    let mut plugins = BTreeMap::new();
    for section in root.sections("plugin") {
        let path = section.path.clone();
        let Some(plugin) = plugin::read(section) else { continue };
        if let Some((first, _)) = origins.plugins.iter().find(|(_, name)| *name == plugin.name) {
            let message = format!("a plugin named '{}' is there already: {first}", plugin.name);
            root.notes.error(
                &format!("{path}.name"),
                message,
                "give each plugin a name of its own",
            );
        }
        origins.plugins.push((path, plugin.name.clone()));
        plugins.entry(plugin.name.clone()).or_insert(plugin);
    }
    plugins
}

fn read_rules(root: &Section<'_>, usual: Option<&str>, origins: &mut Origins) -> Vec<Notify> {
    let mut rules = Vec::new();
    for section in root.sections("notify") {
        let path = section.path.clone();
        if let Some(rule) = notify::read(section, usual) {
            rules.push(rule);
            origins.notify.push(path);
        }
    }
    rules
}

/// A pipeline is where its queue is, and an output where its pipeline is, unless they say otherwise; or
/// where there are exchanges, if the pipeline's messages come by MQTT.
fn settle_brokers(pipeline: &mut super::Pipeline, queues: &[Queue], homes: &Homes<'_>) {
    let usual = homes.usual;
    if pipeline.broker.is_empty() {
        let mut found = queues.iter().filter(|queue| queue.name == pipeline.queue);
        // The usual broker wins where two have a queue of that name.
        let broker = found
            .clone()
            .find(|queue| Some(queue.broker.as_str()) == usual)
            .or_else(|| found.next())
            .map(|queue| queue.broker.as_str());
        pipeline.broker = broker.or(usual).unwrap_or_default().to_owned();
    }
    let by_mqtt = homes.mqtt.contains(pipeline.broker.as_str());
    let elsewhere = homes.letters.filter(|_| by_mqtt);
    for output in pipeline.outputs.values_mut() {
        if output.broker.is_empty() {
            elsewhere.unwrap_or(&pipeline.broker).clone_into(&mut output.broker);
        }
    }
}

/// Adds what a `dead_letter` brings along, unless it is declared elsewhere; there the binding is
/// added where the queue has none to that exchange.
fn add_catcher(
    path: String,
    Catcher { exchange, mut queue, archive }: Catcher,
    exchanges: &mut Vec<Exchange>,
    queues: &mut Vec<Queue>,
    origins: &mut Origins,
    notes: &Notes,
) {
    if let Some(exchange) = exchange {
        let declared =
            exchanges.iter().find(|e| e.name == exchange.name && e.broker == exchange.broker);
        let kind = declared.map_or(exchange.kind, |declared| declared.kind);
        if kind == ExchangeKind::Topic || exchange.name == "amq.topic" {
            // Who declares a topic exchange elsewhere means all that comes to it, as with any other.
            for binding in queue.bind.iter_mut().filter(|binding| binding.key.is_empty()) {
                "#".clone_into(&mut binding.key);
            }
        }
        if declared.is_none() && !exchange.name.starts_with("amq.") {
            exchanges.push(exchange);
            origins.exchanges.push(path.clone());
        }
    }
    let there = queues.iter().position(|q| q.name == queue.name && q.broker == queue.broker);
    if let Some(archive) = archive {
        match there {
            None => {
                queues.push(archive);
                origins.queues.push(path.clone());
            }
            Some(there) if queues[there].dead_letter != queue.dead_letter => {
                let message = format!("queue '{}' is declared elsewhere, without it", queue.name);
                let remedy = "say it where the queue is first named, with its limits";
                notes.error(&format!("{path}.past_limit"), message, remedy);
            }
            Some(_) => {}
        }
    }
    let Some(there) = there else {
        queues.push(queue);
        origins.queues.push(path);
        return;
    };
    let declared = !origins.queues[there].ends_with(".dead_letter");
    for binding in queue.bind {
        let bound = queues[there]
            .bind
            .iter()
            .any(|b| b.exchange == binding.exchange && (declared || b.key == binding.key));
        if !bound {
            queues[there].bind.push(binding);
        }
    }
}
