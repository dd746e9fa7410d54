//! Recorded messages through a pipeline of the config, on a broker in this process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Args;
use crate::broker::embedded::Embedded;
use crate::broker::{
    BindingDeclaration, Broker, ConsumeRequest, Consumer, Declaration, Delivery, Destination,
    ExchangeDeclaration, Outgoing, Published, QueueDeclaration, Settlement,
};
use crate::cli::exit;
use crate::cli::scratch::Scratch;
use crate::config::{self, BrokerKind, Config, Declare, ExchangeKind, QueueKind, Retry};
use crate::limits::{REPLAY_EXCHANGE, REPLAY_GROUP, REPLAY_LOOK, REPLAY_QUIET, REPLAY_WAITING};
use crate::message::{Message, Table};
use crate::pipeline::headers;
use crate::publish::exported;
use crate::publish::record::{Content, Format, Records};
use crate::service::Service;
use crate::telemetry::logging::printable;
use crate::telemetry::{PipelineSnapshot, Telemetry};

/// How fast messages go in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// As their timestamps are apart.
    Recorded,
    /// So many a second.
    Rate(f64),
}

/// Reads `--pace`.
pub(super) fn pace(text: &str) -> Result<Pace, String> {
    match text {
        "recorded" => Ok(Pace::Recorded),
        _ => crate::cli::publish::rate(text)
            .map(Pace::Rate)
            .map_err(|error| format!("{error}; or `recorded`")),
    }
}

/// What the pipeline's outputs are caught with.
const CATCH: &str = "sluicegate.caught.";

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (Some(from), Some(name)) = (&args.from, &args.pipeline) else {
        bail!("name the messages with --from and the pipeline with --pipeline");
    };
    let file = args.config.as_deref().unwrap_or_else(|| "sluicegate.toml".as_ref());
    let config = match config::read(file) {
        Ok((config, _)) => config,
        Err(problems) => {
            let source = std::fs::read_to_string(file).unwrap_or_default();
            eprint!("{}", config::render_all(&problems, &source, false));
            return Ok(ExitCode::from(exit::CONFIG));
        }
    };
    let input = File::open(from).with_context(|| format!("can't open {}", from.display()))?;
    let records = Records::new(Box::new(input), Format::Jsonl, None, true, Arc::default())?;
    let folder = Scratch::new("replay")?;
    let mut stage = Stage::set(config, name, &folder).await?;
    let began = Instant::now();
    let sent = stage.send(records, args.pace, args.json).await?;
    stage.finish(sent, args.json).await?;
    let code = stage.sum_up(sent, began.elapsed(), args.json)?;
    stage.service.stop(Duration::ZERO).await;
    Ok(code)
}

/// A pipeline on a broker of its own, and what comes out of it.
struct Stage {
    service: Service,
    broker: Arc<Embedded>,
    pipeline: String,
    queue: String,
    outputs: Vec<(String, Box<dyn Consumer>)>,
    came_out: BTreeMap<String, u64>,
}

impl Stage {
    async fn set(mut config: Config, name: &str, folder: &Scratch) -> anyhow::Result<Self> {
        let names = || config.pipelines.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        let Some(at) = config.pipelines.iter().position(|pipeline| pipeline.name == name) else {
            bail!("the config has no pipeline '{name}'; it has: {}", names().join(", "));
        };
        let mut pipeline = config.pipelines.swap_remove(at);
        // A wait of hours would tell nothing; with one attempt each message ends once.
        pipeline.retry = Retry::never();
        for (output, target) in &mut pipeline.outputs {
            target.broker.clone_from(&pipeline.broker);
            target.exchange = format!("{CATCH}{output}");
        }
        let used = |plugin: &str| pipeline.stages.iter().any(|stage| stage.plugin == plugin);
        config.plugins.retain(|plugin, _| used(plugin));
        config.queues.retain(|queue| queue.broker == pipeline.broker);
        for broker in config.brokers.values_mut() {
            broker.kind = BrokerKind::Embedded;
            broker.declare = Declare::Create;
        }
        config.notify.clear();
        config.service.state_dir = folder.path().to_owned();
        config.service.archive_dir = folder.path().join("archive");
        let broker = Embedded::new();
        let (queue, home) = (pipeline.queue.clone(), pipeline.broker.clone());
        let mut outputs = Vec::new();
        for output in pipeline.outputs.keys() {
            outputs.push((output.clone(), catch(&broker, output).await?));
        }
        config.pipelines = vec![pipeline];
        let open = |name: &String| -> (String, Arc<dyn Broker>) {
            let own = *name == home;
            (name.clone(), if own { broker.clone() } else { Embedded::new() })
        };
        let brokers = config.brokers.keys().map(open).collect();
        let service = Service::start_on(config, Telemetry::new(), brokers).await?;
        let pipeline = name.to_owned();
        Ok(Self { service, broker, pipeline, queue, outputs, came_out: BTreeMap::new() })
    }

    /// Sends every record; how many there were.
    async fn send(
        &mut self,
        records: Records,
        pace: Option<Pace>,
        json: bool,
    ) -> anyhow::Result<u64> {
        self.wait_for_binding().await?;
        let mut publisher = self.broker.publisher().await?;
        let (mut sent, mut group) = (0, Vec::new());
        let began = Instant::now();
        let mut first = None;
        for record in records {
            let record = record?;
            let Content::Json(line) = &record.content else { continue };
            let message = exported::message(line, &record.raw)
                .map_err(|error| anyhow!("{}: {error}", record.place))?;
            if let Some(due) = due(pace, sent, &message, &mut first) {
                self.publish(&mut *publisher, &mut group).await?;
                self.until(began + due, json).await?;
            }
            group.push(self.outgoing(message));
            sent += 1;
            if group.len() >= REPLAY_GROUP {
                self.publish(&mut *publisher, &mut group).await?;
                while self.behind(sent) > REPLAY_WAITING {
                    self.until(Instant::now() + REPLAY_LOOK, json).await?;
                }
            }
        }
        self.publish(&mut *publisher, &mut group).await?;
        Ok(sent)
    }

    /// Hosts bind their queues to the exchange for replays when they have connected.
    async fn wait_for_binding(&self) -> anyhow::Result<()> {
        let ready = async {
            while !self.service.status().readiness.ready {
                tokio::time::sleep(REPLAY_LOOK).await;
            }
        };
        tokio::time::timeout(REPLAY_QUIET, ready).await.map_err(|_| {
            let why = self.service.status().readiness.reasons.join("; ");
            anyhow!("the pipeline doesn't start: {why}")
        })
    }

    fn outgoing(&self, message: Message) -> Outgoing {
        let mut properties = message.properties;
        properties.headers.set(headers::EXCHANGE, message.exchange.as_str());
        properties.headers.set(headers::ROUTING_KEY, message.routing_key.as_str());
        let (exchange, routing_key) = (REPLAY_EXCHANGE.to_owned(), self.queue.clone());
        Outgoing { exchange, routing_key, properties, body: message.body }
    }

    async fn publish(
        &self,
        publisher: &mut dyn crate::broker::Publisher,
        group: &mut Vec<Outgoing>,
    ) -> anyhow::Result<()> {
        for published in publisher.publish(group).await {
            if published != Published::Confirmed {
                bail!("a message can't be sent into queue '{}': {published:?}", self.queue);
            }
        }
        group.clear();
        Ok(())
    }

    fn figures(&self) -> PipelineSnapshot {
        let all = self.service.telemetry().snapshot();
        all.into_iter().find(|one| one.name == self.pipeline).unwrap_or_default()
    }

    /// Messages that were sent and haven't ended.
    fn behind(&self, sent: u64) -> u64 {
        sent.saturating_sub(ended(&self.figures()))
    }

    /// Takes what comes out until then.
    async fn until(&mut self, when: Instant, json: bool) -> anyhow::Result<()> {
        for (output, consumer) in &mut self.outputs {
            while let Ok(next) = tokio::time::timeout(Duration::ZERO, consumer.next()).await {
                let count = self.came_out.entry(output.clone()).or_default();
                *count += 1;
                take(output, next?, json)?;
            }
        }
        tokio::time::sleep_until(when).await;
        Ok(())
    }

    /// Waits until every message has ended; gives up where nothing has for long.
    async fn finish(&mut self, sent: u64, json: bool) -> anyhow::Result<()> {
        let (mut left, mut since) = (self.behind(sent), Instant::now());
        while left > 0 {
            self.until(Instant::now() + REPLAY_LOOK, json).await?;
            let now = self.behind(sent);
            if now < left {
                (left, since) = (now, Instant::now());
            }
            if since.elapsed() > REPLAY_QUIET {
                bail!("{left} of {sent} messages haven't ended, and nothing happens any more");
            }
        }
        self.until(Instant::now(), json).await
    }

    fn sum_up(&self, sent: u64, took: Duration, json: bool) -> anyhow::Result<ExitCode> {
        let figures = self.figures();
        let failed = figures.dead_lettered + figures.annotated + figures.discarded;
        let failures: Vec<Value> = figures
            .failures
            .iter()
            .map(|((class, code), count)| json!({ "class": class, "code": code, "count": count }))
            .collect();
        let summary = json!({
            "sent": sent, "done": figures.done, "dropped": figures.dropped,
            "duplicates": figures.duplicates, "failed": failed, "failures": failures,
            "outputs": self.came_out, "state_keys": figures.state_keys,
            "seconds": took.as_secs_f64(),
        });
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", json!({ "summary": summary }))?;
        } else {
            writeln!(out, "messages  {sent} in {:.1} s", took.as_secs_f64())?;
            writeln!(
                out,
                "ended     {} done, {} dropped, {} duplicates, {failed} failed",
                figures.done, figures.dropped, figures.duplicates
            )?;
            for (output, count) in &self.came_out {
                writeln!(out, "output    {}: {count}", printable(output))?;
            }
            for ((class, code), count) in &figures.failures {
                writeln!(out, "failure   {class} {}: {count}", printable(code))?;
            }
            if figures.state_keys > 0 {
                writeln!(out, "state     {} keys", figures.state_keys)?;
            }
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::LEFT) })
    }
}

fn ended(figures: &PipelineSnapshot) -> u64 {
    let failed = figures.dead_lettered + figures.annotated + figures.discarded;
    figures.done + figures.dropped + figures.duplicates + figures.retried + failed
}

/// When a message is due, from the start on; `None` is at once.
fn due(
    pace: Option<Pace>,
    number: u64,
    message: &Message,
    first: &mut Option<u64>,
) -> Option<Duration> {
    match pace? {
        Pace::Rate(rate) => Some(Duration::from_secs_f64(number as f64 / rate)),
        Pace::Recorded => {
            let at = message.properties.timestamp?;
            Some(Duration::from_secs(at.saturating_sub(*first.get_or_insert(at))))
        }
    }
}

/// A queue that gets all that goes to an output.
async fn catch(broker: &Arc<Embedded>, output: &str) -> anyhow::Result<Box<dyn Consumer>> {
    let name = format!("{CATCH}{output}");
    let exchange = ExchangeDeclaration {
        name: name.clone(),
        kind: ExchangeKind::Fanout,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    };
    let queue = QueueDeclaration {
        name: name.clone(),
        kind: QueueKind::Classic,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: Table::default(),
    };
    let binding = BindingDeclaration {
        source: name.clone(),
        destination: Destination::Queue(name.clone()),
        key: String::new(),
        arguments: Table::default(),
    };
    broker.declare(&Declaration::Exchange(exchange)).await?;
    broker.declare(&Declaration::Queue(queue)).await?;
    broker.declare(&Declaration::Binding(binding)).await?;
    let request = ConsumeRequest {
        queue: name,
        declare: Vec::new(),
        prefetch: u16::MAX,
        exclusive: true,
        tag: "sluicegate.replay".to_owned(),
    };
    Ok(broker.consume(request).await?)
}

/// Counts what came out; as JSON it is a line that `replay --from` reads.
fn take(output: &str, delivery: Delivery, json: bool) -> anyhow::Result<()> {
    let Delivery { message, receipt, .. } = delivery;
    receipt.settle(Settlement::Ack);
    if json {
        let mut line = exported::line(&message);
        line["output"] = output.into();
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_recorded_or_a_rate() {
        assert_eq!(pace("recorded"), Ok(Pace::Recorded));
        assert_eq!(pace("30/m"), Ok(Pace::Rate(0.5)));
        assert!(pace("fast").is_err_and(|error| error.contains("recorded")));
    }

    #[test]
    fn a_recorded_pace_goes_by_the_first_timestamp() {
        let at = |seconds| {
            let mut message = Message::default();
            message.properties.timestamp = seconds;
            message
        };
        let mut first = None;
        let mut of = |seconds| due(Some(Pace::Recorded), 0, &at(seconds), &mut first);
        assert_eq!(of(Some(100)), Some(Duration::ZERO));
        assert_eq!(of(Some(107)), Some(Duration::from_secs(7)));
        assert_eq!(of(None), None);
        assert_eq!(
            due(Some(Pace::Rate(2.0)), 5, &at(None), &mut None),
            Some(Duration::from_millis(2500))
        );
    }
}
