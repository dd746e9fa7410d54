//! What these tests work with: a host on an embedded broker, one pipeline over the counting plugin
//! unless a test says otherwise, and short words for publishing, waiting and looking.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sluicegate::admin::Reloaded;
use sluicegate::broker::embedded::Embedded;
use sluicegate::broker::{Broker, Outgoing, Published};
use sluicegate::clock::Clock;
use sluicegate::config;
use sluicegate::message::{Message, Properties, Table};
use sluicegate::plugin::capsule::Capsule;
use sluicegate::service::{Service, Stopped};
use sluicegate::telemetry::{PipelineSnapshot, Telemetry};
use sluicegate_tests::guests;
use tempfile::TempDir;

/// Where clocks that are held begin, microseconds since 1970.
pub(super) const NOON_US: u64 = 1_800_000_000_000_000;
/// How long any test waits for anything. Generous: a busy machine is no failure.
const WAIT: Duration = Duration::from_secs(60);

/// Exchanges `in`, `out`, and `void` without a queue; queues `work`, `sink`, `dead`.
pub(super) const TOPOLOGY: &str = r##"
broker.main.url = "embedded:"
exchange = [
  { name = "in", kind = "topic" },
  { name = "out", kind = "topic" },
  { name = "void", kind = "fanout" },
]
"##;

/// The queue `work`, whose failures go to `dead`.
pub(super) const WORK: &str = r##"
[[queue]]
name = "work"
max_priority = 9
bind = [{ exchange = "in", key = "#" }]
dead_letter = { exchange = "dead", queue = "dead" }
"##;

/// The queue `sink`, which takes what goes to `out`.
pub(super) const SINK: &str = r##"
[[queue]]
name = "sink"
bind = [{ exchange = "out", key = "#" }]
"##;

/// The pipeline `main`: counts, tells, obeys.
pub(super) const MAIN: &str = r##"
[[plugin]]
name = "ledger"
file = "ledger.wasm"
limits = { call = "2s" }
# Here messages fail that are meant to.
breaker = false

[[pipeline]]
name = "main"
queue = "work"
key = { header = "key" }
stages = ["ledger"]
retry = { max_attempts = 3, rungs = ["20ms", "40ms"] }
outputs.out = { exchange = "out" }
outputs.void = { exchange = "void" }
"##;

/// A running host and its broker.
pub(super) struct World {
    pub(super) broker: Arc<Embedded>,
    /// What its hosts go by.
    pub(super) clock: Clock,
    service: Option<Service>,
    folder: TempDir,
}

/// What a test publishes.
pub(super) struct Order {
    pub(super) body: Value,
    pub(super) routing_key: String,
    pub(super) properties: Properties,
}

/// An order with that id for that key: `do` is what the plugin is told.
pub(super) fn order(id: u64, key: &str, what: &str) -> Order {
    let headers = Table::from_iter((!key.is_empty()).then_some(("key", key)));
    Order {
        body: serde_json::json!({ "id": id, "do": what }),
        routing_key: format!("order.{key}"),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            message_id: Some(format!("m{id}")),
            headers,
            ..Properties::default()
        },
    }
}

/// Awaits something that must come.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(WAIT, future).await else {
        panic!("waited in vain: {what}")
    };
    done
}

/// Looks until it is so.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    within(what, async {
        while !holds() {
            looks.tick().await;
        }
    })
    .await;
}

/// A message's body as JSON.
pub(super) fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.body).expect("the body is JSON")
}

/// That field of each message's body.
pub(super) fn numbers(messages: &[Message], field: &str) -> Vec<u64> {
    let number = |message| json(message)[field].as_u64().expect("a number");
    messages.iter().map(number).collect()
}

/// How many messages there are of each id.
pub(super) fn copies(messages: &[Message]) -> BTreeMap<u64, usize> {
    let mut copies = BTreeMap::new();
    for id in numbers(messages, "id") {
        *copies.entry(id).or_default() += 1;
    }
    copies
}

/// A config of the usual exchanges and these parts.
fn read(folder: &TempDir, parts: &[&str]) -> config::Config {
    let text = format!("{TOPOLOGY}\n{}", parts.join("\n"));
    let parsed = config::parse(&text, &folder.path().join("test.toml"));
    let (mut config, _) = parsed.unwrap_or_else(|problems| panic!("{problems:#?}"));
    config.service.state_dir = folder.path().to_owned();
    config.service.cache_dir = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins"));
    if config.service.shards == 0 {
        config.service.shards = 2;
    }
    config
}

// === impl World ===

impl World {
    /// A host with the usual topology and pipeline.
    pub(super) async fn usual() -> Self {
        Self::start(&[WORK, SINK, MAIN]).await
    }

    /// A host with the usual exchanges and these parts of a config.
    pub(super) async fn start(parts: &[&str]) -> Self {
        Self::on(Embedded::new(), parts).await
    }

    /// A host whose clock is held.
    pub(super) async fn held(parts: &[&str]) -> Self {
        Self::by(Clock::held(NOON_US), Embedded::new(), parts).await
    }

    /// The same on a broker that is already there.
    pub(super) async fn on(broker: Arc<Embedded>, parts: &[&str]) -> Self {
        Self::by(Clock::system(), broker, parts).await
    }

    async fn by(clock: Clock, broker: Arc<Embedded>, parts: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("ledger.wasm"), guests::LEDGER).expect("the guest");
        std::fs::write(folder.path().join("hostile.wasm"), guests::HOSTILE).expect("the guest");
        std::fs::write(folder.path().join("waker.wasm"), guests::WAKER).expect("the guest");
        let mut world = Self { broker, clock, service: None, folder };
        world.host(parts).await;
        world
    }

    async fn host(&mut self, parts: &[&str]) {
        let broker = Arc::clone(&self.broker) as Arc<dyn Broker>;
        let brokers = BTreeMap::from([("main".to_owned(), broker)]);
        let telemetry = Telemetry::on(self.clock.clone());
        let service = Service::start_on(read(&self.folder, parts), telemetry, brokers).await;
        self.service = Some(service.expect("the host starts"));
        until("the host is ready", || self.service().status().readiness.ready).await;
    }

    /// Stops the host and starts another on all that it leaves, after that time.
    pub(super) async fn restart(&mut self, after: Duration, parts: &[&str]) {
        assert!(!self.stop(WAIT).await.forced);
        self.clock.advance(after);
        self.host(parts).await;
    }

    /// The host's metric of that name for `main`, summed.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let text = self.service().telemetry().render();
        let own = |line: &&str| line.starts_with(name) && line.contains("pipeline=\"main\"");
        let figure = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines().filter(own).filter_map(figure).sum()
    }

    /// Has the running host follow another config.
    pub(super) async fn reconfigure(&self, parts: &[&str]) -> Reloaded {
        within("the config is applied", self.service().apply(read(&self.folder, parts))).await
    }

    fn service(&self) -> &Service {
        self.service.as_ref().expect("the host runs")
    }

    /// Publishes to the exchange `in`.
    pub(super) async fn publish(&self, orders: impl IntoIterator<Item = Order>) {
        let outgoing = |order: Order| Outgoing {
            exchange: "in".to_owned(),
            routing_key: order.routing_key,
            properties: order.properties,
            body: order.body.to_string().into(),
        };
        self.publish_raw(orders.into_iter().map(outgoing).collect()).await;
    }

    /// Publishes what must be confirmed.
    pub(super) async fn publish_raw(&self, group: Vec<Outgoing>) {
        let mut publisher = self.broker.publisher().await.expect("a publisher");
        for outcome in publisher.publish(&group).await {
            assert_eq!(outcome, Published::Confirmed);
        }
    }

    /// The figures of `main`.
    pub(super) fn figures(&self) -> PipelineSnapshot {
        self.figures_of("main")
    }

    /// The figures of that pipeline.
    pub(super) fn figures_of(&self, name: &str) -> PipelineSnapshot {
        let all = self.service().telemetry().snapshot();
        all.into_iter().find(|figures| figures.name == name).expect("a pipeline of that name")
    }

    /// Tells the host something.
    pub(super) fn control(&self, command: sluicegate::admin::Command) {
        self.service().host().control(command).expect("the host obeys");
    }

    /// Has the host take up a plugin's file, if there is such a plugin.
    pub(super) fn attends(&self, plugin: &str) -> Result<(), String> {
        let watch = sluicegate::admin::Watch::ReloadPlugin(plugin.to_owned());
        self.service().host().follow(watch).map(drop)
    }

    /// Writes a file beside the config.
    pub(super) fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.folder.path().join(name), content).expect("it is written");
    }

    /// Everything that is known of the host's being ready, and how it does.
    pub(super) fn status(&self) -> sluicegate::admin::Status {
        self.service().status()
    }

    /// The calls of `main` that were recorded.
    pub(super) fn capsules(&self) -> Vec<Capsule> {
        let folder = self.folder.path().join(sluicegate::limits::CAPSULE_FOLDER).join("main");
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let files = entries.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok());
        files.filter_map(|bytes| Capsule::decode(&bytes).ok()).collect()
    }

    /// How `main` is doing.
    pub(super) fn state(&self) -> sluicegate::admin::PipelineState {
        self.service().status().pipelines[0].state
    }

    /// Waits until that queue is empty and nothing of it is unsettled.
    pub(super) async fn settled(&self, queue: &str) {
        let what = format!("everything in '{queue}' is settled");
        until(&what, || self.broker.queue_depth(queue) == (0, 0)).await;
    }

    /// Takes so many messages out of a queue, as they come.
    pub(super) async fn take(&self, queue: &str, count: usize) -> Vec<Message> {
        let mut taken = Vec::new();
        until(&format!("{count} messages in '{queue}'"), || {
            while taken.len() < count
                && let Some(message) = self.broker.get(queue)
            {
                taken.push(message);
            }
            taken.len() == count
        })
        .await;
        taken
    }

    /// Takes what is in a queue now.
    pub(super) fn rest(&self, queue: &str) -> Vec<Message> {
        std::iter::from_fn(|| self.broker.get(queue)).collect()
    }

    /// What the failure reports there are say.
    pub(super) fn reports(&self) -> Vec<Value> {
        self.rest("sluicegate.failures").iter().map(json).collect()
    }

    /// Where reports are kept that no broker took.
    pub(super) fn journal(&self) -> Vec<Value> {
        let path: PathBuf = self.folder.path().join(sluicegate::limits::JOURNAL_FILE);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a report a line")).collect()
    }

    /// Stops the host and says how it went; no receipt may have been forgotten.
    pub(super) async fn stop(&mut self, grace: Duration) -> Stopped {
        let service = self.service.take().expect("the host runs");
        let stopped = within("the host stops", service.stop(grace)).await;
        assert_eq!(self.broker.receipts_dropped(), 0, "every receipt is settled");
        stopped
    }

    /// Stops a host that has nothing left to do.
    pub(super) async fn end(mut self) {
        assert!(!self.stop(WAIT).await.forced);
    }
}
