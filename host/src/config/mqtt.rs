//! A broker that speaks MQTT, and the sessions on it that pipelines consume.
//!
//! A session is a `[[queue]]` on such a broker: its filters are what it is bound to, its client id is
//! what the broker knows it by. Nothing of AMQP's queues holds for it, so all else is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::broker::Addresses;
use super::section::{Item, Section, quote};
use super::{Credentials, Tls};
use crate::limits;
use crate::topic::check_filter;

const VERSIONS: [(&str, MqttVersion); 2] = [("5", MqttVersion::V5), ("3.1.1", MqttVersion::V3)];

const BIND_REMEDY: &str = "write `bind = [{ mqtt = \"meters/+/reading\" }]`";

/// The keys of a queue that mean nothing for a session.
const AMQP_QUEUE_KEYS: [&str; 14] = [
    "server_named",
    "kind",
    "durable",
    "exclusive",
    "auto_delete",
    "max_priority",
    "message_ttl",
    "expires",
    "max_length",
    "max_bytes",
    "overflow",
    "delivery_limit",
    "single_active_consumer",
    "arguments",
];

/// How to reach an MQTT broker, and how to behave there.
#[derive(Clone, Debug, PartialEq)]
pub struct Mqtt {
    /// Addresses, `mqtt://` or `mqtts://`, without credentials; tried in random order.
    pub urls: Vec<String>,
    /// User and password; none unless the config has some.
    pub credentials: Credentials,
    /// What `mqtts://` verifies with.
    pub tls: Tls,
    /// The protocol's version.
    pub version: MqttVersion,
    /// Keep-alive, in whole seconds.
    pub keep_alive: Duration,
    /// How long the broker keeps a session whose host is away; 3.1.1 can't say.
    pub session_expiry: Duration,
    /// Bytes of a payload; what is larger is quarantined.
    pub max_payload: usize,
    /// What separates the levels of topics.
    pub separator: char,
    /// What the broker publishes for a host that is gone without a goodbye.
    pub will: Option<Will>,
    /// Where what can't be taken in is kept.
    pub quarantine: Quarantine,
}

/// Versions of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1, level 4 on the wire.
    V3,
    /// 5.
    V5,
}

/// A last will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: String,
    /// 0 or 1.
    pub qos: u8,
    /// Kept for those who subscribe later.
    pub retain: bool,
    /// How long the host may be away before it is published; 3.1.1 can't wait.
    pub delay: Duration,
}

/// A bounded folder; the oldest files go first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// The folder.
    pub dir: PathBuf,
    /// Files kept.
    pub max_files: usize,
    /// Bytes of them together.
    pub max_bytes: u64,
}

/// A session on an MQTT broker, which is a queue in every other respect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What the broker knows it by.
    pub client_id: String,
}

/// A topic filter that feeds a queue or a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// As MQTT writes it.
    pub filter: String,
    /// 0 or 1, at most what is published with.
    pub qos: u8,
}

/// Reads what a broker has that speaks MQTT.
pub(super) fn read_broker(section: &Section<'_>, addresses: Addresses, tls: Tls) -> Mqtt {
    let version = section.choice("protocol", &VERSIONS).unwrap_or(MqttVersion::V5);
    let keep_alive =
        section.duration("keep_alive", limits::MQTT_KEEP_ALIVE_MIN..=limits::MQTT_KEEP_ALIVE_MAX);
    let expiry = section.duration(
        "session_expiry",
        Duration::from_secs(1)..=Duration::from_secs(u64::from(u32::MAX) - 1),
    );
    if version == MqttVersion::V3 && section.has("session_expiry") {
        let message =
            "3.1.1 has no session expiry: the broker keeps sessions as its own config says";
        let remedy = "take it out, or write `protocol = \"5\"`";
        section.notes.error(&section.at("session_expiry"), message, remedy);
    }
    let max_payload = section.size("max_payload", 1..=limits::MQTT_PAYLOAD_BYTES_MAX);
    Mqtt {
        urls: addresses.urls,
        credentials: addresses.credentials,
        tls,
        version,
        keep_alive: keep_alive.unwrap_or(limits::MQTT_KEEP_ALIVE),
        session_expiry: expiry.unwrap_or(limits::MQTT_SESSION_EXPIRY),
        max_payload: max_payload
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(limits::MQTT_PAYLOAD_BYTES),
        separator: section.item("separator").and_then(|item| read_separator(&item)).unwrap_or('/'),
        will: section.section("will").and_then(|will| read_will(will, version)),
        quarantine: read_quarantine(section.section("quarantine")),
    }
}

fn read_separator(item: &Item<'_>) -> Option<char> {
    let text = item.text()?;
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if !letter.is_control() => Some(letter),
        _ => {
            let message = "one character separates the levels of topics";
            item.notes.error(
                &item.path,
                message,
                "write `separator = \":\"`, or take it out for `/`",
            );
            None
        }
    }
}

fn read_will(section: Section<'_>, version: MqttVersion) -> Option<Will> {
    let topic = section.required_text("topic", "name the topic that it is published to");
    if let Some(topic) = &topic
        && (topic.contains(['+', '#', '\0']) || topic.len() > limits::MQTT_STRING_BYTES)
    {
        let message = "a topic to publish to has no wildcards, and 65535 bytes at most";
        section.notes.error(&section.at("topic"), message, "name one topic");
    }
    let payload = section.text("payload").unwrap_or_default();
    if payload.len() > limits::MQTT_STRING_BYTES {
        let message = format!("{} bytes are too long for a will", payload.len());
        section.notes.error(&section.at("payload"), message, "use at most 65535 bytes");
    }
    let qos = section.item("qos").and_then(|item| read_qos(&item)).unwrap_or(1);
    let retain = section.flag("retain", false);
    let longest = Duration::from_secs(u64::from(u32::MAX) - 1);
    let delay = section.duration("delay", Duration::ZERO..=longest);
    if version == MqttVersion::V3 && section.has("delay") {
        let message = "3.1.1 publishes a will at once";
        let remedy = "take it out, or write `protocol = \"5\"`";
        section.notes.error(&section.at("delay"), message, remedy);
    }
    section.finish();
    Some(Will { topic: topic?, payload, qos, retain, delay: delay.unwrap_or_default() })
}

fn read_quarantine(section: Option<Section<'_>>) -> Quarantine {
    let mut quarantine = Quarantine {
        dir: PathBuf::new(),
        max_files: limits::MQTT_QUARANTINE_FILES,
        max_bytes: limits::MQTT_QUARANTINE_BYTES,
    };
    let Some(section) = section else { return quarantine };
    let files = section.number("max_files", 1..=limits::MQTT_QUARANTINE_FILES_MAX);
    quarantine.max_files = files.unwrap_or(quarantine.max_files);
    let bytes = section.size("max_bytes", 1..=limits::MQTT_QUARANTINE_BYTES_MAX);
    quarantine.max_bytes = bytes.unwrap_or(quarantine.max_bytes);
    section.finish();
    quarantine
}

/// Reads `mqtt` and `qos` of a binding, where it has them.
pub(super) fn read_filter(section: &Section<'_>) -> Option<Filter> {
    let item = section.item("mqtt");
    let qos = section.item("qos");
    let Some(item) = item else {
        if let Some(qos) = qos {
            let message = "only a filter of MQTT has a `qos`";
            qos.notes.error(&qos.path, message, "add `mqtt = \"FILTER\"`, or take it out");
        }
        return None;
    };
    let filter = item.text()?;
    if let Err(why) = check_filter(&filter) {
        let message = format!("'{}' is no topic filter: {why}", quote(&filter));
        item.notes.error(&item.path, message, BIND_REMEDY);
        return None;
    }
    Some(Filter { filter, qos: qos.and_then(|item| read_qos(&item)).unwrap_or(1) })
}

fn read_qos(item: &Item<'_>) -> Option<u8> {
    let qos = item.number(0..=2_u8)?;
    if qos < 2 {
        return Some(qos);
    }
    let message = "QoS 2 ends at this host: its handshake hands a message over before plugins have run, \
                   so a crash in between would lose it";
    let remedy = "write `qos = 1`, which is acknowledged when all that a message led to is safe, and \
                  give the pipeline an `id`: what comes twice is then dropped";
    item.notes.error(&item.path, message, remedy);
    None
}

/// Reads what makes a queue on an MQTT broker a session.
pub(super) fn read_session(section: &Section<'_>, queue: &str) -> Session {
    for key in AMQP_QUEUE_KEYS.into_iter().filter(|key| section.has(key)) {
        let message = format!("`{key}` means nothing for a session on an MQTT broker");
        section.notes.wrong_key(&section.at(key), message, "take it out");
    }
    let client_id = section.text("client_id").unwrap_or_else(|| queue.to_owned());
    if client_id.is_empty() || client_id.len() > limits::MQTT_STRING_BYTES {
        let message = "a session that outlasts its connection needs a name, of 65535 bytes at most";
        section.notes.error(&section.at("client_id"), message, "write `client_id = \"NAME\"`");
    }
    if !section.has("bind") {
        section.notes.missing(&section.at("bind"), BIND_REMEDY);
    }
    Session { client_id: client_id.replace("{host}", &host_name()) }
}

/// What this machine calls itself.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
