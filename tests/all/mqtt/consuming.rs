//! A session's deliveries and acknowledgements, on a real Mosquitto.

use std::time::Duration;

use sluicegate::broker::{Broker as _, BrokerError, Delivery, Settlement, Version};
use sluicegate::config::MqttVersion;
use sluicegate::message::FieldValue;

use super::{CABINET, VERSIONS, body, consume, files, host, next, session, settings};
use crate::contract::within;
use crate::mosquitto::{Mosquitto, wait};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_with_its_whole_topic_its_key_and_its_properties() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        let host = host(settings(&broker, version));
        let request = session("topics", &["Türkiye/#", "empty//+", "a.b/c"], 10);
        let mut consumer = consume(&host, &request).await;
        let mut others = broker.client("others");
        others.publish_with(
            CABINET,
            b"48.2",
            &[("unit", "%"), ("unit", "rh"), ("message-id", "m1")],
        );
        others.publish("empty//", b"");
        others.publish("a.b/c", b"dots");
        let first = next(&mut consumer).await;
        let headers = &first.message.properties.headers;
        assert_eq!(headers.text("mqtt-topic"), Some(CABINET));
        assert_eq!(
            first.message.routing_key,
            "Türkiye.Trabzon.Orta Hisar.KTÜ.Kabin1. Nem-Sıcaklık.Nem"
        );
        assert_eq!((body(&first).as_str(), first.redelivered), ("48.2", false));
        assert_eq!(headers.get("mqtt-qos").and_then(FieldValue::as_i64), Some(1));
        if version == MqttVersion::V5 {
            assert_eq!(first.message.properties.message_id.as_deref(), Some("m1"));
            let both = FieldValue::Array(vec!["%".into(), "rh".into()]);
            assert_eq!(headers.get("unit"), Some(&both));
        }
        let empty = next(&mut consumer).await;
        assert_eq!((empty.message.routing_key.as_str(), empty.message.body.len()), ("empty..", 0));
        let dots = next(&mut consumer).await;
        assert_eq!(dots.message.routing_key, "a.b.c");
        assert_eq!(dots.message.properties.headers.text("mqtt-topic"), Some("a.b/c"));
        for delivery in [first, empty, dots] {
            assert!(delivery.unfit.is_none());
            delivery.receipt.settle(Settlement::Ack);
        }
        within(consumer.close()).await.expect("it closes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_behind_what_is_not_is_acknowledged_with_the_next_connection() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        let host = host(settings(&broker, version));
        let request = session(&format!("order-{version:?}"), &["order"], 10);
        let mut consumer = consume(&host, &request).await;
        let mut others = broker.client("others");
        for n in 0..5 {
            others.publish("order", n.to_string().as_bytes());
        }
        let mut receipts = Vec::new();
        for n in 0..5 {
            let delivery = next(&mut consumer).await;
            assert_eq!(body(&delivery), n.to_string());
            receipts.push(delivery.receipt);
        }
        let held = receipts.remove(2);
        for receipt in receipts.into_iter().rev() {
            receipt.settle(Settlement::Ack);
        }
        within(consumer.cancel()).await.expect("it is cancelled");
        held.settle(Settlement::Release);
        within(consumer.close()).await.expect("it closes");

        // The broker sends what wasn't acknowledged: 2, and what came behind it. Only 2 is news.
        let mut consumer = consume(&host, &request).await;
        others.publish("order", b"5");
        let again = next(&mut consumer).await;
        assert_eq!((body(&again).as_str(), again.redelivered), ("2", true));
        let later = next(&mut consumer).await;
        assert_eq!((body(&later).as_str(), later.redelivered), ("5", false));
        again.receipt.settle(Settlement::Ack);
        later.receipt.settle(Settlement::Ack);
        within(consumer.close()).await.expect("it closes");

        // Nothing is left: another process would get nothing either.
        let other = super::host(settings(&broker, version));
        let mut consumer = consume(&other, &request).await;
        others.publish("order", b"6");
        assert_eq!(body(&next(&mut consumer).await), "6");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_is_handed_out_again_in_its_place() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        let host = host(settings(&broker, version));
        let request = session(&format!("back-{version:?}"), &["back"], 1);
        let mut consumer = consume(&host, &request).await;
        let mut others = broker.client("others");
        others.publish("back", b"a");
        others.publish("back", b"b");
        let first = next(&mut consumer).await;
        assert_eq!((body(&first).as_str(), first.redelivered), ("a", false));
        first.receipt.settle(Settlement::Release);
        for expected in [("a", true), ("b", false)] {
            let delivery = next(&mut consumer).await;
            assert_eq!((body(&delivery).as_str(), delivery.redelivered), expected);
            delivery.receipt.settle(Settlement::Ack);
        }
        assert_eq!(host.link().receipts_dropped, 0);
        within(consumer.close()).await.expect("it closes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_its_connection_its_host_and_its_broker() {
    let mut broker = Mosquitto::start();
    for version in VERSIONS {
        let name = format!("lasting-{version:?}");
        let request = session(&name, &["lasting/#"], 10);
        let first = host(settings(&broker, version));
        let consumer = consume(&first, &request).await;
        within(consumer.close()).await.expect("it closes");
        broker.client("others").publish("lasting/a", b"meanwhile");
        broker.kill9();
        broker.restart();
        let second = host(settings(&broker, version));
        let mut consumer = consume(&second, &request).await;
        let held = next(&mut consumer).await;
        assert_eq!(body(&held), "meanwhile");
        broker.kill9();
        assert!(matches!(within(consumer.next()).await, Err(BrokerError::Unreachable(_))));
        assert!(held.receipt.is_stale());
        held.receipt.settle(Settlement::Ack);
        wait("it is known", || second.link().broken);
        assert!(within(second.consume(request.clone())).await.is_err());
        broker.restart();
        let mut consumer = consume(&second, &request).await;
        assert!(!second.link().broken);
        let again = next(&mut consumer).await;
        assert_eq!((body(&again).as_str(), again.redelivered), ("meanwhile", true));
        again.receipt.settle(Settlement::Ack);
        within(consumer.close()).await.expect("it closes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_handed_out_than_the_prefetch() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        let host = host(settings(&broker, version));
        let request = session(&format!("window-{version:?}"), &["window", "loose at 0"], 3);
        let mut consumer = consume(&host, &request).await;
        let mut others = broker.client("others");
        let numbered = |topic: &'static str| {
            (0..10).map(move |n| (topic.to_owned(), n.to_string().into_bytes()))
        };
        others.publish_all(numbered("window"));
        others.publish_all(numbered("loose"));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(next(&mut consumer).await);
        }
        let fourth = tokio::time::timeout(Duration::from_millis(200), consumer.next()).await;
        assert!(fourth.is_err(), "three are out");
        let mut seen = Vec::new();
        while seen.len() < 20 {
            let delivery = held.remove(0);
            let topic = delivery.message.routing_key.clone();
            seen.push(format!("{topic} {}", body(&delivery)));
            delivery.receipt.settle(Settlement::Ack);
            if seen.len() <= 17 {
                held.push(next(&mut consumer).await);
            }
        }
        for topic in ["window", "loose"] {
            let of_topic: Vec<_> = seen.iter().filter(|it| it.starts_with(topic)).collect();
            let expected: Vec<_> = (0..10).map(|n| format!("{topic} {n}")).collect();
            assert_eq!(of_topic, expected.iter().collect::<Vec<_>>());
        }
        within(consumer.close()).await.expect("it closes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_too_large_goes_to_a_bounded_quarantine_and_blocks_nothing() {
    let broker = Mosquitto::start();
    for version in VERSIONS {
        let settings = settings(&broker, version);
        let quarantine = settings.quarantine.dir.clone();
        let host = host(settings);
        let request = session(&format!("large-{version:?}"), &["large/+"], 10);
        let mut consumer = consume(&host, &request).await;
        let mut others = broker.client("others");
        let large = vec![b'x'; 300_000];
        for _ in 0..5 {
            others.publish_with("large/ğ", &large, &[("unit", "x")]);
        }
        others.publish("large/just", &large[..64 * 1024]);
        for _ in 0..5 {
            let delivery = next(&mut consumer).await;
            let unfit = delivery.unfit.as_ref().expect("it is too large");
            assert_eq!(unfit.code, "payload_too_large");
            assert!(unfit.text.contains("300000 bytes"), "{}", unfit.text);
            assert!(unfit.text.contains("quarantine"), "{}", unfit.text);
            let headers = &delivery.message.properties.headers;
            assert_eq!(headers.text("mqtt-topic"), Some("large/ğ"));
            if version == MqttVersion::V5 {
                assert_eq!(headers.text("unit"), Some("x"));
            }
            assert!(delivery.message.body.is_empty());
            delivery.receipt.settle(Settlement::Ack);
        }
        let fits = next(&mut consumer).await;
        assert_eq!((fits.message.body.len(), fits.unfit.is_none()), (64 * 1024, true));
        fits.receipt.settle(Settlement::Ack);
        assert_eq!(files(&quarantine), 3, "the oldest went first");
        let newest = std::fs::read_dir(&quarantine).unwrap().next().unwrap().unwrap();
        let kept = std::fs::read(newest.path()).unwrap();
        let (head, payload) = kept.split_at(kept.iter().position(|b| *b == b'\n').unwrap() + 1);
        assert_eq!(head, b"{\"topic\":\"large/\xc4\x9f\",\"bytes\":300000}\n");
        assert_eq!(payload, large);
        within(consumer.close()).await.expect("it closes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_dead_lettered_elsewhere_is_quarantined_and_acknowledged() {
    let broker = Mosquitto::start();
    let settings = settings(&broker, MqttVersion::V5);
    let quarantine = settings.quarantine.dir.clone();
    let host = host(settings);
    let request = session("letters", &["letters"], 10);
    let mut consumer = consume(&host, &request).await;
    let mut others = broker.client("others");
    others.publish("letters", b"bad");
    next(&mut consumer).await.receipt.settle(Settlement::DeadLetter);
    within(consumer.close()).await.expect("it closes");
    assert_eq!(files(&quarantine), 1);
    let mut consumer = consume(&host, &request).await;
    others.publish("letters", b"good");
    assert_eq!(body(&next(&mut consumer).await), "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retained_comes_flagged_and_once() {
    let broker = Mosquitto::start();
    let mut others = broker.client("others");
    others.retain("kept/a", b"before");
    let kept = |delivery: &Delivery| {
        delivery.message.properties.headers.get("mqtt-retained") == Some(&FieldValue::Bool(true))
    };
    for version in VERSIONS {
        let first = host(settings(&broker, version));
        let request = session(&format!("kept-{version:?}"), &["kept/+"], 10);
        let mut consumer = consume(&first, &request).await;
        let before = next(&mut consumer).await;
        assert_eq!((body(&before).as_str(), kept(&before)), ("before", true));
        before.receipt.settle(Settlement::Ack);
        others.publish("kept/a", b"live");
        let live = next(&mut consumer).await;
        assert_eq!((body(&live).as_str(), kept(&live)), ("live", false));
        live.receipt.settle(Settlement::Ack);
        within(consumer.close()).await.expect("it closes");

        // The same process knows that it is subscribed, and version 5 tells the broker to look.
        let second = host(settings(&broker, version));
        for (host, again) in [(&first, false), (&second, version == MqttVersion::V3)] {
            let mut consumer = consume(host, &request).await;
            others.publish("kept/b", b"later");
            let mut came = next(&mut consumer).await;
            assert_eq!(kept(&came), again, "{version:?}: {}", body(&came));
            if again {
                came.receipt.settle(Settlement::Ack);
                came = next(&mut consumer).await;
            }
            assert_eq!(body(&came), "later");
            came.receipt.settle(Settlement::Ack);
            within(consumer.close()).await.expect("it closes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_it_speaks() {
    let broker = Mosquitto::start();
    let server = within(host(settings(&broker, MqttVersion::V3)).server()).await.unwrap();
    assert_eq!(server.version, Version { major: 3, minor: 1, patch: 1 });
    let server = within(host(settings(&broker, MqttVersion::V5)).server()).await.unwrap();
    assert_eq!(server.version, Version { major: 5, minor: 0, patch: 0 });
}
