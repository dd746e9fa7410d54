//! `[[exchange]]`, and the bindings that exchanges and queues share.

use bytes::Bytes;
use toml::Spanned;
use toml::de::DeValue;

use super::section::{Item, Section};
use super::{Binding, Exchange, ExchangeKind, mqtt};
use crate::limits;
use crate::message::{FieldValue, Table};
use crate::topic;

/// The words for the kinds of exchange.
pub(super) const KINDS: [(&str, ExchangeKind); 4] = [
    ("direct", ExchangeKind::Direct),
    ("topic", ExchangeKind::Topic),
    ("fanout", ExchangeKind::Fanout),
    ("headers", ExchangeKind::Headers),
];

/// Where RabbitMQ's MQTT plugin publishes to and subscribes from.
const MQTT_EXCHANGE: &str = "amq.topic";

const MATCHES: [(&str, &str); 4] =
    [("all", "all"), ("any", "any"), ("all-with-x", "all-with-x"), ("any-with-x", "any-with-x")];

/// Reads one exchange. `broker` is where it is unless it says otherwise.
pub(super) fn read(section: Section<'_>, broker: Option<&str>) -> Option<Exchange> {
    let name = name(&section, "name", "give the exchange a `name`");
    let exchange = Exchange {
        name: name.clone().unwrap_or_default(),
        broker: broker_of(&section, broker),
        kind: read_kind(&section),
        durable: section.flag("durable", true),
        auto_delete: section.flag("auto_delete", false),
        internal: section.flag("internal", false),
        alternate: section.text("alternate"),
        bind: read_bindings(&section),
        arguments: read_arguments(&section, &[("alternate-exchange", "alternate")]),
    };
    section.finish();
    name.map(|_| exchange)
}

fn read_kind(section: &Section<'_>) -> ExchangeKind {
    if !section.has("kind") {
        section.notes.missing(
            &section.at("kind"),
            "say how it routes: \"direct\", \"topic\", \"fanout\" or \"headers\"",
        );
    }
    section.choice("kind", &KINDS).unwrap_or(ExchangeKind::Topic)
}

/// A name on the broker: there, and at most 255 bytes long.
pub(super) fn name(section: &Section<'_>, key: &'static str, remedy: &str) -> Option<String> {
    let name = section.required_text(key, remedy)?;
    short(section, key, &name);
    Some(name)
}

/// Notes a text that is too long for AMQP.
pub(super) fn short(section: &Section<'_>, key: &str, text: &str) {
    if text.len() > limits::SHORT_STRING_BYTES {
        let message = format!("{} bytes are too long for AMQP", text.len());
        section.notes.error(&section.at(key), message, "use at most 255 bytes");
    }
}

/// The broker that a section is about: its own, or the one that goes without saying.
pub(super) fn broker_of(section: &Section<'_>, default: Option<&str>) -> String {
    if let Some(name) = section.text("broker") {
        return name;
    }
    if default.is_none() && !section.has("broker") {
        let remedy = "add `broker = \"NAME\"`, or name one broker \"main\"";
        section.notes.missing(&section.at("broker"), remedy);
    }
    default.unwrap_or_default().to_owned()
}

/// The bindings of a queue or exchange.
pub(super) fn read_bindings(section: &Section<'_>) -> Vec<Binding> {
    section.sections("bind").into_iter().filter_map(read_binding).collect()
}

fn read_binding(section: Section<'_>) -> Option<Binding> {
    if section.has("mqtt") || section.has("qos") {
        return read_filter_binding(section);
    }
    let exchange = if section.text("exchange").is_some_and(|name| name.is_empty()) {
        let message = "nothing can be bound to the default exchange";
        let remedy = "take this binding out: every queue gets what is published there by its name";
        section.notes.error(&section.at("exchange"), message, remedy);
        None
    } else {
        section.required_text("exchange", "name the exchange that feeds it")
    };
    let key = section.text("key").unwrap_or_default();
    short(&section, "key", &key);
    let mut arguments = table_of(&section, "headers");
    if let Some(how) = section.choice("match", &MATCHES) {
        arguments.set("x-match", how);
    }
    section.finish();
    Some(Binding { exchange: exchange?, key, arguments, filter: None })
}

/// What a filter of MQTT means on a RabbitMQ, whose plugin publishes to `amq.topic`.
fn read_filter_binding(section: Section<'_>) -> Option<Binding> {
    let filter = mqtt::read_filter(&section);
    section.finish();
    let filter = filter?;
    let key = topic::pattern_of(&filter.filter);
    let arguments = Table::default();
    Some(Binding { exchange: MQTT_EXCHANGE.to_owned(), key, arguments, filter: Some(filter) })
}

/// Arguments that have no key of their own; those that have one are refused by its name.
pub(super) fn read_arguments(section: &Section<'_>, known: &[(&str, &str)]) -> Table {
    let table = table_of(section, "arguments");
    for (name, key) in known {
        if table.get(name).is_some() {
            let path = super::notes::child(&section.at("arguments"), name);
            let message = format!("`{name}` has a key of its own");
            section.notes.wrong_key(&path, message, format!("write `{key} = …` instead"));
        }
    }
    table
}

/// A table of AMQP fields.
fn table_of(section: &Section<'_>, key: &'static str) -> Table {
    let Some(item) = section.item(key) else { return Table::default() };
    let DeValue::Table(fields) = item.value else {
        item.expected("a table", &format!("write `{key} = {{ name = value, … }}`"));
        return Table::default();
    };
    let fields = fields.iter().filter_map(|(name, value)| {
        let name = name.get_ref();
        let path = super::notes::child(&item.path, name);
        if name.len() > limits::SHORT_STRING_BYTES {
            item.notes.wrong_key(&path, "this name is too long for AMQP", "use at most 255 bytes");
        }
        Some((name.to_string(), field(&item, &path, value)?))
    });
    fields.collect()
}

fn field(item: &Item<'_>, path: &str, value: &Spanned<DeValue<'_>>) -> Option<FieldValue> {
    let wrong = || item.notes.error(path, "this number is too large", "AMQP has 64 bits");
    Some(match value.get_ref() {
        DeValue::String(text) => FieldValue::Text(Bytes::copy_from_slice(text.as_bytes())),
        DeValue::Boolean(flag) => FieldValue::Bool(*flag),
        DeValue::Datetime(when) => FieldValue::from(when.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => FieldValue::I64(number),
            Err(_) => {
                wrong();
                return None;
            }
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => FieldValue::F64(number),
            Err(_) => {
                wrong();
                return None;
            }
        },
        DeValue::Array(items) => {
            let fields = items.iter().enumerate();
            let fields = fields.filter_map(|(i, each)| field(item, &format!("{path}[{i}]"), each));
            FieldValue::Array(fields.collect())
        }
        DeValue::Table(fields) => {
            let fields = fields.iter().filter_map(|(name, value)| {
                let path = super::notes::child(path, name.get_ref());
                Some((name.get_ref().to_string(), field(item, &path, value)?))
            });
            FieldValue::Table(fields.collect())
        }
    })
}
