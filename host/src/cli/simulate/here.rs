//! A config run in this process, on its own broker or on one that is here too.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::feed::Fed;
use super::{Args, exchange, feed, name_of};
use crate::config::{BrokerKind, Config};
use crate::limits;
use crate::service::Service;
use crate::simulate::town::Town;
use crate::telemetry::{PipelineSnapshot, Telemetry};

/// Between two looks at how it goes.
const LOOK: Duration = Duration::from_millis(500);
/// Looks without anything new after which all is settled.
const QUIET_LOOKS: u32 = 4;

/// Runs the config until all that was published is settled.
pub(super) async fn run(
    args: &Args,
    mut config: Config,
    town: &mut Town,
    stop: &CancellationToken,
) -> anyhow::Result<Fed> {
    if args.embedded {
        for broker in config.brokers.values_mut() {
            broker.kind = BrokerKind::Embedded;
        }
        let own = format!("sluicegate-simulate-{}", std::process::id());
        config.service.state_dir = std::env::temp_dir().join(own);
    }
    let state_dir = config.service.state_dir.clone();
    let ran = serve(args, config, town, stop).await;
    if args.embedded {
        // Nobody comes back to what was remembered beside a broker that is gone.
        let _ = std::fs::remove_dir_all(state_dir);
    }
    ran
}

async fn serve(
    args: &Args,
    config: Config,
    town: &mut Town,
    stop: &CancellationToken,
) -> anyhow::Result<Fed> {
    let name = name_of(args, &config)?;
    let exchange = config.brokers.get(&name).map(|broker| exchange(args, &broker.kind));
    let exchange = exchange.unwrap_or_default();
    println!("starting: compiling plugins, declaring queues");
    let drain = config.service.drain;
    let telemetry = Telemetry::new();
    let service = Service::start(config, telemetry.clone()).await?;
    let broker = service.broker(&name).context("the host has no such broker")?;
    let mut look = tokio::time::interval(LOOK);
    let begun = tokio::time::Instant::now();
    while !service.host().ready().ready {
        if begun.elapsed() >= limits::DEMO_START {
            bail!("the host isn't ready: {}", service.host().ready().reasons.join("; "));
        }
        look.tick().await;
    }
    let fed = {
        let feeding = feed(args, (&broker, &exchange), town, stop);
        tokio::pin!(feeding);
        loop {
            tokio::select! {
                fed = &mut feeding => break fed?,
                _ = look.tick() => {}
            }
        }
    };
    let (mut before, mut quiet) = (0, 0);
    while quiet < QUIET_LOOKS && !stop.is_cancelled() {
        look.tick().await;
        let all = telemetry.snapshot();
        let received = all.iter().map(|pipeline| pipeline.received).sum();
        let idle = all.iter().all(|pipeline| pipeline.in_flight == 0);
        quiet = if idle && received == before { quiet + 1 } else { 0 };
        before = received;
    }
    let mut all = telemetry.snapshot();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.iter().for_each(|pipeline| println!("{}", line(pipeline)));
    service.stop(drain).await;
    Ok(fed)
}

/// What a pipeline did.
fn line(pipeline: &PipelineSnapshot) -> String {
    let emitted = pipeline.emitted.iter().map(|(output, count)| format!("{count} {output}"));
    let failures = pipeline.failures.iter().map(|((_, code), count)| format!("{count} {code}"));
    let list =
        |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    format!(
        "{:12} {:>9} taken  emitted: {}  failed: {}",
        pipeline.name,
        pipeline.received,
        list(emitted.collect()),
        list(failures.collect())
    )
}
