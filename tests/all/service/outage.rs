//! A region without power, in a fleet that reports at full load: an incident of each transformer, how soon whoever
//! listens has it, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::{Value, json};
use sluicegate::broker::amqp::AmqpBroker;
use sluicegate::broker::{Broker as _, Outgoing, Published, Publisher};
use sluicegate::message::{Properties, Table};
use sluicegate::simulate::town::{Settings, Town};
use tokio_util::sync::CancellationToken;

use super::process::Site;
use crate::rabbit::{RabbitNode, Raw};
use crate::tidy::source::root;

/// Meters of a transformer in the simulator's towns, whose first, fifth, … stands in the north.
const OF_TRANSFORMER: usize = 25;
const REGIONS: usize = 4;
/// Meters that report an outage before anybody is told of it, and those that must be back for it to be over: the
/// example's `at_once`, and nine in ten.
const AT_ONCE: usize = 3;
const BACK: usize = 23;
/// Messages that wait in the fleet's queues all the time.
const BACKLOG: u32 = 5000;
/// Routine messages before the lights go out.
const WARM: f64 = 3000.0;
const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(5);

/// Meters, and seconds over which those without power say so.
fn asked() -> (usize, f64) {
    // As large as one likes: SLUICEGATE_OUTAGE="50000 40".
    let asked = std::env::var("SLUICEGATE_OUTAGE").unwrap_or_else(|_| "1000 2".to_owned());
    let numbers: Vec<usize> = asked.split(' ').map(|number| number.parse().unwrap()).collect();
    let [meters, seconds] = numbers[..] else { panic!("{asked:?}") };
    (meters, seconds as f64)
}

/// Something that a subscriber was told.
struct Heard {
    at: Instant,
    subscriber: usize,
    /// The transformer.
    key: String,
    incident: String,
    status: String,
}

/// Who listens to what is critical.
#[derive(Clone, Default)]
struct Subscribers(Arc<Mutex<Vec<Heard>>>);

// === impl Subscribers ===

impl Subscribers {
    /// One more, on that queue.
    async fn listen(&self, raw: Raw, subscriber: usize, queue: &str) {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer =
            raw.channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let mut consumer = consumer.await.unwrap();
        let heard = self.clone();
        tokio::spawn(async move {
            let _held = raw;
            while let Some(Ok(delivery)) = consumer.next().await {
                let at = Instant::now();
                let told: Value = serde_json::from_slice(&delivery.data).unwrap();
                let text = |name: &str| told[name].as_str().unwrap().to_owned();
                let [key, incident, status] = ["key", "incident", "status"].map(text);
                let all = &mut *heard.0.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(Heard { at, subscriber, key, incident, status });
            }
        });
    }

    /// When each subscriber heard that of each transformer; waits until all have.
    async fn all(
        &self,
        status: &str,
        transformers: usize,
        subscribers: usize,
    ) -> Vec<(String, Instant)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard: Vec<(String, Instant)> = {
                let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let these = all.iter().filter(|heard| heard.status == status);
                let first: BTreeMap<(&str, usize), Instant> = these
                    .rev()
                    .map(|heard| ((heard.key.as_str(), heard.subscriber), heard.at))
                    .collect();
                first.into_iter().map(|((key, _), at)| (key.to_owned(), at)).collect()
            };
            if heard.len() == transformers * subscribers {
                return heard;
            }
            assert!(Instant::now() < deadline, "{} of {transformers} are {status}", heard.len());
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Publishes what the fleet's meters say, as fast as it is taken. How much that was.
async fn load(node: Arc<RabbitNode>, mut town: Town, stop: CancellationToken) {
    let broker = AmqpBroker::new("load", node.config());
    let mut publisher = broker.publisher().await.unwrap();
    let raw = node.raw().await;
    while !stop.is_cancelled() {
        let mut deepest = 0;
        for queue in ["meters.readings", "meters.watch", "meters.consumption"] {
            deepest = raw.depth(queue).await.max(deepest);
        }
        if deepest > BACKLOG {
            tokio::time::sleep(POLL).await;
            continue;
        }
        let group: Vec<Outgoing> = town.by_ref().take(1000).collect();
        publish(&mut *publisher, &group).await;
    }
}

async fn publish(publisher: &mut dyn Publisher, group: &[Outgoing]) {
    for published in publisher.publish(group).await {
        assert_eq!(published, Published::Confirmed);
    }
}

fn transformer(number: usize) -> String {
    format!("t-{:04}", number + 1)
}

fn event(meter: usize, what: &str, ts_s: u64) -> Outgoing {
    let id = format!("m-{:06}", meter + 1);
    let transformer = transformer(meter / OF_TRANSFORMER);
    let body = json!({ "meter": id, "ts": ts_s, "event": what, "transformer": transformer });
    Outgoing {
        exchange: "meters".to_owned(),
        routing_key: format!("meter.north.{id}.event"),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            headers: Table::from_iter([("meter-id", id.as_str()), ("region", "north")]),
            kind: Some("event".to_owned()),
            message_id: Some(format!("{id}-{what}-{ts_s}")),
            delivery_mode: Some(2),
            priority: Some(4),
            ..Properties::default()
        },
        body: body.to_string().into(),
    }
}

/// Every meter of the region says that, each at its own time within those seconds. When the nth of each transformer
/// did.
async fn say(
    node: &RabbitNode,
    meters: usize,
    what: &str,
    seconds: f64,
    nth: usize,
) -> BTreeMap<String, Instant> {
    let mut random = fastrand::Rng::with_seed(5);
    let north = (0..meters).filter(|meter| (meter / OF_TRANSFORMER).is_multiple_of(REGIONS));
    let mut due: Vec<(f64, usize)> = north.map(|meter| (random.f64() * seconds, meter)).collect();
    due.sort_by(|a, b| a.0.total_cmp(&b.0));
    let broker = AmqpBroker::new("events", node.config());
    let mut publisher = broker.publisher().await.unwrap();
    let ts_s = sluicegate::clock::Clock::system().now_s();
    let (mut said, mut when) = (BTreeMap::<String, usize>::new(), BTreeMap::new());
    let (begun, mut left) = (Instant::now(), due.as_slice());
    while !left.is_empty() {
        let now = begun.elapsed().as_secs_f64();
        let (these, later) = left.split_at(left.partition_point(|(at, _)| *at <= now));
        let group: Vec<Outgoing> =
            these.iter().map(|(_, meter)| event(*meter, what, ts_s)).collect();
        let at = Instant::now();
        for (_, meter) in these {
            let of = transformer(meter / OF_TRANSFORMER);
            let count = said.entry(of.clone()).or_default();
            *count += 1;
            if *count == nth {
                when.insert(of, at);
            }
        }
        publish(&mut *publisher, &group).await;
        left = later;
        tokio::time::sleep(POLL).await;
    }
    when
}

/// Milliseconds from one to the other, and what of them is written: median, 99 of a hundred, the longest.
fn delays(from: &BTreeMap<String, Instant>, heard: &[(String, Instant)]) -> String {
    let passed = |(key, at): &(String, Instant)| at.saturating_duration_since(from[key]);
    let mut ms: Vec<f64> = heard.iter().map(|one| passed(one).as_secs_f64() * 1000.0).collect();
    ms.sort_by(f64::total_cmp);
    let at = |percent: usize| ms[(ms.len() - 1) * percent / 100];
    format!("p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms", at(50), at(99), at(100))
}

/// The example's config on that node, with shorter times.
fn site(node: &RabbitNode, table: &str) -> Site {
    let text = fs::read_to_string(root().join("examples/meters/meters.toml")).unwrap();
    let mut config = text.replace("amqp://127.0.0.1:5672/%2f", &node.url());
    for (from, to) in [
        ("cool_down_s = 300", "cool_down_s = 5"),
        ("critical = [300, 900]", "critical = [5]"),
        // What the fleet says lies in the past.
        ("rules = { interval_s = 900 }", "rules = { interval_s = 900, late_s = 0 }"),
    ] {
        assert!(config.contains(from), "{from}");
        config = config.replace(from, to);
    }
    let site = Site::new(&config);
    site.write("meters.csv", table.as_bytes());
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_goes_dark_overtakes_a_fleet_at_full_load_and_is_followed_to_its_end() {
    let (meters, seconds) = asked();
    let node = Arc::new(RabbitNode::start_fresh());
    let start_s = sluicegate::clock::Clock::system().now_s() as i64 / 86_400 * 86_400 - 20 * 86_400;
    let settings =
        Settings { meters, start_s, days: 15, planted: 0.0, outages: 0, ..Settings::default() };
    let town = Town::new(settings);
    let site = site(&node, &town.table());
    let host = site.run();
    let subscribers = Subscribers::default();
    subscribers.listen(node.raw().await, 0, "control-room").await;
    for (queue, n) in
        [("press", 1), ("network", 2)].into_iter().map(|(name, n)| (name.to_owned(), n))
    {
        let raw = node.raw().await;
        let (declare, bind) = (QueueDeclareOptions::default(), QueueBindOptions::default());
        let channel = &raw.channel;
        channel.queue_declare(queue.as_str().into(), declare, FieldTable::default()).await.unwrap();
        let bound = channel.queue_bind(
            queue.as_str().into(),
            "meters.alerts".into(),
            "".into(),
            bind,
            FieldTable::default(),
        );
        bound.await.unwrap();
        subscribers.listen(raw, n, &queue).await;
    }
    let stop = CancellationToken::new();
    let load = tokio::spawn(load(Arc::clone(&node), town, stop.clone()));
    let taken = || host.metric("sluicegate_messages_received_total", &["\"readings\""]);
    let warm = Instant::now();
    while taken() < WARM {
        assert!(warm.elapsed() < PATIENCE, "{}", host.log());
        tokio::time::sleep(POLL).await;
    }
    let transformers = (meters / OF_TRANSFORMER).div_ceil(REGIONS);
    let (before, begun) = (taken(), Instant::now());
    let gasped = say(&node, meters, "last_gasp", seconds, AT_ONCE).await;
    let opened = subscribers.all("opened", transformers, 3).await;
    println!(
        "{} meters of {transformers} transformers went dark within {seconds:.0} s, at {:.0} readings a second; \
         from the third gasp of a transformer to its incident at each of 3 subscribers: {}",
        transformers * OF_TRANSFORMER,
        (taken() - before) / begun.elapsed().as_secs_f64(),
        delays(&gasped, &opened)
    );
    let escalated = subscribers.all("escalated", transformers, 3).await;
    let first = |heard: &[(String, Instant)]| heard.iter().cloned().collect::<BTreeMap<_, _>>();
    println!("from there to its escalation, after 5 s: {}", delays(&first(&opened), &escalated));
    let back = say(&node, meters, "power_restored", seconds, BACK).await;
    let restored = subscribers.all("restored", transformers, 3).await;
    println!("from the 23rd of 25 that is back to its end: {}", delays(&back, &restored));
    subscribers.all("closed", transformers, 3).await;
    stop.cancel();
    load.await.unwrap();
    {
        let heard = subscribers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let incidents: BTreeSet<&str> = heard.iter().map(|heard| heard.incident.as_str()).collect();
        assert_eq!(incidents.len(), transformers, "one of each transformer");
        for status in ["opened", "escalated", "restored", "closed"] {
            let told = heard.iter().filter(|heard| heard.status == status).count();
            assert_eq!(told, 3 * transformers, "{status} once");
        }
    }
    host.stop();
    assert_eq!(node.raw().await.depth("meters.dead").await, 0);
}
