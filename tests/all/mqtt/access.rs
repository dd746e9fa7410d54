//! Who is let in, and whom the host believes.

use sluicegate::broker::{Broker as _, BrokerError, Published, Settlement};
use sluicegate::config::{Credentials, Login, Mqtt, MqttVersion, Secret, Tls};

use super::{VERSIONS, body, consume, host, next, outgoing, session, settings};
use crate::contract::within;
use crate::mosquitto::{Mosquitto, free_port};
use crate::rabbit::tls_folder;

/// A broker that wants a password; with TLS on a second port, where it wants a client's certificate too.
fn guarded() -> (Mosquitto, String) {
    let (port, tls) = (free_port(), tls_folder());
    let tls = tls.display();
    let broker = Mosquitto::with(&format!(
        "allow_anonymous false\npassword_file FOLDER/passwords\nlistener {port} 127.0.0.1\n\
         cafile {tls}/ca.pem\ncertfile {tls}/server.pem\nkeyfile {tls}/server.key\n\
         require_certificate true\n"
    ));
    (broker, format!("mqtts://localhost:{port}"))
}

fn as_meters(mut settings: Mqtt, password: &str) -> Mqtt {
    settings.credentials = Credentials::Inline(Login::new("meters", password));
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_is_told_why() {
    let (broker, _) = guarded();
    for version in VERSIONS {
        let wrong = host(as_meters(settings(&broker, version), "hunter2"));
        for error in [
            within(wrong.server()).await.unwrap_err(),
            within(wrong.consume(session("mine", &["a"], 1))).await.err().unwrap(),
            within(host(settings(&broker, version)).server()).await.unwrap_err(),
        ] {
            assert!(matches!(error, BrokerError::Refused(_)), "{error:?}");
            let text = error.to_string();
            assert!(text.contains("credentials") && !text.contains("hunter2"), "{text}");
        }
        let right = host(as_meters(settings(&broker, version), "correct-horse"));
        within(right.server()).await.expect("it is let in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_verifies_the_broker_and_shows_who_the_client_is() {
    let (broker, url) = guarded();
    let folder = tls_folder();
    let tls = Tls {
        ca: Some(folder.join("ca.pem")),
        identity: Some(folder.join("client.p12")),
        identity_password: Some(Secret::File(folder.join("client.password"))),
    };
    let secured = |version, tls: &Tls, url: &str| Mqtt {
        urls: vec![url.to_owned()],
        tls: tls.clone(),
        ..as_meters(settings(&broker, version), "correct-horse")
    };
    for version in VERSIONS {
        let host = host(secured(version, &tls, &url));
        let mut consumer = consume(&host, &session("secured", &["secured"], 1)).await;
        let mut publisher = within(host.publisher()).await.unwrap();
        let message = outgoing("secured", "by TLS");
        assert_eq!(within(publisher.publish(&[message])).await, [Published::Confirmed]);
        let delivery = next(&mut consumer).await;
        assert_eq!(body(&delivery), "by TLS");
        delivery.receipt.settle(Settlement::Ack);
        within(consumer.close()).await.expect("it closes");
    }
    // Without the roots that signed the broker's certificate, without an identity, by a name that isn't the
    // broker's, and where nobody speaks TLS.
    let version = MqttVersion::V5;
    let without_roots = Tls { ca: None, ..tls.clone() };
    let without_identity = Tls { identity: None, ..tls.clone() };
    let elsewhere = url.replace("localhost", "ip6-localhost.invalid");
    let plain = broker.url().replace("mqtt://127.0.0.1", "mqtts://localhost");
    for (tls, url) in
        [(&without_roots, &url), (&without_identity, &url), (&tls, &elsewhere), (&tls, &plain)]
    {
        let error = within(host(secured(version, tls, url)).server()).await.unwrap_err();
        assert!(matches!(error, BrokerError::Unreachable(_)), "{url}: {error:?}");
        assert!(!error.to_string().contains("correct-horse"), "{error}");
    }
}
