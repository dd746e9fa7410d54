//! `sluicegate simulate`: a town's meters, for load and for figures; with the truth written beside.

mod feed;
mod here;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use tokio_util::sync::CancellationToken;

use self::feed::{Fed, Feed};
use super::exit;
use crate::broker::{self, Broker};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::simulate;
use crate::simulate::town::{Settings, Town};

/// Options of `simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The broker: amqp://USER:PASSWORD@HOST:5672/%2f or mqtt://HOST:1883
    #[arg(long, value_name = "URL", env = "SLUICEGATE_BROKER", conflicts_with = "config")]
    broker: Option<String>,
    /// Take the broker from this config file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Run the config in this process too, until all that was published is settled
    #[arg(long, requires = "config")]
    run: bool,
    /// The same on a broker in this process, whatever the config's is
    #[arg(long, requires = "config")]
    embedded: bool,
    /// Which of the config's brokers [default: main]
    #[arg(long, value_name = "NAME", requires = "config")]
    on: Option<String>,
    /// The exchange to publish to [default: meters; by MQTT there is none: topics are meter/REGION/METER/KIND]
    #[arg(short, long, value_name = "NAME")]
    exchange: Option<String>,
    /// Meters
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    meters: u32,
    /// Days
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Seconds from one reading of a meter to the next
    #[arg(long, value_name = "S", default_value_t = 900, value_parser = clap::value_parser!(u32).range(60..=86_400))]
    interval: u32,
    /// When it begins, as RFC 3339 [default: so many days ago, at midnight UTC]
    #[arg(long, value_name = "TIME")]
    start: Option<jiff::Timestamp>,
    /// What happens: the same seed, the same messages
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Readings of a hundred that come late, up to a day
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    late: f64,
    /// Readings of a hundred that come twice
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    twice: f64,
    /// Readings of a hundred that never come
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    lost: f64,
    /// Meters of a hundred that an anomaly or a fault is planted in
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    planted: f64,
    /// Meters of a hundred whose clock drifts
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    drifting: f64,
    /// Transformers that fail
    #[arg(long, value_name = "N", default_value_t = 1)]
    outages: u32,
    /// Messages a second at most: 500, 500/s, 30/m
    #[arg(long, value_name = "N/s", value_parser = super::publish::rate)]
    rate: Option<f64>,
    /// Write what was planted, lost, late and sent to this file, a JSON object a line
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Write what a table of these meters says to this file, as CSV, before anything is published
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// What is wrong with the options, or a broker that takes nothing.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut town = Town::new(settings(&args)?);
    if let Some(path) = &args.table {
        let written = std::fs::write(path, town.table());
        written.with_context(|| format!("can't write {}", path.display()))?;
    }
    let stop = CancellationToken::new();
    tokio::spawn(interrupt(stop.clone()));
    let fed = if args.run || args.embedded {
        here::run(&args, config_of(&args)?, &mut town, &stop).await?
    } else {
        let (name, settings) = target(&args)?;
        let (broker, exchange) = (broker::open(&name, &settings), exchange(&args, &settings.kind));
        let server = broker.server().await;
        server.with_context(|| format!("broker '{name}': nothing is published"))?;
        let fed = feed(&args, (&broker, &exchange), &mut town, &stop).await;
        broker.close().await;
        fed?
    };
    println!(
        "{} messages published and confirmed in {:.1} s, {} that no queue took",
        fed.confirmed,
        fed.time.as_secs_f64(),
        fed.unroutable
    );
    Ok(if stop.is_cancelled() { ExitCode::from(exit::INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// Publishes the town's messages, and writes the truth.
async fn feed(
    args: &Args,
    (broker, exchange): (&Arc<dyn Broker>, &str),
    town: &mut Town,
    stop: &CancellationToken,
) -> anyhow::Result<Fed> {
    let publisher = broker.publisher().await.map_err(|error| anyhow!("{error}"))?;
    let mut feed = Feed::new(publisher, args.rate, exchange, args.truth.as_deref())?;
    feed.all(town, stop).await
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    let interval_s = i64::from(args.interval);
    ensure!(
        86_400 % interval_s == 0,
        "--interval {interval_s}: a day has no whole number of such intervals; 900 and 1800 are usual"
    );
    let start_s = match args.start {
        Some(start) => start.as_second(),
        None => {
            let now_s = i64::try_from(Clock::system().now_s()).unwrap_or(0);
            (now_s / 86_400 - i64::from(args.days)) * 86_400
        }
    };
    ensure!(start_s > 0, "--start lies before 1970");
    Ok(Settings {
        seed: args.seed,
        meters: args.meters as usize,
        interval_s,
        start_s: start_s / interval_s * interval_s,
        days: args.days,
        late: args.late / 100.0,
        twice: args.twice / 100.0,
        lost: args.lost / 100.0,
        planted: args.planted / 100.0,
        drifting: args.drifting / 100.0,
        outages: args.outages as usize,
    })
}

fn config_of(args: &Args) -> anyhow::Result<Config> {
    let path = args.config.as_ref().context("which config? Say -c FILE")?;
    let (config, _) = config::read(path).map_err(|problems| {
        let errors = problems.iter().filter(|p| p.severity == config::Severity::Error);
        let texts: Vec<_> = errors.map(|p| format!("{}; {}", p.message, p.remedy)).collect();
        anyhow!("{}: {}", path.display(), texts.join("\n"))
    })?;
    Ok(config)
}

/// The broker and its name.
fn target(args: &Args) -> anyhow::Result<(String, config::Broker)> {
    let mut config = match (&args.config, &args.broker) {
        (Some(_), _) => config_of(args)?,
        (None, Some(url)) => {
            let text = format!("[broker.main]\nurl = {}\n", toml::Value::String(url.clone()));
            let parsed = config::parse(&text, std::path::Path::new("--broker"));
            parsed.map_err(|_| anyhow!("--broker: '{url}' is no address of a broker"))?.0
        }
        (None, None) => {
            bail!("which broker? Say --broker amqp://HOST:5672/%2f, or -c FILE for a config's")
        }
    };
    let name = name_of(args, &config)?;
    let broker = config.brokers.remove(&name).context("the config names no broker")?;
    if matches!(broker.kind, config::BrokerKind::Embedded) {
        bail!(
            "the embedded broker lives and ends with its process: say --embedded to run the config here"
        );
    }
    Ok((name, broker))
}

/// The broker that is meant.
fn name_of(args: &Args, config: &Config) -> anyhow::Result<String> {
    let brokers = &config.brokers;
    if let Some(name) = &args.on {
        ensure!(brokers.contains_key(name), "--on {name}: the config names no such broker");
        return Ok(name.clone());
    }
    let name = brokers.keys().find(|name| *name == "main").or(brokers.keys().next());
    name.cloned().context("the config names no broker")
}

/// Where a broker of that kind is published to: MQTT has no exchanges.
fn exchange(args: &Args, kind: &config::BrokerKind) -> String {
    let usual = if matches!(kind, config::BrokerKind::Mqtt(_)) { "" } else { simulate::EXCHANGE };
    args.exchange.as_deref().unwrap_or(usual).to_owned()
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("0 to 100".to_owned()),
    }
}

/// The first Ctrl-C ends it in order, the second at once.
async fn interrupt(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    stop.cancel();
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(exit::INTERRUPTED.into());
    }
}
