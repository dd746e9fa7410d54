//! MQTT: a real Mosquitto, both versions of the protocol; and the real binary between it and a real
//! RabbitMQ.

mod access;
mod books;
mod consuming;
mod forms;
mod hosts;
mod plugin;
mod running;
mod town;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sluicegate::broker::mqtt::MqttBroker;
use sluicegate::broker::{
    BindingDeclaration, Broker as _, CLIENT_ID, ConsumeRequest, Consumer, Declaration, Delivery,
    Destination, Outgoing, QOS, QueueDeclaration,
};
use sluicegate::config::{Credentials, Mqtt, MqttVersion, Quarantine, QueueKind, Tls};
use sluicegate::message::{Properties, Table};

use crate::contract::within;
use crate::mosquitto::Mosquitto;

/// A topic of a Turkish cabinet, as its owners write it.
const CABINET: &str = "Türkiye/Trabzon/Orta Hisar/KTÜ/Kabin1/ Nem-Sıcaklık/Nem";

/// Both versions.
const VERSIONS: [MqttVersion; 2] = [MqttVersion::V3, MqttVersion::V5];

/// How the host is told of that broker.
fn settings(broker: &Mosquitto, version: MqttVersion) -> Mqtt {
    Mqtt {
        urls: vec![broker.url()],
        credentials: Credentials::Default,
        tls: Tls::default(),
        version,
        keep_alive: Duration::from_secs(30),
        session_expiry: Duration::from_secs(3600),
        max_payload: 64 * 1024,
        separator: '/',
        will: None,
        quarantine: Quarantine {
            dir: broker.folder().join("quarantine"),
            max_files: 3,
            max_bytes: 1 << 20,
        },
    }
}

fn host(settings: Mqtt) -> Arc<MqttBroker> {
    MqttBroker::new("test", settings)
}

/// A session of that name, subscribed to those filters.
fn session(name: &str, filters: &[&str], prefetch: u16) -> ConsumeRequest {
    let mut arguments = Table::default();
    arguments.set(CLIENT_ID, name);
    let queue = QueueDeclaration {
        name: name.to_owned(),
        kind: QueueKind::Classic,
        durable: true,
        exclusive: true,
        auto_delete: false,
        arguments,
    };
    let filters = filters.iter().map(|filter| {
        let (filter, qos) = match filter.strip_suffix(" at 0") {
            Some(filter) => (filter, 0),
            None => (*filter, 1),
        };
        let mut arguments = Table::default();
        arguments.set(QOS, i64::from(qos));
        Declaration::Binding(BindingDeclaration {
            source: String::new(),
            destination: Destination::Queue(name.to_owned()),
            key: filter.to_owned(),
            arguments,
        })
    });
    ConsumeRequest {
        queue: name.to_owned(),
        declare: std::iter::once(Declaration::Queue(queue)).chain(filters).collect(),
        prefetch,
        exclusive: false,
        tag: "test".to_owned(),
    }
}

/// What is to be published under that key.
fn outgoing(routing_key: &str, body: &str) -> Outgoing {
    Outgoing {
        exchange: String::new(),
        routing_key: routing_key.to_owned(),
        properties: Properties::default(),
        body: body.to_owned().into(),
    }
}

async fn consume(host: &MqttBroker, request: &ConsumeRequest) -> Box<dyn Consumer> {
    within(host.consume(request.clone())).await.expect("the session opens")
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    within(consumer.next()).await.expect("the session lives")
}

fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.body.to_vec()).expect("the body is text")
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}
