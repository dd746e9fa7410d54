//! What of a message reaches the other end.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};

use super::process::Site;
use super::traffic::{Traffic, broker, echoing};
use crate::rabbit::{node, unique};
use sluicegate_tests::guests::HOSTILE;

/// A header of every type there is.
pub(super) fn every_type() -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("deep".into(), AMQPValue::LongString("down".into()));
    let mut array = FieldArray::default();
    array.push(AMQPValue::LongInt(1));
    array.push(AMQPValue::LongString("two".into()));
    array.push(AMQPValue::FieldTable(inner.clone()));
    let mut table = FieldTable::default();
    for (name, value) in [
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-8)),
        ("u8", AMQPValue::ShortShortUInt(200)),
        ("i16", AMQPValue::ShortInt(-1600)),
        ("u16", AMQPValue::ShortUInt(60_000)),
        ("i32", AMQPValue::LongInt(-320_000)),
        ("u32", AMQPValue::LongUInt(4_000_000_000)),
        ("i64", AMQPValue::LongLongInt(i64::MIN)),
        ("f32", AMQPValue::Float(1.5)),
        ("f64", AMQPValue::Double(-2.25)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 1234 })),
        ("text", AMQPValue::LongString("grüße".into())),
        ("array", AMQPValue::FieldArray(array)),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("table", AMQPValue::FieldTable(inner)),
        ("nothing", AMQPValue::Void),
        ("bytes", AMQPValue::ByteArray(vec![0, 255, 7].into())),
    ] {
        table.insert(name.into(), value);
    }
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_properties_of_every_type_pass_through_a_plugin_unharmed() {
    let name = unique("through");
    let site =
        Site::new(&format!("{}{}", broker(node()), echoing(&name, r#"call = "1s""#, "", "")));
    site.write("hostile.wasm", HOSTILE);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let sent = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_headers(every_type())
        .with_delivery_mode(1)
        .with_priority(7)
        .with_correlation_id("c-1".into())
        .with_reply_to("answers".into())
        .with_expiration("600000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_700_000_000)
        .with_type("reading".into())
        .with_user_id("guest".into())
        .with_app_id("meter".into());
    traffic.send(&format!("{name}.in"), sent.clone(), b"echo").await;
    let got = traffic.next(&format!("{name}.out")).await.delivery.properties;
    assert_eq!(got.headers().as_ref().unwrap(), &every_type());
    // Persistent whatever the input was; under nobody's name, which another connection couldn't use.
    let expected = sent.with_delivery_mode(2);
    assert_eq!(got.user_id(), &None);
    assert_eq!(got.with_user_id("guest".into()), expected);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_inherits_correlation_trace_and_key_and_nothing_else() {
    let name = unique("heirs");
    let config = format!(
        r#"{}
[failures]
exchange = "{name}.failures"
[[plugin]]
name = "route"
file = "builtin:meter-route"
[[queue]]
name = "{name}.in"
dead_letter = {{ queue = "{name}.dead" }}
[[exchange]]
name = "{name}.x"
kind = "topic"
[[queue]]
name = "{name}.out"
bind = [{{ exchange = "{name}.x", key = "status.*" }}]
[[pipeline]]
name = "{name}"
queue = "{name}.in"
key = {{ header = "meter-id" }}
stages = ["route"]
outputs.status = {{ exchange = "{name}.x" }}
"#,
        broker(node())
    );
    let site = Site::new(&config);
    let host = site.run();
    let traffic = Traffic::on(node()).await;
    let mut headers = every_type();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (name, value) in [("traceparent", trace), ("meter-id", "m-7"), ("region", "north")] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let sent = BasicProperties::default()
        .with_headers(headers)
        .with_content_type("application/json".into())
        .with_message_id("m-1".into())
        .with_type("status".into())
        .with_priority(5)
        .with_app_id("meter".into());
    traffic.send(&format!("{name}.in"), sent, b"{}").await;
    let got = traffic.next(&format!("{name}.out")).await;
    assert_eq!(got.routing_key.as_str(), "status.north");
    assert_eq!(&*got.data, b"{}");
    let properties = &got.properties;
    assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), "m-1");
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_ne!(properties.message_id().as_ref().unwrap().as_str(), "m-1");
    assert_eq!((properties.priority(), properties.app_id()), (&None, &None));
    let headers = properties.headers().as_ref().unwrap().inner();
    let names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["meter-id", "traceparent"]);
    host.stop();
}
