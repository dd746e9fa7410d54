//! What the plugins for meters promise: in the sandbox, and as the config of `examples/meters` puts them together,
//! on a broker in this process and with a clock that is held.

mod town;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::broker::embedded::Embedded;
use sluicegate::broker::{Broker, Outgoing, Published};
use sluicegate::builtin;
use sluicegate::clock::Clock;
use sluicegate::config;
use sluicegate::message::{Message, Properties, Table};
use sluicegate::service::Service;
use sluicegate::telemetry::Telemetry;
use tempfile::TempDir;

use crate::service::process::sluicegate;
use crate::tidy::source::root;

/// 2026-03-20T11:00:00Z, noon in Berlin.
const NOON_S: u64 = 1_774_004_400;
const WAIT: Duration = Duration::from_secs(120);

#[test]
fn the_plugins_on_board_pass_their_cases_in_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for name in builtin::names() {
        let cases = root().join("plugins").join(name).join("cases");
        if !cases.is_dir() {
            continue;
        }
        let component = folder.path().join(format!("{name}.wasm"));
        fs::write(&component, builtin::plugin(name).unwrap()).unwrap();
        let [component, cases] = [&component, &cases].map(|path| path.to_str().unwrap());
        let told = sluicegate(&["plugin", "test", component, "--cases", cases]);
        assert!(told.status.success(), "{name}: {}", String::from_utf8_lossy(&told.stdout));
        tried += 1;
    }
    assert!(
        tried >= 9,
        "every plugin for meters has a case but the anomaly one, whose tests are its figures"
    );
}

/// A host with the example's config.
struct Utility {
    broker: Arc<Embedded>,
    clock: Clock,
    service: Service,
    queues: Vec<String>,
    sent: u64,
    _folder: TempDir,
}

impl Utility {
    async fn start() -> Self {
        let table = fs::read_to_string(root().join("examples/meters/meters.csv")).unwrap();
        Self::start_at(NOON_S, &table, str::to_owned).await
    }

    /// At that second since 1970, with that table of meters and what becomes of the config.
    async fn start_at(now_s: u64, table: &str, change: impl Fn(&str) -> String) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("meters.csv"), table).unwrap();
        let text = fs::read_to_string(root().join("examples/meters/meters.toml")).unwrap();
        let text = change(&text).replace("amqp://127.0.0.1:5672/%2f", "embedded:");
        let parsed = config::parse(&text, &folder.path().join("meters.toml"));
        let (mut config, _) = parsed.unwrap_or_else(|problems| panic!("{problems:#?}"));
        config.service.state_dir = folder.path().join("state");
        config.service.cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins"));
        config.service.shards = 2;
        let queues = config.pipelines.iter().map(|pipeline| pipeline.queue.clone()).collect();
        let (broker, clock) = (Embedded::new(), Clock::held(now_s * 1_000_000));
        let brokers = BTreeMap::from([("main".to_owned(), Arc::clone(&broker) as Arc<dyn Broker>)]);
        let telemetry = Telemetry::on(clock.clone());
        let service = Service::start_on(config, telemetry, brokers).await.unwrap();
        let utility = Self { broker, clock, service, queues, sent: 0, _folder: folder };
        utility.until("it is ready", || utility.service.status().readiness.ready).await;
        utility
    }

    async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let looking = async {
            while !holds() {
                looks.tick().await;
            }
        };
        assert!(tokio::time::timeout(WAIT, looking).await.is_ok(), "waited in vain: {what}");
    }

    async fn publish(&mut self, messages: impl IntoIterator<Item = (Outgoing, &str)>) {
        let mut group = Vec::new();
        for (mut message, kind) in messages {
            self.sent += 1;
            message.properties.kind = Some(kind.to_owned());
            message.properties.content_type = Some("application/json".to_owned());
            message.properties.message_id = Some(format!("sent-{}", self.sent));
            group.push(message);
        }
        self.publish_as_is(&group).await;
    }

    /// Publishes; waits until all that follows is settled.
    async fn publish_as_is(&self, group: &[Outgoing]) {
        let mut publisher = self.broker.publisher().await.unwrap();
        for outcome in publisher.publish(group).await {
            assert_eq!(outcome, Published::Confirmed);
        }
        self.settled().await;
    }

    /// Waits until nothing is under way.
    async fn settled(&self) {
        // What one pipeline hands to another is in a queue before it is settled in its own.
        let idle = || self.queues.iter().all(|queue| self.broker.queue_depth(queue) == (0, 0));
        self.until("all is settled", idle).await;
    }

    /// Lets time pass, until so many messages are in a queue; takes them.
    async fn pass(&self, seconds: u64, queue: &str, count: usize) -> Vec<Value> {
        self.clock.advance(Duration::from_secs(seconds));
        self.take(queue, count).await
    }

    async fn take(&self, queue: &str, count: usize) -> Vec<Value> {
        let held = || self.broker.queue_depth(queue).0 >= count;
        self.until(&format!("{count} messages in {queue}"), held).await;
        self.settled().await;
        self.rest(queue).iter().map(body).collect()
    }

    fn rest(&self, queue: &str) -> Vec<Message> {
        std::iter::from_fn(|| self.broker.get(queue)).collect()
    }
}

fn body(message: &Message) -> Value {
    serde_json::from_slice(&message.body).unwrap()
}

fn message(exchange: &str, key: &str, header: (&str, &str), body: &Value) -> Outgoing {
    Outgoing {
        exchange: exchange.to_owned(),
        routing_key: key.to_owned(),
        properties: Properties { headers: Table::from_iter([header]), ..Properties::default() },
        body: body.to_string().into(),
    }
}

fn event(meter: usize, what: &str) -> (Outgoing, &'static str) {
    let id = format!("x-{meter:04}");
    let body = json!({ "meter": id, "ts": NOON_S, "event": what, "transformer": "t-99" });
    let key = format!("meter.north.{id}.event");
    (message("meters", &key, ("meter-id", &id), &body), "event")
}

fn statuses(told: &[Value]) -> Vec<&str> {
    told.iter().map(|told| told["status"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_two_hundred_meters_is_one_incident_escalated_acknowledged_and_restored() {
    let mut utility = Utility::start().await;
    utility.publish((0..200).map(|meter| event(meter, "last_gasp"))).await;
    let opened = utility.take("control-room", 1).await;
    assert_eq!(statuses(&opened), ["opened"]);
    assert_eq!(opened[0]["key"], "t-99");
    let incident = opened[0]["incident"].as_str().unwrap();
    let updated = utility.pass(60, "control-room", 1).await;
    assert_eq!((statuses(&updated), &updated[0]["affected"]), (vec!["updated"], &json!(200)));
    let escalated = utility.pass(240, "control-room", 1).await;
    assert_eq!((statuses(&escalated), &escalated[0]["escalation"]), (vec!["escalated"], &json!(1)));
    let command = json!({ "incident": incident, "by": "anna" });
    let acknowledge = message("meters.faults", "", ("incident-key", "t-99"), &command);
    utility.publish([(acknowledge, "acknowledge")]).await;
    let acknowledged = utility.take("control-room", 1).await;
    assert_eq!(acknowledged[0]["acknowledged_by"], "anna");
    utility.publish((0..200).map(|meter| event(meter, "power_restored"))).await;
    let restored = utility.take("control-room", 1).await;
    assert_eq!((statuses(&restored), &restored[0]["back"]), (vec!["restored"], &json!(180)));
    let closed = utility.pass(300, "control-room", 1).await;
    assert_eq!((statuses(&closed), &closed[0]["back"]), (vec!["closed"], &json!(200)));
    let all = [opened.clone(), updated, escalated, acknowledged, restored, closed].concat();
    assert!(all.iter().all(|told| told["incident"] == incident), "one incident");
    assert_eq!(utility.broker.queue_depth("meters.dead"), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_a_head_end_collected_is_billed_to_the_watt_hour_per_meter_and_region() {
    let mut utility = Utility::start().await;
    // From midnight in Berlin two days before noon; the day after only its first hours.
    let start = NOON_S - 12 * 3600 - 86_400;
    let profile = |meter: usize, from: u64, count: u64| {
        let kwh: Vec<f64> = (0..count).map(|n| (100 + meter as u64 + n) as f64 / 1000.0).collect();
        json!({ "meter": format!("m-{meter:04}"), "region": "north", "start": from, "kwh": kwh })
    };
    for (from, count) in [(start, 96), (start + 86_400, 8)] {
        let mut profiles: Vec<Value> = (1..=20).map(|meter| profile(meter, from, count)).collect();
        profiles.insert(7, json!({ "meter": 7 }));
        let body = json!({ "head_end": "he-1", "int_s": 900, "profiles": profiles });
        let collected = message("meters", "collected.he-1", ("head-end", "he-1"), &body);
        utility.publish([(collected, "collected")]).await;
    }
    let billed: Vec<Value> = utility.rest("billing").iter().map(body).collect();
    let days = |of: &str| -> BTreeMap<String, i64> {
        let days = billed.iter().filter(|total| total["period"] == "day" && total["wh"].is_i64());
        days.filter_map(|day| Some((day[of].as_str()?.to_owned(), day["wh"].as_i64()?))).collect()
    };
    let expected = |meter: i64| (0..96).map(|n| 100 + meter + n).sum::<i64>();
    let of_meters = days("meter");
    assert_eq!(of_meters.len(), 20);
    for meter in 1..=20 {
        assert_eq!(of_meters[&format!("m-{meter:04}")], expected(meter));
    }
    let region = billed.iter().rfind(|total| {
        total["period"] == "day" && total.get("meter").is_none() && total.get("mean_wh").is_none()
    });
    assert_eq!(region.unwrap()["wh"], (1..=20).map(expected).sum::<i64>());
    let quality: Vec<Message> = utility.rest("data-quality");
    let bad = quality.iter().filter(|told| told.routing_key == "bulk.bad_entry").count();
    assert_eq!(bad, 2, "told, and nothing else lost");
    assert_eq!(utility.broker.queue_depth("meters.dead"), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meter_that_falls_silent_is_read_again_then_visited_and_counted_in_its_region() {
    let mut utility = Utility::start().await;
    let reading = |meter: usize| {
        let id = format!("m-{meter:06}");
        let body = json!({ "meter": id, "ts": NOON_S, "kwh": 0.25, "voltage": 231 });
        let key = format!("meter.north.{id}.reading");
        (message("meters", &key, ("meter-id", &id), &body), "reading")
    };
    utility.publish((1..=10).map(reading)).await;
    let figures = |told: &[Value]| {
        told.iter()
            .rfind(|told| told["online"].is_i64())
            .map(|f| (f["meters"].clone(), f["online"].clone()))
    };
    let told = utility.pass(60, "fleet-status", 11).await;
    assert_eq!(figures(&told), Some((json!(10), json!(10))));
    utility.publish((1..=9).map(reading)).await;
    let read_again = utility.pass(2640, "head-end", 1).await;
    assert_eq!(
        (&read_again[0]["meter"], &read_again[0]["action"]),
        (&json!("m-000010"), &json!("read_again"))
    );
    utility.publish((1..=9).map(reading)).await;
    let told = utility.pass(60, "fleet-status", 2).await;
    assert_eq!(figures(&told), Some((json!(10), json!(9))));
    let orders = utility.pass(86_400 - 2760, "field-service", 1).await;
    assert_eq!(
        (&orders[0]["action"], &orders[0]["meter"]),
        (&json!("work_order"), &json!("m-000010"))
    );

    let mut ask = message("meters.ask", "", ("meter-id", "m-000010"), &json!({}));
    ask.properties.reply_to = Some("data-quality".to_owned());
    ask.properties.correlation_id = Some("q-1".to_owned());
    utility.rest("data-quality");
    utility.publish([(ask, "status.request")]).await;
    let reply = utility.rest("data-quality").pop().unwrap();
    assert_eq!(reply.properties.correlation_id.as_deref(), Some("q-1"));
    assert_eq!(
        (&body(&reply)["connection"], &body(&reply)["area"]),
        (&json!("major"), &json!("t-0001"))
    );
}
