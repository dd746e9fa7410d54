//! `[broker.NAME]`: how to reach a broker and what the host may do there.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::place;
use super::section::{Item, Section, quote};
use super::{Amqp, Broker, BrokerKind, Credentials, Declare, Login, Secret, Tls, mqtt};
use crate::limits;

const DECLARE: [(&str, Declare); 3] =
    [("create", Declare::Create), ("verify", Declare::Verify), ("none", Declare::None)];

/// The address of the broker in this process.
const EMBEDDED: &str = "embedded:";

/// The keys that mean nothing for the embedded broker.
const OUTSIDE_KEYS: [&str; 2] = ["credentials", "tls"];

/// The keys that only a RabbitMQ has a use for.
const AMQP_KEYS: [&str; 4] = ["heartbeat", "version", "management", "definitions"];

/// The keys that only an MQTT broker has a use for.
const MQTT_KEYS: [&str; 7] =
    ["protocol", "keep_alive", "session_expiry", "max_payload", "separator", "will", "quarantine"];

/// Where a broker is, and as whom.
pub(super) struct Addresses {
    /// Without credentials.
    pub(super) urls: Vec<String>,
    /// Those of all.
    pub(super) credentials: Credentials,
}

/// What a broker's addresses say that it speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Amqp,
    Mqtt,
}

/// Reads one broker.
pub(super) fn read(section: Section<'_>) -> Option<Broker> {
    let kind = read_kind(&section);
    let declare = section.choice("declare", &DECLARE).unwrap_or(Declare::Create);
    section.finish();
    Some(Broker { kind: kind?, declare })
}

fn read_kind(section: &Section<'_>) -> Option<BrokerKind> {
    let remedy = "write `url = \"amqp://HOST:5672/%2f\"`, `urls = [\"…\", \"…\"]`, \
                  `url = \"mqtt://HOST:1883\"` or `url = \"embedded:\"`";
    let url = section.text("url").map(|text| (section.at("url"), text));
    let addresses: Vec<(String, String)> = url.into_iter().chain(section.texts("urls")).collect();
    section.exactly_one(&["url", "urls"], remedy);
    let tls = section.section("tls").map(read_tls).unwrap_or_default();
    let configured = section.item("credentials").and_then(|item| {
        let remedy = "write `credentials = { file = \"…\" }` or `credentials = { env = \"NAME\" }`; \
                      the file, or the variable, holds `user:password`";
        place::read(&item, remedy)
    });
    if addresses.iter().any(|(_, text)| text == EMBEDDED) {
        refuse(section, &OUTSIDE_KEYS, "the embedded broker");
        refuse(section, &AMQP_KEYS, "the embedded broker");
        refuse(section, &MQTT_KEYS, "the embedded broker");
        if let [_, (second, _), ..] = addresses.as_slice() {
            section.notes.error(second, "the embedded broker has one address", "take this one out");
        }
        return Some(BrokerKind::Embedded);
    }
    let mut found = Addresses { urls: Vec::new(), credentials: Credentials::Default };
    let (mut inline, mut speaks) = (Vec::new(), None);
    for (path, text) in &addresses {
        let Some((url, login)) = read_url(section, path, text) else { continue };
        let it = if url.starts_with("mqtt") { Speaks::Mqtt } else { Speaks::Amqp };
        if *speaks.get_or_insert(it) != it {
            let message = "this address speaks another protocol than the first";
            section.notes.error(path, message, "give each its own `[broker.NAME]`");
        }
        found.urls.push(url);
        inline.extend(login.map(|found| (path.as_str(), found)));
    }
    found.credentials = choose_credentials(section, configured, inline);
    match speaks {
        Some(Speaks::Mqtt) => {
            refuse(section, &AMQP_KEYS, "a broker that speaks MQTT");
            Some(BrokerKind::Mqtt(mqtt::read_broker(section, found, tls)))
        }
        Some(Speaks::Amqp) => {
            refuse(section, &MQTT_KEYS, "a broker that speaks AMQP");
            Some(BrokerKind::Amqp(read_amqp(section, found, tls)))
        }
        // A mistake in another key is shown beside that of the address.
        None => {
            for key in MQTT_KEYS {
                section.item(key);
            }
            read_amqp(section, found, tls);
            None
        }
    }
}

fn read_amqp(section: &Section<'_>, addresses: Addresses, tls: Tls) -> Amqp {
    Amqp {
        urls: addresses.urls,
        credentials: addresses.credentials,
        tls,
        heartbeat: section
            .duration("heartbeat", Duration::ZERO..=limits::HEARTBEAT_MAX)
            .unwrap_or(limits::HEARTBEAT),
        version: section.item("version").and_then(|item| read_version(&item)),
        management: section.item("management").and_then(|item| read_management(&item)),
        definitions: section.file("definitions"),
    }
}

/// Notes keys that the kind of broker has no use for.
fn refuse(section: &Section<'_>, keys: &[&'static str], whom: &str) {
    for key in keys.iter().filter(|key| section.has(key)) {
        section.item(key);
        let message = format!("`{key}` means nothing for {whom}");
        section.notes.wrong_key(&section.at(key), message, "take it out");
    }
}

/// An address without its credentials, and these.
fn read_url(section: &Section<'_>, path: &str, text: &str) -> Option<(String, Option<Login>)> {
    let remedy = "write `amqp://HOST:PORT/VHOST`; the default virtual host is `%2f`";
    let mut url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "amqp" | "amqps" | "mqtt" | "mqtts") => url,
        Ok(url) => {
            let message = format!("'{}:' is no scheme of a broker", quote(url.scheme()));
            let remedy =
                "write `amqp://…`, `amqps://…` (TLS), `mqtt://…`, `mqtts://…` or `embedded:`";
            section.notes.error(path, message, remedy);
            return None;
        }
        Err(error) => {
            section.notes.error(path, format!("this is no address: {error}"), remedy);
            return None;
        }
    };
    if url.host_str().is_none_or(str::is_empty) {
        section.notes.error(path, "this address has no host", remedy);
        return None;
    }
    if url.scheme().starts_with("mqtt") && !matches!(url.path(), "" | "/") {
        let remedy = "write `mqtt://HOST:1883` alone; topics are named by the queues";
        section.notes.error(path, "an address of MQTT has no path", remedy);
        return None;
    }
    if url.path().trim_start_matches('/').contains('/') {
        section.notes.error(
            path,
            "the virtual host holds a slash",
            "write a slash that belongs to the name as `%2f`",
        );
        return None;
    }
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let password = url.password().map(decoded);
    let user = decoded(url.username());
    if user.is_empty() && password.is_some() {
        let remedy = "write `amqp://USER:PASSWORD@…`, or better `credentials = { file = \"…\" }`";
        section.notes.error(path, "this address has a password and no user", remedy);
    }
    let login = (!user.is_empty()).then(|| Login { user, password: password.unwrap_or_default() });
    // Neither can fail on an address that has a host.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    Some((url.to_string(), login))
}

fn choose_credentials(
    section: &Section<'_>,
    configured: Option<Secret>,
    inline: Vec<(&str, Login)>,
) -> Credentials {
    let stated = section.has("credentials");
    for (path, _) in &inline {
        if stated {
            let message = "this address holds credentials, and so does `credentials`";
            section.notes.error(path, message, "take them out of the address");
        } else {
            section.notes.warn(
                path,
                "this address holds a password that everyone who reads the file can see",
                "move it to a file: `credentials = { file = \"…\" }` with one line `user:password`",
            );
        }
    }
    for pair in inline.windows(2) {
        if let [(_, first), (path, second)] = pair
            && first != second
        {
            let remedy = "use the same ones for every address of a broker";
            section.notes.error(path, "these credentials differ from the first address's", remedy);
        }
    }
    match (configured, inline.into_iter().next()) {
        (Some(configured), _) => Credentials::Kept(configured),
        (None, Some((_, login))) => Credentials::Inline(login),
        (None, None) => Credentials::Default,
    }
}

fn read_tls(section: Section<'_>) -> Tls {
    let tls = Tls {
        ca: section.file("ca"),
        identity: section.file("identity"),
        identity_password: section.file("identity_password").map(Secret::File),
    };
    if tls.identity_password.is_some() && tls.identity.is_none() {
        let message = "there is a password for an identity, but no identity";
        section.notes.error(
            &section.at("identity_password"),
            message,
            "add `identity`, a PKCS #12 file",
        );
    }
    section.finish();
    tls
}

/// `3.10.8`, as the operator states it.
fn read_version(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let parts: Vec<&str> = text.split('.').collect();
    let numbers = parts.iter().all(|part| part.parse::<u16>().is_ok());
    if numbers && matches!(parts.len(), 2 | 3) {
        return Some(text);
    }
    let message = format!("'{}' is no version", quote(&text));
    item.notes.error(&item.path, message, "write it as RabbitMQ does: \"3.13.7\"");
    None
}

/// The management API's address; the broker's own credentials are used there.
fn read_management(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let remedy = "write `http://HOST:15672`";
    match Url::parse(&text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            item.notes.error(&item.path, "the management API speaks HTTP", remedy);
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            let remedy = "take them out; the broker's own `credentials` are used";
            item.notes.error(&item.path, "this address holds credentials", remedy);
        }
        Ok(url) => return Some(url.as_str().trim_end_matches('/').to_owned()),
        Err(error) => item.notes.error(&item.path, format!("this is no address: {error}"), remedy),
    }
    None
}
