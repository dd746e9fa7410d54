//! What a broker has, as its management API or a definitions export tells it: bindings and policies
//! can't be asked for over AMQP.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::apply::missing;
use super::definitions::{arguments_json, kind_name};
use super::queue;
use crate::broker::{BindingDeclaration, BrokerError, Declaration, Destination};
use crate::config::{Amqp, Login};
use crate::limits;
use crate::message::Table;

/// Exchanges, queues and bindings of one virtual host.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Inventory {
    #[serde(default)]
    exchanges: Vec<SeenObject>,
    #[serde(default)]
    queues: Vec<SeenObject>,
    #[serde(default)]
    bindings: Vec<SeenBinding>,
    /// Read from the management API, which alone says what policies come to.
    #[serde(skip)]
    knows_policies: bool,
}

/// An exchange or a queue; an export of a single virtual host names none.
#[derive(Debug, Deserialize)]
struct SeenObject {
    name: String,
    vhost: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    durable: bool,
    auto_delete: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    effective_policy_definition: Value,
    /// All messages of a queue, at the time of the management API's last look.
    #[serde(default)]
    messages: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct SeenBinding {
    source: String,
    vhost: Option<String>,
    destination: String,
    destination_type: String,
    routing_key: String,
    #[serde(default)]
    arguments: Value,
}

/// Reads the management API, else the definitions export; `None` where the config names neither.
///
/// # Errors
/// Why it can't be read, and what to do.
pub(super) async fn read(amqp: &Amqp, vhost: &str) -> Result<Option<Inventory>, String> {
    let (amqp, vhost) = (amqp.clone(), vhost.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        if let Some(base) = &amqp.management {
            return from_management(base, &amqp, &vhost).map(Some).map_err(|why| {
                format!(
                    "management API at {base}: {why}; it needs the broker's credentials and a \
                     user with the tag `management`"
                )
            });
        }
        let Some(path) = &amqp.definitions else { return Ok(None) };
        from_export(path, &vhost)
            .map(Some)
            .map_err(|why| format!("definitions export {}: {why}", path.display()))
    });
    reading.await.map_err(|error| error.to_string())?
}

fn from_export(path: &Path, vhost: &str) -> Result<Inventory, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > limits::INVENTORY_BYTES {
        return Err(format!("{size} bytes, more than {} are not read", limits::INVENTORY_BYTES));
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut inventory: Inventory =
        serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    inventory.keep_vhost(vhost);
    Ok(inventory)
}

fn from_management(base: &str, amqp: &Amqp, vhost: &str) -> Result<Inventory, String> {
    let Login { user, password } = amqp.credentials.read()?;
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    let agent = agent(amqp)?;
    let get = |what: &str| -> Result<Vec<u8>, String> {
        let vhost = utf8_percent_encode(vhost, NON_ALPHANUMERIC);
        let url = format!("{}/api/{what}/{vhost}", base.trim_end_matches('/'));
        let request = agent.get(&url).header("authorization", &basic);
        let mut response = request.call().map_err(|error| error.to_string())?;
        let body = response.body_mut().with_config().limit(limits::INVENTORY_BYTES);
        body.read_to_vec().map_err(|error| error.to_string())
    };
    let parse = |error: serde_json::Error| format!("no answer of RabbitMQ's: {error}");
    Ok(Inventory {
        exchanges: serde_json::from_slice(&get("exchanges")?).map_err(parse)?,
        queues: serde_json::from_slice(&get("queues")?).map_err(parse)?,
        bindings: serde_json::from_slice(&get("bindings")?).map_err(parse)?,
        knows_policies: true,
    })
}

fn agent(amqp: &Amqp) -> Result<ureq::Agent, String> {
    let timeout: Duration = limits::INVENTORY_TIMEOUT;
    let mut config = ureq::Agent::config_builder().timeout_global(Some(timeout)).max_redirects(0);
    if let Some(path) = &amqp.tls.ca {
        let read = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| read(&error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| read(&error))?;
        let roots = RootCerts::new_with_certs(&[certificate]);
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    Ok(config.build().new_agent())
}

// === impl Inventory ===

impl Inventory {
    fn keep_vhost(&mut self, vhost: &str) {
        let here = |seen: &Option<String>| seen.as_deref().is_none_or(|seen| seen == vhost);
        self.exchanges.retain(|seen| here(&seen.vhost));
        self.queues.retain(|seen| here(&seen.vhost));
        self.bindings.retain(|seen| here(&seen.vhost));
    }

    /// The queues, with how many messages each holds where that is told.
    pub(super) fn queues(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        self.queues.iter().map(|seen| (seen.name.as_str(), seen.messages))
    }

    /// Whether a policy gives the queue a dead-letter exchange; `None` where that isn't known.
    pub(super) fn dead_letters_by_policy(&self, queue: &str) -> Option<bool> {
        let seen = self.queues.iter().find(|seen| seen.name == queue)?;
        let policy = &seen.effective_policy_definition;
        self.knows_policies.then(|| policy.get("dead-letter-exchange").is_some())
    }

    /// Whether the object is there as it is wanted.
    ///
    /// # Errors
    /// `NotFound`, or the first `Mismatch`.
    pub(super) fn compare(&self, object: &Declaration) -> Result<(), BrokerError> {
        let place = object.to_string();
        match object {
            Declaration::Exchange(wanted) => {
                let seen = find(&self.exchanges, &wanted.name).ok_or_else(|| missing(object))?;
                let kind = seen.kind.as_deref().unwrap_or_default();
                same(&place, "type", kind_name(wanted.kind), kind)?;
                same(&place, "durable", wanted.durable, seen.durable)?;
                same(&place, "auto_delete", wanted.auto_delete, seen.auto_delete)?;
                same(&place, "internal", wanted.internal, seen.internal)?;
                same_arguments(&place, &wanted.arguments, &seen.arguments)
            }
            Declaration::Queue(wanted) => {
                let seen = find(&self.queues, &wanted.name).ok_or_else(|| missing(object))?;
                same(&place, "durable", wanted.durable, seen.durable)?;
                same(&place, "auto_delete", wanted.auto_delete, seen.auto_delete)?;
                same(&place, "exclusive", wanted.exclusive, seen.exclusive)?;
                same_arguments(&place, &wanted.arguments, &seen.arguments)
            }
            Declaration::Binding(wanted) => {
                let there = self.bindings.iter().any(|seen| seen.is(wanted));
                if there { Ok(()) } else { Err(missing(object)) }
            }
        }
    }
}

impl SeenBinding {
    fn is(&self, wanted: &BindingDeclaration) -> bool {
        let (kind, name) = match &wanted.destination {
            Destination::Queue(name) => ("queue", name),
            Destination::Exchange(name) => ("exchange", name),
        };
        self.source == wanted.source
            && self.destination_type == kind
            && self.destination == *name
            && self.routing_key == wanted.key
            && fields(&self.arguments) == arguments_json(&wanted.arguments)
    }
}

fn find<'a>(objects: &'a [SeenObject], name: &str) -> Option<&'a SeenObject> {
    objects.iter().find(|seen| seen.name == name)
}

/// Erlang's empty list and empty map look alike to whoever writes the JSON.
fn fields(arguments: &Value) -> Map<String, Value> {
    arguments.as_object().cloned().unwrap_or_default()
}

/// Every argument either side has. A classic queue may have been declared without saying so.
fn same_arguments(place: &str, wanted: &Table, found: &Value) -> Result<(), BrokerError> {
    let (wanted, mut found) = (arguments_json(wanted), fields(found));
    if wanted.get(queue::QUEUE_TYPE) == Some(&Value::from("classic")) {
        found.entry(queue::QUEUE_TYPE).or_insert_with(|| "classic".into());
    }
    let text = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), plain);
    for name in wanted.keys().chain(found.keys()) {
        if wanted.get(name) != found.get(name) {
            return same(place, name, text(wanted.get(name)), text(found.get(name)));
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn same<T: ToString + PartialEq>(
    place: &str,
    argument: &str,
    wanted: T,
    found: T,
) -> Result<(), BrokerError> {
    if wanted == found {
        return Ok(());
    }
    Err(BrokerError::Mismatch {
        object: place.to_owned(),
        argument: argument.to_owned(),
        wanted: wanted.to_string(),
        found: found.to_string(),
    })
}
