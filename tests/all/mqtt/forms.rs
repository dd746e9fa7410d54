//! Topics and payloads of every form, through the real binary: each maps, or fails with a reason.

use std::collections::BTreeMap;
use std::io::Write as _;

use lapin::message::BasicGetMessage;
use sluicegate_tests::guests::HOSTILE;

use super::hosts::header;
use crate::mosquitto::Mosquitto;
use crate::rabbit::{Raw, node, unique};
use crate::service::process::Site;

/// One pipeline echoes, another wants readings; a third has another separator.
fn config(broker: &Mosquitto, name: &str) -> String {
    let (url, main) = (broker.url(), node().url());
    let session = |queue: &str, broker: &str, filter: &str| {
        format!(
            "[[queue]]\nname = \"{name}.{queue}\"\nbroker = \"{broker}\"\n\
             bind = [{{ mqtt = \"{filter}\" }}]\ndead_letter = {{ queue = \"{name}.dead\" }}\n"
        )
    };
    let pipeline = |queue: &str, key: &str, plugin: &str, more: &str| {
        format!(
            "[[pipeline]]\nname = \"{name}.{queue}\"\nqueue = \"{name}.{queue}\"\nkey = {key}\n\
             stages = [\"{plugin}\"]\noutputs.echo = {{ exchange = \"{name}.echo\" }}\n{more}\n"
        )
    };
    [
        format!("[broker.field]\nurl = \"{url}\"\n"),
        format!("[broker.colon]\nurl = \"{url}\"\nseparator = \":\"\n"),
        format!("[broker.main]\nurl = \"{main}\"\n[failures]\nexchange = \"{name}.failures\"\n"),
        "[[plugin]]\nname = \"hostile\"\nfile = \"hostile.wasm\"\nbreaker = false\n".to_owned(),
        "[[plugin]]\nname = \"validate\"\nfile = \"builtin:meter-validate\"\nbreaker = false\n"
            .to_owned(),
        format!("[[exchange]]\nname = \"{name}.echo\"\nbroker = \"main\"\nkind = \"fanout\"\n"),
        format!(
            "[[queue]]\nname = \"{name}.out\"\nbroker = \"main\"\n\
             bind = [{{ exchange = \"{name}.echo\" }}]\n"
        ),
        session("topics", "field", "any/#"),
        session("readings", "field", "reading/+"),
        session("cabinets", "colon", "+"),
        pipeline("topics", "{ topic_level = 1, required = true }", "hostile", ""),
        pipeline("readings", "{ topic_level = 1 }", "validate", "content_type = \"detect\""),
        pipeline("cabinets", "{ topic_level = 1, required = true }", "hostile", ""),
    ]
    .concat()
}

/// Takes that many messages of a queue, by topic.
async fn take(raw: &Raw, queue: &str, count: u32) -> BTreeMap<String, BasicGetMessage> {
    raw.await_depth(queue, count).await;
    let mut all = BTreeMap::new();
    while let Some(message) = raw.get(queue).await {
        all.insert(header(&message, "mqtt-topic"), message);
    }
    all
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_topic_and_payload_maps_or_fails_with_a_reason() {
    let broker = Mosquitto::start();
    let name = unique("forms");
    let site = Site::new(&config(&broker, &name));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let raw = node().raw().await;
    let mut meters = broker.client("meters");

    let long = format!("any/{}son", "şehir/".repeat(60));
    let mapped = [
        ("any/İ/ğ", "any.İ.ğ"),
        ("any/I\u{307}/g\u{306}", "any.I\u{307}.g\u{306}"),
        ("any/x//", "any.x.."),
        ("any/v1.2", "any.v1.2"),
    ];
    for (topic, _) in mapped {
        meters.publish(topic, b"echo");
    }
    meters.publish(&long, b"echo");
    meters.publish_with("any/zipped", &gzip(b"echo"), &[("content-encoding", "gzip")]);
    meters.publish("Trabzon:Kabin1:Nem", b"echo");
    let out = take(&raw, &format!("{name}.out"), 7).await;
    for (topic, key) in mapped {
        assert_eq!(out[topic].routing_key.as_str(), key);
    }
    let key = out[&long].routing_key.as_str();
    assert!(key.len() <= 255 && key.starts_with("any.şehir.") && key.contains(".~"), "{key}");
    // A zipped command would be nobody's.
    assert!(out.contains_key("any/zipped"));
    assert_eq!(out["Trabzon:Kabin1:Nem"].routing_key.as_str(), "Trabzon.Kabin1.Nem");

    // What can't be mapped, and what isn't what a plugin can read.
    meters.publish("any//x", b"echo");
    meters.publish("Trabzon;Kabin1", b"echo");
    let json = "{\"meter\":\"Işık-1\",\"ts\":1767225600,\"kwh\":1}";
    // ı and ş of windows-1254.
    let turkish: Vec<u8> = "{\"meter\":\"I".bytes().chain([0xfe, 0xfd]).chain(*b"k\"}").collect();
    meters.publish("reading/fine", json.as_bytes());
    meters.publish("reading/windows-1254", &turkish);
    meters.publish("reading/zipped-unsaid", &gzip(json.as_bytes()));
    meters.publish_with("reading/not-zipped", json.as_bytes(), &[("content-encoding", "gzip")]);
    meters.publish_with("reading/brotli", json.as_bytes(), &[("content-encoding", "br")]);
    meters.publish("reading/empty", b"");
    let dead = take(&raw, &format!("{name}.dead"), 7).await;
    let codes: Vec<(&str, String)> =
        dead.iter().map(|(topic, it)| (topic.as_str(), header(it, "sluicegate-code"))).collect();
    let expected = [
        ("Trabzon;Kabin1", "no_key"),
        ("any//x", "no_key"),
        ("reading/brotli", "content_encoding"),
        ("reading/empty", "content_type"),
        ("reading/not-zipped", "gzip"),
        ("reading/windows-1254", "malformed"),
        ("reading/zipped-unsaid", "content_type"),
    ];
    assert_eq!(codes, expected.map(|(topic, code)| (topic, code.to_owned())));
    assert_eq!(dead["reading/windows-1254"].data, turkish, "the letter keeps what came");
    for letter in dead.values() {
        assert!(header(letter, "sluicegate-text").len() > 10);
    }
    host.stop();
}
