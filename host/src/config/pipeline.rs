//! `[[pipeline]]`: a queue's way through plugins.

mod rate;
mod retry;
mod shards;

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use super::exchange::short;
use super::record;
use super::section::{Item, Section};
use super::table;
use super::{
    BatchLimits, ContentType, IdSource, IdWindow, KeySource, KindSource, Output, Pipeline, Stage,
    Unroutable, When,
};
use crate::limits;

const KIND_REMEDY: &str =
    "write `type = \"event\"`, or `type = { topic_level = 3 }` (of MQTT, from 0)";
const KEY_REMEDY: &str = "write `key = { header = \"NAME\" }`, `{ routing_key = 1 }` (a word of it, \
                          from 0), `{ routing_key = true }`, `{ topic_level = 1 }` (of MQTT, from 0) \
                          or `{ field = \"NAME\" }`";

const ID_REMEDY: &str = "write `id = \"property\"`, \"hash\", \"none\", `{ header = \"NAME\" }` or \
                         `{ fields = [\"NAME\", …] }`";

/// Reads one pipeline. `broker` is where its queue is unless it says otherwise; empty is where the
/// queue is found.
pub(super) fn read(section: Section<'_>) -> Option<Pipeline> {
    let name = section.required_text("name", "give the pipeline a `name`; metrics carry it");
    if let Some(name) = &name {
        short(&section, "name", name);
    }
    let queue = section.required_text("queue", "name the queue that it consumes");
    refuse_no_ack(&section);
    let (key, key_required) =
        section.section("key").map_or((None, false), |section| read_key(section));
    let prefetch = read_prefetch(&section);
    let pipeline = Pipeline {
        name: name.clone().unwrap_or_default(),
        queue: queue.unwrap_or_default(),
        broker: section.text("broker").unwrap_or_default(),
        key,
        key_required,
        content_type: read_content_type(&section),
        kind: section.item("type").and_then(|item| read_kind(&item)),
        id: section.item("id").and_then(|item| read_id(&item)).unwrap_or(IdSource::Property),
        id_window: read_id_window(section.section("id_window")),
        state_ttl: section.duration("state_ttl", limits::STATE_TTL_MIN..=limits::HOST_DURATION_MAX),
        stages: read_stages(&section),
        outputs: read_outputs(&section),
        prefetch,
        rate: rate::read(&section),
        shards: shards::read(&section),
        batch: read_batch(section.section("batch")),
        exclusive: section.flag("exclusive", false),
        retry: retry::read(section.section("retry"), prefetch),
        record: record::read(section.section("record")),
    };
    section.finish();
    name.map(|_| pipeline)
}

fn read_content_type(section: &Section<'_>) -> Option<ContentType> {
    let text = section.text("content_type")?;
    if text.is_empty() || text.len() > limits::SHORT_STRING_BYTES {
        let message = "a content type has 1 to 255 bytes";
        let remedy = "write `content_type = \"application/json\"`";
        section.notes.error(&section.at("content_type"), message, remedy);
        return None;
    }
    Some(if text == "detect" { ContentType::Detected } else { ContentType::Is(text) })
}

fn read_kind(item: &Item<'_>) -> Option<KindSource> {
    match item.value {
        DeValue::String(text) if (1..=limits::SHORT_STRING_BYTES).contains(&text.len()) => {
            Some(KindSource::Is(text.to_string()))
        }
        DeValue::Table(_) => {
            let section = item.section()?;
            section.exactly_one(&["topic_level"], KIND_REMEDY);
            let level = section.number("topic_level", 0..=limits::MQTT_STRING_BYTES);
            section.finish();
            level.map(KindSource::TopicLevel)
        }
        _ => {
            item.expected("a text of 1 to 255 bytes or a table", KIND_REMEDY);
            None
        }
    }
}

fn read_prefetch(section: &Section<'_>) -> u16 {
    let Some(item) = section.item("prefetch") else { return limits::PREFETCH };
    if matches!(item.value, DeValue::Integer(number) if number.as_str() == "0") {
        let message = "0 is no bound: the broker would send all that it has";
        let remedy =
            "write how many unacknowledged messages the pipeline may hold, from 1 to 65535";
        item.notes.error(&item.path, message, remedy);
        return limits::PREFETCH;
    }
    item.number(1..=u16::MAX).unwrap_or(limits::PREFETCH)
}

fn refuse_no_ack(section: &Section<'_>) {
    if section.has("no_ack") {
        section.item("no_ack");
        section.notes.wrong_key(
            &section.at("no_ack"),
            "`no_ack` loses messages: the broker forgets each one as it sends it, so nothing can be \
             retried, dead-lettered or held back",
            "take it out; acknowledgements are coalesced and cost little",
        );
    }
}

fn read_key(section: Section<'_>) -> (Option<KeySource>, bool) {
    let required = section.flag("required", false);
    let header = section.text("header").map(KeySource::Header);
    let field = section.text("field").map(KeySource::BodyField);
    let segment = section.item("routing_key").and_then(|item| match item.value {
        DeValue::Boolean(true) => Some(KeySource::RoutingKey),
        DeValue::Integer(_) => {
            item.number(0..=limits::SHORT_STRING_BYTES).map(KeySource::RoutingKeySegment)
        }
        _ => {
            item.expected("the position of a word, or true", KEY_REMEDY);
            None
        }
    });
    let level = section.number("topic_level", 0..=limits::MQTT_STRING_BYTES);
    let level = level.map(KeySource::TopicLevel);
    section.exactly_one(&["header", "routing_key", "field", "topic_level"], KEY_REMEDY);
    section.finish();
    (header.or(field).or(segment).or(level), required)
}

fn read_id(item: &Item<'_>) -> Option<IdSource> {
    match item.value {
        DeValue::String(text) => match text.as_ref() {
            "property" => Some(IdSource::Property),
            "hash" => Some(IdSource::Hash),
            "none" => Some(IdSource::None),
            _ => {
                item.notes.error(&item.path, "there is no such identity", ID_REMEDY);
                None
            }
        },
        DeValue::Table(_) => {
            let section = item.section()?;
            let header = section.text("header").map(IdSource::Header);
            let fields: Vec<String> =
                section.texts("fields").into_iter().map(|(_, field)| field).collect();
            section.exactly_one(&["header", "fields"], ID_REMEDY);
            if section.has("fields") && fields.is_empty() {
                section.notes.error(&section.at("fields"), "no field is named", ID_REMEDY);
            }
            section.finish();
            header.or((!fields.is_empty()).then_some(IdSource::BodyFields(fields)))
        }
        _ => {
            item.expected("a text or a table", ID_REMEDY);
            None
        }
    }
}

fn read_id_window(section: Option<Section<'_>>) -> IdWindow {
    let mut window = IdWindow { age: limits::IDENTITY_WINDOW, entries: limits::IDENTITY_ENTRIES };
    let Some(section) = section else { return window };
    let age = section.duration("age", Duration::from_secs(1)..=limits::HOST_DURATION_MAX);
    window.age = age.unwrap_or(window.age);
    let entries = section.number("entries", 1..=limits::IDENTITY_ENTRIES_MAX);
    window.entries = entries.unwrap_or(window.entries);
    section.finish();
    window
}

fn read_stages(section: &Section<'_>) -> Vec<Stage> {
    let remedy = "write `stages = [\"PLUGIN\", { plugin = \"PLUGIN\", when = { type = \"…\" } }]`";
    let Some(item) = section.item("stages") else {
        section.notes.missing(&section.at("stages"), remedy);
        return Vec::new();
    };
    let items = item.list("a list of plugins");
    if items.is_empty() && matches!(item.value, DeValue::Array(_)) {
        item.notes.error(&item.path, "there is no stage", remedy);
    }
    if items.len() > limits::PIPELINE_STAGES {
        let message = format!("{} stages are too many", items.len());
        item.notes.error(&item.path, message, format!("use at most {}", limits::PIPELINE_STAGES));
    }
    items.into_iter().filter_map(|item| read_stage(&item, remedy)).collect()
}

fn read_stage(item: &Item<'_>, remedy: &str) -> Option<Stage> {
    match item.value {
        DeValue::String(plugin) => {
            Some(Stage { plugin: plugin.to_string(), when: None, tables: Vec::new() })
        }
        DeValue::Table(_) => {
            let section = item.section()?;
            let plugin = section.required_text("plugin", remedy);
            let when = section.section("when").map(read_when);
            // A stage without its plugin keeps its place, so that positions stay those of the file.
            let mut stage = Stage { plugin: plugin.unwrap_or_default(), when, tables: Vec::new() };
            table::of_stage(&section, &mut stage);
            section.finish();
            Some(stage)
        }
        _ => {
            item.expected("a plugin's name, or a table", remedy);
            Some(Stage { plugin: String::new(), when: None, tables: Vec::new() })
        }
    }
}

fn read_when(section: Section<'_>) -> When {
    let header = section.item("header").and_then(|item| match item.value {
        DeValue::String(name) => Some((name.to_string(), None)),
        DeValue::Table(_) => {
            let section = item.section()?;
            let name = section.required_text("name", "name the header");
            let value = section.text("value").filter(|value| !value.is_empty());
            section.finish();
            Some((name?, value))
        }
        _ => {
            let remedy =
                "write `header = \"NAME\"`, or `header = { name = \"NAME\", value = \"TEXT\" }`";
            item.expected("a header's name, or a table", remedy);
            None
        }
    });
    let when =
        When { routing_key: section.text("routing_key"), header, kind: section.text("type") };
    if !["routing_key", "header", "type"].into_iter().any(|key| section.has(key)) {
        let remedy = "add `routing_key`, `header` or `type`, or take `when` out";
        section.notes.error(&section.path, "this condition asks for nothing", remedy);
    }
    section.finish();
    when
}

fn read_outputs(section: &Section<'_>) -> BTreeMap<String, Output> {
    let outputs = section.named("outputs").into_iter().filter_map(|(name, item)| {
        let section = item.section()?;
        let remedy = "name its exchange; \"\" is the default exchange, where the routing key names \
                      a queue";
        if !section.has("exchange") {
            section.notes.missing(&section.at("exchange"), remedy);
        }
        let exchange = section.text("exchange");
        let routing_key = section.text("routing_key");
        if let Some(key) = &routing_key {
            short(&section, "routing_key", key);
        }
        let words = [("fail", Unroutable::Fail), ("drop", Unroutable::Drop)];
        let unroutable = section.choice("unroutable", &words).unwrap_or(Unroutable::Fail);
        let broker = section.text("broker").unwrap_or_default();
        section.finish();
        Some((name, Output { broker, exchange: exchange?, routing_key, unroutable }))
    });
    outputs.collect()
}

fn read_batch(section: Option<Section<'_>>) -> BatchLimits {
    let mut batch = BatchLimits {
        messages: limits::BATCH_MESSAGES,
        least: limits::BATCH_LEAST,
        bytes: limits::BATCH_BYTES,
    };
    let Some(section) = section else { return batch };
    let messages = section.number("messages", 1..=limits::BATCH_MESSAGES_MAX);
    batch.messages = messages.unwrap_or(batch.messages);
    let least = section.number("least", 1..=batch.messages);
    batch.least = least.unwrap_or(batch.least.min(batch.messages));
    let bytes = section.size("bytes", 1..=limits::BATCH_BYTES_MAX);
    batch.bytes = bytes.and_then(|n| usize::try_from(n).ok()).unwrap_or(batch.bytes);
    section.finish();
    batch
}
