//! How long a message takes from its producer to its settlement, and to what was decided of it.
//!
//! A producer publishes at a steady rate, whatever becomes of it. Between consumer and broker stands a proxy
//! that reads along: it sees each delivery and each acknowledgement at the wire, of any contender alike, and
//! costs all of them the same. Outputs are timed where they arrive, at a consumer of their queue. A message
//! counts from the moment before it is handed to the producer's connection.

mod proxy;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench_logic::Encoding;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use rabbit_node::Node;
use serde::Serialize;

use self::proxy::{Proxy, number};
pub use self::tally::Quantiles;
use self::tally::Tally;
use crate::amqp::process::Running;
use crate::amqp::site::Site;
use crate::amqp::wire::{Kind, Wire, properties};
use crate::end_to_end::{OUT, Programs, Setting, Who, command};
use crate::method::quantile;
use crate::sample::{Sample, Wanted, samples};

/// How often the producer publishes what is due.
const TICK: Duration = Duration::from_millis(1);
/// Messages that are published together where it goes as fast as it can.
const GROUP: usize = 100;
/// Messages that are open at most then.
const OPEN: usize = 1000;
/// Until a contender must have its consumer.
const START: Duration = Duration::from_secs(30);
/// Until all must be settled.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the producer goes about it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// Messages a second.
    pub rate: f64,
    /// For how long.
    pub seconds: f64,
    /// Of these, not counted at the start.
    pub warm_up: f64,
}

/// What came of one run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timed {
    /// From the producer to the settlement, in milliseconds.
    pub settled: Quantiles,
    /// From the producer to the output, if there is one.
    pub output: Option<Quantiles>,
}

/// A contender at one load.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The contender.
    pub name: String,
    /// Its runs.
    pub runs: Vec<Timed>,
}

/// What was compared at one load.
#[derive(Clone, Debug, Serialize)]
pub struct Level {
    /// Of what the bare consumer manages.
    pub share: f64,
    /// The load.
    pub load: Load,
    /// The contenders.
    pub rows: Vec<Row>,
}

/// What is needed to run one.
struct Field<'f> {
    node: &'f Node,
    wire: Wire,
    /// What publishes; no confirms are asked for.
    producer: lapin::Channel,
    setting: &'f Setting,
    programs: &'f Programs,
    site: Site,
    queue: String,
}

/// Has the bare consumer, itself again, and the host take turns at each of those shares of the rate that the
/// bare one manages.
///
/// # Errors
/// One failed, or left something unsettled.
pub async fn run(
    node: &Node,
    setting: &Setting,
    programs: &Programs,
    shares: &[f64],
    seconds: f64,
) -> anyhow::Result<Vec<Level>> {
    let wire = Wire::open(&node.url()).await?;
    let queue = format!("bench.timed.{}", setting.kind.as_str());
    wire.queue(&queue, setting.kind).await?;
    wire.fanout(&queue, std::slice::from_ref(&queue)).await?;
    wire.queue(OUT, Kind::Classic).await?;
    wire.fanout(OUT, &[OUT.to_owned()]).await?;
    let publishing = Wire::open(&node.url()).await?;
    let producer = publishing.channel().await?;
    let site = Site::new(&programs.host)?;
    let field = Field { node, wire, producer, setting, programs, site, queue };
    let contenders = [Who::Together("lapin, together"), Who::Together("lapin, again"), Who::Host];
    let most = field.saturate(contenders[0]).await?;
    let mut levels = Vec::new();
    for &share in shares {
        let load = Load { rate: most * share, seconds, warm_up: seconds / 5.0 };
        let mut rows: Vec<Row> =
            contenders.iter().map(|it| Row { name: it.name().to_owned(), runs: vec![] }).collect();
        for round in 0..setting.rounds {
            for step in 0..contenders.len() {
                let at = (step + round) % contenders.len();
                let timed = field.run(contenders[at], load).await;
                rows[at].runs.push(timed.with_context(|| contenders[at].name())?);
            }
        }
        levels.push(Level { share, load, rows });
    }
    Ok(levels)
}

/// The median over a contender's runs of one of their quantiles.
#[must_use]
pub fn median(runs: &[Timed], what: impl Fn(&Timed) -> f64) -> f64 {
    quantile(&runs.iter().map(what).collect::<Vec<_>>(), 0.5)
}

impl Field<'_> {
    /// Messages a second that producer, broker and that consumer manage together.
    async fn saturate(&self, who: Who) -> anyhow::Result<f64> {
        let messages = readings(self.setting.bytes, 60_000)?;
        let tally = Tally::new(messages.len());
        let proxy = Proxy::start(self.node.address(), Arc::clone(&tally))?;
        let contender = self.start(who, &proxy).await?;
        let sink = self.sink(&tally).await?;
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        for (at, group) in messages.chunks(GROUP).enumerate() {
            while tally.open() > OPEN {
                ticks.tick().await;
            }
            self.publish(at * GROUP, group, &tally).await?;
        }
        tally.all(PATIENCE, self.setting.publishes).await?;
        let rate = messages.len() as f64 / begun.elapsed().as_secs_f64();
        sink.abort();
        contender.stop().await?;
        Ok(rate)
    }

    async fn run(&self, who: Who, load: Load) -> anyhow::Result<Timed> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some thousands"
        )]
        let count = |seconds: f64| (load.rate * seconds) as usize;
        let messages = readings(self.setting.bytes, count(load.seconds))?;
        let tally = Tally::new(messages.len());
        let proxy = Proxy::start(self.node.address(), Arc::clone(&tally))?;
        let contender = self.start(who, &proxy).await?;
        let sink = self.sink(&tally).await?;
        let mut ticks = tokio::time::interval(TICK);
        let begun = Instant::now();
        let mut sent = 0;
        while sent < messages.len() {
            ticks.tick().await;
            let due = count(begun.elapsed().as_secs_f64()).min(messages.len());
            if due > sent {
                self.publish(sent, &messages[sent..due], &tally).await?;
                sent = due;
            }
        }
        tally.all(PATIENCE, self.setting.publishes).await?;
        sink.abort();
        contender.stop().await?;
        let from = count(load.warm_up);
        Ok(Timed {
            settled: tally.settlements(from),
            output: self.setting.publishes.then(|| tally.outputs(from)),
        })
    }

    /// Starts a contender behind the proxy, and waits for its consumer.
    async fn start(&self, who: Who, proxy: &Proxy) -> anyhow::Result<Running> {
        let (url, queue) = (proxy.url(), self.queue.as_str());
        let command = command(who, self.setting, self.programs, &self.site, (&url, queue))?;
        let mut contender = Running::start(who.name(), command)?;
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let begun = Instant::now();
        loop {
            looks.tick().await;
            contender.check()?;
            let (left, consumers) = self.wire.depth(queue).await?;
            anyhow::ensure!(left == 0, "{left} messages are left from before");
            if consumers > 0 {
                return Ok(contender);
            }
            anyhow::ensure!(begun.elapsed() < START, "it doesn't consume");
        }
    }

    async fn publish(&self, first: usize, group: &[Sample], tally: &Tally) -> anyhow::Result<()> {
        let publishes = group.iter().enumerate().map(|(at, sample)| {
            tally.sent(first + at);
            let key = sample.routing_key.as_str().into();
            let (options, properties) = (BasicPublishOptions::default(), properties(sample));
            let exchange = self.queue.as_str().into();
            self.producer.basic_publish(exchange, key, options, &sample.body, properties)
        });
        for published in join_all(publishes).await {
            published?;
        }
        Ok(())
    }

    /// Takes the outputs, if there are any to come.
    async fn sink(&self, tally: &Arc<Tally>) -> anyhow::Result<tokio::task::JoinHandle<()>> {
        let channel = self.wire.channel().await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let (tag, none) = ("sink".into(), FieldTable::default());
        let mut consumer = channel.basic_consume(OUT.into(), tag, options, none).await?;
        let tally = Arc::clone(tally);
        Ok(tokio::spawn(async move {
            // Held, for a consumer goes with its channel.
            let _channel = channel;
            while let Some(Ok(delivery)) = consumer.next().await {
                number(delivery.routing_key.as_str()).into_iter().for_each(|it| tally.told(it));
            }
        }))
    }
}

/// Messages, each of a meter whose name is its number.
fn readings(bytes: usize, messages: usize) -> anyhow::Result<Vec<Sample>> {
    samples(Wanted { messages, keys: messages.max(1), bytes, encoding: Encoding::Json })
}
