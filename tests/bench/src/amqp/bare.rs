//! Consumers of plain lapin: as good as one who knows it writes them, and as most people do.

use std::io::Write as _;

use anyhow::Context as _;
use bench_logic::{Encoding, Reading, told};
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a bare consumer does.
#[derive(Clone, Debug, clap::Parser)]
pub struct Bare {
    /// The broker.
    #[arg(long)]
    pub url: String,
    /// The queue.
    #[arg(long)]
    pub queue: String,
    /// Unacknowledged messages at most.
    #[arg(long)]
    pub prefetch: u16,
    /// Where it publishes what it decides; nowhere: it only acknowledges.
    #[arg(long)]
    pub exchange: Option<String>,
    /// Messages that it acknowledges, and whose confirms it awaits, together; fewer where no more are there.
    #[arg(long)]
    pub together: usize,
    /// Threads of its runtime beside lapin's own; 0: the main thread alone.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// What it has open.
struct Lines {
    incoming: Channel,
    /// On a connection of its own, as RabbitMQ advises.
    outgoing: Option<(Channel, String)>,
}

/// Consumes until it is told to stop by SIGTERM.
///
/// # Errors
/// The broker is gone, or a message can't be read.
pub fn run(bare: &Bare) -> anyhow::Result<()> {
    let mut runtime = match bare.threads {
        0 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    runtime.enable_all().build()?.block_on(consume(bare))
}

async fn consume(bare: &Bare) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let connect = || Connection::connect(&bare.url, ConnectionProperties::default());
    let connection = connect().await?;
    let incoming = connection.create_channel().await?;
    incoming.basic_qos(bare.prefetch, BasicQosOptions::default()).await?;
    let mut publishing = None;
    let outgoing = match &bare.exchange {
        None => None,
        Some(exchange) => {
            let connection = publishing.insert(connect().await?);
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Some((channel, exchange.clone()))
        }
    };
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let queue = bare.queue.as_str().into();
    let mut consumer = incoming.basic_consume(queue, "bare".into(), options, none).await?;
    let lines = Lines { incoming, outgoing };
    let mut group = Vec::with_capacity(bare.together);
    while let Some(delivery) = next(&mut consumer, &mut stop).await? {
        group.push(delivery);
        while group.len() < bare.together
            && let Some(Some(delivery)) = consumer.next().now_or_never()
        {
            group.push(delivery?);
        }
        lines.finish(&mut group).await?;
    }
    lines.incoming.close(200, "done".into()).await?;
    std::io::stdout().flush()?;
    Ok(())
}

/// The next message; nothing once it is to stop.
async fn next(
    consumer: &mut lapin::Consumer,
    stop: &mut Signal,
) -> anyhow::Result<Option<Delivery>> {
    tokio::select! {
        biased;
        delivery = consumer.next() => Ok(Some(delivery.context("the consumer is gone")??)),
        _ = stop.recv() => Ok(None),
    }
}

impl Lines {
    /// Publishes what the messages say, if anywhere, and acknowledges them.
    async fn finish(&self, group: &mut Vec<Delivery>) -> anyhow::Result<()> {
        if let Some((channel, exchange)) = &self.outgoing {
            let decided = group.iter().map(decide).collect::<anyhow::Result<Vec<_>>>()?;
            let confirms = join_all(decided.iter().map(|(meter, body)| {
                let properties = BasicProperties::default()
                    .with_delivery_mode(2)
                    .with_content_type("application/json".into());
                let options =
                    BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                channel.basic_publish(
                    exchange.as_str().into(),
                    meter.as_str().into(),
                    options,
                    body,
                    properties,
                )
            }));
            for confirm in confirms.await {
                let confirmed = matches!(confirm?.await?, Confirmation::Ack(None));
                anyhow::ensure!(confirmed, "the broker refused a message");
            }
        }
        if let Some(last) = group.last() {
            let options = BasicAckOptions { multiple: group.len() > 1 };
            self.incoming.basic_ack(last.delivery_tag, options).await?;
        }
        group.clear();
        Ok(())
    }
}

/// What the benchmark's plugin would emit.
fn decide(delivery: &Delivery) -> anyhow::Result<(String, Vec<u8>)> {
    let reading = Reading::check(&delivery.data, Encoding::Json);
    let reading = reading.map_err(|why| anyhow::anyhow!("a reading that is none: {why:?}"))?;
    Ok((reading.meter.to_owned(), told(&reading, 0.0)))
}
