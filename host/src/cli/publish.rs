//! `sluicegate publish`: records of a file, or of standard input, to an exchange.

mod plan;
mod watch;

pub(super) use self::plan::rate;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::exit;
use crate::broker;
use crate::limits;
use crate::publish::recipe::BodyKind;
use crate::publish::record::Format;
use crate::publish::send::{End, Job, Progress};

/// Options of `publish`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub struct Args {
    /// The file with the records; `-` is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// The broker: amqp://USER:PASSWORD@HOST:5672/%2f
    #[arg(long, value_name = "URL", env = "SLUICEGATE_BROKER", conflicts_with = "config")]
    broker: Option<String>,
    /// Take the broker from this config file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The broker's name in the config, where it has several
    #[arg(long, value_name = "NAME", requires = "config")]
    broker_name: Option<String>,
    /// The exchange; "" is the default exchange, where the routing key is a queue's name
    #[arg(short, long, value_name = "NAME")]
    exchange: String,
    /// Routing key
    #[arg(short = 'k', long, value_name = "TEMPLATE", default_value = "")]
    routing_key: String,
    /// A header of text, or NAME:=TEMPLATE to keep the type of a number, a boolean or null
    #[arg(short = 'H', long = "header", value_name = "NAME=TEMPLATE")]
    headers: Vec<String>,
    /// The `type` property
    #[arg(long = "type", value_name = "TEMPLATE")]
    kind: Option<String>,
    /// The `message_id` property; "" for none [default: {uuid}]
    #[arg(long, value_name = "TEMPLATE")]
    message_id: Option<String>,
    /// The `content_type` property [default: what the body is]
    #[arg(long, value_name = "MIME")]
    content_type: Option<String>,
    /// The `priority` property
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// The `expiration` property, in milliseconds
    #[arg(long, value_name = "MS")]
    expiration: Option<u64>,
    /// Let messages go with a broker's restart, for speed
    #[arg(long)]
    transient: bool,
    /// How the input is written [default: by the file's extension; JSON lines from `-`]
    #[arg(long)]
    format: Option<Format>,
    /// What stands between CSV's cells [default: what the header row suggests]
    #[arg(long, value_name = "CHAR")]
    delimiter: Option<char>,
    /// A field NAME holding, as RFC 3339, the time that TEMPLATE gives; see --time-format
    #[arg(long = "time", value_name = "NAME=TEMPLATE")]
    times: Vec<String>,
    /// How --time is written, in strptime's words; without a zone it is UTC
    #[arg(long, value_name = "FORMAT", default_value = "%Y-%m-%d %H:%M:%S", requires = "times")]
    time_format: String,
    /// The body [default: the whole record]
    #[arg(long, value_name = "TEMPLATE")]
    body: Option<String>,
    /// Each record is a whole message, as `dlq export` and archives write them: its body, properties and
    /// headers, and its routing key, but for what is said otherwise
    #[arg(long, conflicts_with_all = ["body", "body_kind", "times"])]
    exported: bool,
    /// What bodies are written in [default: as the input is; JSON for CSV]
    #[arg(long = "as", value_name = "KIND")]
    body_kind: Option<BodyKind>,
    /// Messages per record, told apart by {copy}
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    copies: u64,
    /// Passes over the file, told apart by {pass}
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Messages a second at most: 500, 500/s, 30/m
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<f64>,
    /// Keep the order: one group in flight instead of several
    #[arg(long)]
    ordered: bool,
    /// What a bad record means
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    on_error: OnError,
    /// Messages that no queue takes are no error
    #[arg(long)]
    allow_unroutable: bool,
    /// Print the first messages instead of publishing
    #[arg(long)]
    dry_run: bool,
}

/// What a bad record means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// The end, after those before it
    Stop,
    /// Leave it out and count it
    Skip,
}

const HELP: &str = "\
Templates: {field} is the record's, {a.b} looks into an object. Counters: {seq} the message's number, \
{line} the record's, {copy}, {pass}; {uuid}, {now}. {copy:03} pads with zeros, {.seq} is a field \
with a counter's name, {{ a brace. In --body, outside quotes, numbers stay numbers.

Half-hourly readings of one household as those of 250 meters:

  sluicegate publish household.csv --broker amqp://localhost -e meters --copies 250 \\
    -k 'meter.north.m-{copy:03}.reading' -H 'meter-id=m-{copy:03}' --type reading \\
    --message-id '{line}-{copy}' --time 'ts={Date} {Time}' --time-format '%d/%m/%Y %H:%M:%S' \\
    --body '{\"meter\":\"m-{copy:03}\",\"ts\":\"{ts}\",\"kwh\":{Global_active_power},\"voltage\":{Voltage}}'

Ends with 0 once every message is confirmed, 1 where one isn't, 130 after Ctrl-C.";

/// Runs the verb.
///
/// # Errors
/// What is wrong with the options, or a broker that can't be reached.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let feed = plan::feed(&args)?;
    if args.dry_run {
        return plan::print_first(feed);
    }
    let (name, broker) = plan::broker(&args)?;
    let broker = broker::open(&name, &broker);
    let server = broker.server().await.with_context(|| {
        format!("broker '{name}': nothing is published; is it running, and the address right?")
    })?;
    let progress = Arc::new(Progress::default());
    let stop = CancellationToken::new();
    tokio::spawn(interrupt(stop.clone()));
    let watch = watch::Watch::new(&args, Arc::clone(&progress), &server);
    let job = Job {
        feed,
        broker: Arc::clone(&broker),
        publishers: if args.ordered { 1 } else { limits::PUBLISH_PUBLISHERS },
        rate_per_s: args.rate,
        progress: Arc::clone(&progress),
        stop,
    };
    let end = watch.over(job.run()).await;
    broker.close().await;
    let counts = progress.counts();
    Ok(match end {
        End::Complete if counts.unroutable == 0 || args.allow_unroutable => ExitCode::SUCCESS,
        End::Complete => {
            eprintln!("sluicegate: bind a queue, or say --allow-unroutable");
            ExitCode::from(exit::FAILURE)
        }
        End::Interrupted => ExitCode::from(exit::INTERRUPTED),
        End::Failed(text) => {
            eprintln!("sluicegate: {text}");
            ExitCode::from(exit::FAILURE)
        }
    })
}

/// The first Ctrl-C ends the run in order, the second at once.
async fn interrupt(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    stop.cancel();
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(exit::INTERRUPTED.into());
    }
}
