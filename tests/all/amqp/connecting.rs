//! Addresses, credentials, and who answers.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use sluicegate::broker::amqp::AmqpBroker;
use sluicegate::broker::{Broker, BrokerError, Declaration, Version};
use sluicegate::config::{Credentials, Login, QueueKind, Secret, Tls};

use super::{declare, queue};
use crate::rabbit::{node, tls_folder, unique};

/// An address at which nobody listens.
fn nobody() -> String {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    format!("amqp://127.0.0.1:{port}/%2f")
}

#[tokio::test]
async fn the_brokers_version_is_read_or_stated() {
    let server = AmqpBroker::new("version", node().config()).server().await.unwrap();
    assert_eq!(server.product, "RabbitMQ");
    assert!(server.version >= Version { major: 3, minor: 8, patch: 0 }, "{server:?}");
    let mut config = node().config();
    config.version = Some("4.1".to_owned());
    config.urls = vec![nobody()];
    let stated = AmqpBroker::new("version", config).server().await.unwrap();
    assert_eq!(stated.version, Version { major: 4, minor: 1, patch: 0 });
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_told() {
    let mut config = node().config();
    config.credentials = Credentials::Inline(Login::new("guest", "hunter2"));
    let broker = AmqpBroker::new("password", config);
    let error = broker.server().await.unwrap_err();
    assert!(matches!(error, BrokerError::Refused(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&node().address().to_string()) && text.contains("`credentials`"));
    assert!(!text.contains("hunter2"));
    assert!(broker.link().last_error.is_some_and(|error| !error.contains("hunter2")));
}

#[tokio::test]
async fn a_missing_virtual_host_is_refused_with_what_to_check() {
    let mut config = node().config();
    config.urls = vec![format!("amqp://{}/elsewhere", node().address())];
    let error = AmqpBroker::new("vhost", config).server().await.unwrap_err();
    assert!(
        matches!(&error, BrokerError::Refused(text) if text.contains("virtual host")),
        "{error}"
    );
}

#[tokio::test]
async fn every_address_is_tried_and_named() {
    let mut config = node().config();
    config.urls = vec![nobody(), nobody(), node().bare_url()];
    AmqpBroker::new("addresses", config.clone()).server().await.unwrap();
    config.urls.truncate(2);
    let error = AmqpBroker::new("addresses", config.clone()).server().await.unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
    for url in &config.urls {
        let port = url.trim_end_matches("/%2f").rsplit(':').next().unwrap();
        assert!(error.to_string().contains(port), "{error}");
    }
}

#[tokio::test]
async fn credentials_are_read_again_at_each_connect() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let mut config = node().config();
    config.credentials = Credentials::Kept(Secret::File(file.clone()));
    let broker = AmqpBroker::new("rotation", config);
    fs::write(&file, "guest:yesterday\n").unwrap();
    assert!(matches!(broker.server().await, Err(BrokerError::Refused(_))));
    fs::write(&file, "guest:guest\n").unwrap();
    broker.server().await.unwrap();
}

#[tokio::test]
async fn what_answers_something_else_is_unreachable_within_the_limit() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ended = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let mut config = node().config();
    config.urls = vec![format!("amqp://{address}/%2f")];
    let connecting = AmqpBroker::new("http", config);
    let error = tokio::time::timeout(Duration::from_secs(30), connecting.server()).await;
    let error = error.expect("within the limit").unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn connections_carry_names_that_say_what_they_are_for() {
    let broker = AmqpBroker::new("named", node().config());
    let name = unique("named");
    declare(&*broker, &name).await;
    let _consumer = super::consume(&*broker, &name, 1).await;
    let _publisher = broker.publisher().await.unwrap();
    let listed = node().ctl_alongside(&["list_connections", "client_properties"]).await;
    for purpose in ["consume", "publish"] {
        assert!(listed.contains(&format!("sluicegate named {purpose}")), "{listed}");
    }
    broker.close().await;
    assert!(!broker.link().consume && !broker.link().publish);
}

#[tokio::test]
async fn declaring_with_another_kind_harms_no_consumer() {
    let broker = AmqpBroker::new("kinds", node().config());
    let name = unique("kinds");
    declare(&*broker, &name).await;
    let mut consumer = super::consume(&*broker, &name, 1).await;
    let mut quorum = queue(&name, &[]);
    quorum.kind = QueueKind::Quorum;
    let error = broker.declare(&Declaration::Queue(quorum)).await.unwrap_err();
    assert!(
        matches!(&error, BrokerError::Mismatch { argument, wanted, .. }
            if argument == "x-queue-type" && wanted == "quorum"),
        "{error:?}"
    );
    super::fill(&*broker, &name, 1).await;
    super::next(&mut consumer).await.receipt.settle(sluicegate::broker::Settlement::Ack);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn tls_verifies_the_broker_and_shows_who_the_client_is() {
    let folder = tls_folder();
    let mut config = node().config();
    config.urls = vec![node().tls_url()];
    config.tls = Tls {
        ca: Some(folder.join("ca.pem")),
        identity: Some(folder.join("client.p12")),
        identity_password: Some(Secret::File(folder.join("client.password"))),
    };
    let broker = AmqpBroker::new("tls", config.clone());
    assert_eq!(broker.server().await.unwrap().product, "RabbitMQ");
    let name = unique("tls");
    declare(&*broker, &name).await;
    super::fill(&*broker, &name, 1).await;
    let listed = node().ctl_alongside(&["list_connections", "client_properties", "ssl"]).await;
    let ours = listed.lines().find(|line| line.contains("sluicegate tls publish")).unwrap();
    assert!(ours.trim_end().ends_with("true"), "{ours}");
    // Without the roots that signed the broker's certificate, and without an identity of its own.
    let without_roots = Tls { ca: None, ..config.tls.clone() };
    let without_identity = Tls { identity: None, ..config.tls.clone() };
    for tls in [without_roots, without_identity] {
        config.tls = tls;
        let error = AmqpBroker::new("tls", config.clone()).server().await.unwrap_err();
        assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
    }
}
