//! What the host is given to do: three pipelines, and an endless supply of messages for them.
//!
//! `quorum` and `classic` run a chain of two couriers, with an output each; `orders` runs a plugin that
//! the binary carries. Some messages are dropped, rejected, retried, and some make a plugin trap.

use fastrand::Rng;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::oracle::{Fate, Planned, digest};

/// The pipelines, and the queues that they read, in front of which stands the trial's name.
pub(super) const PIPELINES: [&str; 3] = ["quorum", "classic", "orders"];
/// The targets, each an exchange with a queue of its name.
pub(super) const TARGETS: [&str; 3] = ["a", "b", "c"];
/// The one whose queue refuses what it has no room for.
pub(super) const BOUNDED: usize = 1;
const CLASSIC: usize = 1;
const ORDERS: usize = 2;
/// Ready messages in that target's queue.
const BOUND: usize = 500;

/// Keys of each pipeline; one group of messages has each once at most.
pub(super) const KEYS: u64 = 61;

/// What the couriers are told, what comes of it, and how often in a thousand.
const TOLD: [(&str, Fate, u32); 7] = [
    ("next", Fate::Out(&[0, 1]), 760),
    ("done", Fate::Out(&[0]), 80),
    ("drop", Fate::Dropped, 40),
    ("reject", Fate::Dead("reject"), 40),
    ("retry", Fate::Dead("retry"), 20),
    ("once", Fate::Out(&[0, 1]), 50),
    ("trap", Fate::Dead("trap"), 10),
];
/// What orders are, in the same way.
const ORDERED: [(&str, Fate, u32); 3] = [
    ("fine", Fate::Out(&[2]), 880),
    ("test", Fate::Dropped, 60),
    ("nameless", Fate::Dead("reject"), 60),
];

/// Bytes that a body is filled up with: mostly few, now and then more than fits in a frame.
const PAD: [(usize, u32); 3] = [(200, 950), (4_000, 45), (200_000, 5)];

/// A message for a pipeline.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) planned: Planned,
    pub(super) body: Vec<u8>,
}

/// The supply of one pipeline.
pub(super) struct Supply {
    pipeline: usize,
    random: Rng,
    sequence: u64,
    ordered: bool,
}

/// The config: every queue as safe as RabbitMQ has it, against a broker's sudden end too if `brokers_die`.
pub(super) fn config(url: &str, brokers_die: bool) -> String {
    // The broker's own hop into a dead-letter queue may lose a message of a classic queue when the
    // broker dies; then the host carries it.
    let orders = if brokers_die {
        r#"kind = "quorum"
overflow = "reject-publish"
dead_letter = { exchange = "chaos.dead", queue = "chaos.dead", strategy = "at-least-once" }"#
    } else {
        r#"dead_letter = { exchange = "chaos.dead", queue = "chaos.dead" }"#
    };
    let retry = r#"retry = { max_attempts = 3, rungs = ["200ms", "500ms"] }"#;
    let shared = format!(
        "key = {{ header = \"key\" }}\nprefetch = 100\nbatch = {{ messages = 16 }}\n{retry}\n"
    );
    let targets: String = TARGETS
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let kind = format!(
                "kind = \"quorum\"\nmax_length = {BOUND}\noverflow = \"reject-publish\"\n"
            );
            let kind = if number == BOUNDED { kind.as_str() } else { "" };
            format!(
                "[[exchange]]\nname = \"chaos.{name}\"\nkind = \"topic\"\n[[queue]]\n\
                 name = \"chaos.{name}\"\n{kind}bind = [{{ exchange = \"chaos.{name}\", key = \"#\" }}]\n"
            )
        })
        .collect();
    format!(
        r#"
[broker.main]
url = "{url}"
heartbeat = "4s"
[failures]
exchange = "chaos.failures"
{targets}
[[plugin]]
name = "first"
file = "courier.wasm"
limits = {{ call = "10s" }}
config = {{ output = "a", obeys = ["drop", "done"] }}
[[plugin]]
name = "second"
file = "courier.wasm"
limits = {{ call = "10s" }}
config = {{ output = "b", obeys = ["reject", "retry", "once", "trap"] }}
[[plugin]]
name = "guard"
file = "builtin:order-guard"
limits = {{ call = "10s" }}
config = {{ big = 500.0 }}
[[queue]]
name = "chaos.quorum"
kind = "quorum"
single_active_consumer = true
overflow = "reject-publish"
dead_letter = {{ exchange = "chaos.dead", queue = "chaos.dead", strategy = "at-least-once" }}
[[queue]]
name = "chaos.classic"
dead_letter = {{ exchange = "chaos.dead", queue = "chaos.dead", mode = "annotate" }}
[[queue]]
name = "chaos.orders"
single_active_consumer = true
{orders}
[[pipeline]]
name = "quorum"
queue = "chaos.quorum"
stages = ["first", "second"]
outputs.a = {{ exchange = "chaos.a" }}
outputs.b = {{ exchange = "chaos.b" }}
{shared}
[[pipeline]]
name = "classic"
queue = "chaos.classic"
stages = ["first", "second"]
outputs.a = {{ exchange = "chaos.a" }}
outputs.b = {{ exchange = "chaos.b" }}
{shared}
[[pipeline]]
name = "orders"
queue = "chaos.orders"
stages = ["guard"]
outputs.orders = {{ exchange = "chaos.c" }}
{shared}
"#
    )
}

/// A broker's object of that name.
pub(super) fn object(name: &str) -> String {
    format!("chaos.{name}")
}

/// One of a table, by its weight.
fn draw<T: Copy, const N: usize>(random: &mut Rng, table: [(T, u32); N]) -> T {
    let all: u32 = table.iter().map(|(_, weight)| weight).sum();
    let mut left = random.u32(..all);
    for (what, weight) in table {
        if left < weight {
            return what;
        }
        left -= weight;
    }
    table[0].0
}

// === impl Supply ===

impl Supply {
    /// `two_consumers`: the broker may hold messages for a consumer that is gone while another is at
    /// work, which only a single active consumer keeps in order.
    pub(super) fn new(pipeline: usize, seed: u64, two_consumers: bool) -> Self {
        let random = Rng::with_seed(seed ^ (pipeline as u64 + 1));
        Self { pipeline, random, sequence: 0, ordered: pipeline != CLASSIC || !two_consumers }
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Input {
        let sequence = self.sequence;
        self.sequence += 1;
        let id = format!("{}-{sequence}", PIPELINES[self.pipeline]);
        let pad = draw(&mut self.random, PAD);
        let pad: String = std::iter::repeat_with(|| self.random.alphanumeric()).take(pad).collect();
        let (body, fate, ordered) = if self.pipeline == ORDERS {
            let (what, fate) = draw(&mut self.random, ORDERED.map(|(w, f, n)| ((w, f), n)));
            let id = match what {
                "fine" => format!(r#""id": "{id}", "#),
                "test" => format!(r#""id": "test-{id}", "#),
                _ => String::new(),
            };
            let total = self.random.u32(..1000);
            (format!(r#"{{{id}"total": {total}, "pad": "{pad}"}}"#), fate, true)
        } else {
            let (what, fate) = draw(&mut self.random, TOLD.map(|(w, f, n)| ((w, f), n)));
            (format!(r#"{{"do": "{what}", "pad": "{pad}"}}"#), fate, what != "once")
        };
        let key = u32::try_from(sequence % KEYS).unwrap_or_default();
        let body = body.into_bytes();
        let digest = digest(&body);
        let ordered = ordered && self.ordered;
        let planned =
            Planned { id, pipeline: self.pipeline, key, sequence, body: digest, fate, ordered };
        Input { planned, body }
    }
}

// === impl Input ===

impl Input {
    /// Persistent, with its id and its key.
    pub(super) fn properties(&self) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert("key".into(), AMQPValue::LongLongInt(i64::from(self.planned.key)));
        BasicProperties::default()
            .with_message_id(self.planned.id.as_str().into())
            .with_content_type("application/json".into())
            .with_delivery_mode(2)
            .with_headers(headers)
    }
}
