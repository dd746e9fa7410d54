//! From options to what is meant by them.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, anyhow, bail};

use super::{Args, OnError};
use crate::config;
use crate::publish::recipe::{BodyKind, Header, Recipe, Time};
use crate::publish::record::{Format, Records};
use crate::publish::send::Feed;
use crate::publish::template::Template;

/// Records that `--dry-run` shows the messages of.
const SHOWN: usize = 3;

/// A rate in messages a second: `500`, `500/s`, `30/m`.
pub(in crate::cli) fn rate(text: &str) -> Result<f64, String> {
    let (number, seconds) = match text.split_once('/') {
        None | Some((_, "s")) => (text.trim_end_matches("/s"), 1.0),
        Some((number, "m")) => (number, 60.0),
        Some(_) => return Err("write 500, 500/s or 30/m".to_owned()),
    };
    match number.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate / seconds),
        _ => Err("write a number above 0, as 500 or 500/s".to_owned()),
    }
}

/// The broker and its name.
pub(super) fn broker(args: &Args) -> anyhow::Result<(String, config::Broker)> {
    if let Some(file) = &args.config {
        let (config, _) = config::read(file).map_err(|problems| listed(&problems))?;
        let names = || config.brokers.keys().cloned().collect::<Vec<_>>().join(", ");
        let name = match (&args.broker_name, config.brokers.len()) {
            (Some(name), _) => name.clone(),
            (None, 1) => names(),
            (None, _) => bail!(
                "{} has several brokers; choose with --broker-name: {}",
                file.display(),
                names()
            ),
        };
        let Some(broker) = config.brokers.get(&name) else {
            bail!("{} has no broker '{name}'; it has: {}", file.display(), names());
        };
        return Ok((name, broker.clone()));
    }
    let Some(url) = &args.broker else {
        bail!("which broker? Say --broker amqp://HOST:5672/%2f, or -c FILE for a config's");
    };
    let text = format!("[broker.main]\nurl = {}\n", toml::Value::String(url.clone()));
    let (mut config, _) = config::parse(&text, Path::new("--broker")).map_err(|problems| {
        let errors = problems.iter().filter(|p| p.severity == config::Severity::Error);
        let texts: Vec<_> = errors.map(|p| format!("{}; {}", p.message, p.remedy)).collect();
        anyhow!("--broker: {}", texts.join("; "))
    })?;
    let broker = config.brokers.remove("main").context("--broker names no broker")?;
    if matches!(broker.kind, config::BrokerKind::Embedded) {
        bail!("--broker: the embedded broker lives and ends with its process; name a RabbitMQ");
    }
    Ok(("main".to_owned(), broker))
}

fn listed(problems: &[config::Problem]) -> anyhow::Error {
    let errors = problems.iter().filter(|p| p.severity == config::Severity::Error);
    let texts: Vec<_> = errors
        .map(|p| format!("{}:{}: {}; {}", p.file.display(), p.line, p.message, p.remedy))
        .collect();
    anyhow!("{}", texts.join("\n"))
}

/// What is read, and what becomes of it.
pub(super) fn feed(args: &Args) -> anyhow::Result<Feed> {
    let stdin = args.input.as_os_str() == "-";
    if stdin && args.repeat > 1 {
        bail!("--repeat reads the input again, which standard input can't; name a file");
    }
    let format = match (args.format, stdin) {
        (Some(format), _) => format,
        (None, true) => Format::Jsonl,
        (None, false) => by_extension(&args.input)?,
    };
    let delimiter = args.delimiter.map(|c| {
        u8::try_from(c)
            .with_context(|| format!("--delimiter '{c}' isn't one byte; take , ; | or a tab"))
    });
    if args.delimiter.is_some() && format != Format::Csv {
        bail!("--delimiter is for CSV; say --format csv if the input is that");
    }
    if args.exported && format != Format::Jsonl {
        bail!("--exported reads JSON lines; say --format jsonl if the input is that");
    }
    let recipe = recipe(args, format)?;
    let path = args.input.clone();
    if !stdin {
        // Now, so that a wrong name is told before a broker is asked.
        File::open(&path).with_context(|| format!("can't open {}", path.display()))?;
    }
    let open = move || -> std::io::Result<Box<dyn Read + Send>> {
        Ok(if stdin { Box::new(std::io::stdin()) } else { Box::new(File::open(&path)?) })
    };
    Ok(Feed {
        open: Box::new(open),
        format,
        delimiter: delimiter.transpose()?,
        recipe,
        copies: args.copies,
        passes: args.repeat,
        limit: args.limit,
        skip_bad: args.on_error == OnError::Skip,
    })
}

fn by_extension(path: &Path) -> anyhow::Result<Format> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    Ok(match extension.to_ascii_lowercase().as_str() {
        "jsonl" | "ndjson" | "json" => Format::Jsonl,
        "csv" | "tsv" => Format::Csv,
        "msgpack" | "mpk" | "mp" => Format::Msgpack,
        "txt" | "log" => Format::Lines,
        _ => bail!("how is {} written? Say --format jsonl, csv, msgpack or lines", path.display()),
    })
}

fn recipe(args: &Args, format: Format) -> anyhow::Result<Recipe> {
    let body_kind = args.body_kind.unwrap_or(match (format, &args.body) {
        (Format::Lines, Some(_)) => BodyKind::Json,
        _ => BodyKind::natural(format),
    });
    let body = args.body.as_deref().map(|source| match body_kind {
        BodyKind::Json | BodyKind::Msgpack => Template::json(source),
        BodyKind::Text => Template::text(source),
    });
    let text =
        |option: &str, source: &str| Template::text(source).map_err(|e| anyhow!("{option}: {e}"));
    // A message that was exported has an id, or had none.
    let message_id = args.message_id.as_deref().or((!args.exported).then_some("{uuid}"));
    Ok(Recipe {
        exchange: args.exchange.clone(),
        routing_key: text("--routing-key", &args.routing_key)?,
        headers: args.headers.iter().map(|header| read_header(header)).collect::<Result<_, _>>()?,
        kind: args.kind.as_deref().map(|kind| text("--type", kind)).transpose()?,
        message_id: message_id.map(|id| text("--message-id", id)).transpose()?,
        content_type: args.content_type.clone(),
        priority: args.priority,
        expiration_ms: args.expiration,
        persistent: !args.transient,
        times: args.times.iter().map(|time| read_time(time, args)).collect::<Result<_, _>>()?,
        body: body.transpose().map_err(|error| anyhow!("--body: {error}"))?,
        body_kind,
        exported: args.exported,
    })
}

fn read_header(text: &str) -> anyhow::Result<Header> {
    let (name, value) =
        text.split_once('=').with_context(|| format!("--header '{text}': write NAME=TEMPLATE"))?;
    let (name, typed) = match name.strip_suffix(':') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let value = Template::text(value).map_err(|error| anyhow!("--header {name}: {error}"))?;
    Ok(Header { name: name.to_owned(), value, typed })
}

fn read_time(text: &str, args: &Args) -> anyhow::Result<Time> {
    let (name, source) =
        text.split_once('=').with_context(|| format!("--time '{text}': write NAME=TEMPLATE"))?;
    let source = Template::text(source).map_err(|error| anyhow!("--time {name}: {error}"))?;
    Ok(Time { name: name.to_owned(), source, format: args.time_format.clone() })
}

/// Prints the messages of the first records.
pub(super) fn print_first(mut feed: Feed) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let input = (feed.open)()?;
    let bytes_read = Arc::new(AtomicU64::new(0));
    let records = Records::new(input, feed.format, feed.delimiter, true, bytes_read)?;
    for (seq, record) in (1..).zip(records.take(SHOWN)) {
        let message = feed.recipe.message(&record?, seq, 1, 1)?;
        let properties = &message.properties;
        let said = |name: &str, value: &Option<String>| match value {
            Some(value) => format!(" · {name} {value}"),
            None => String::new(),
        };
        writeln!(
            out,
            "{} ← '{}'{}{}{}",
            message.exchange,
            message.routing_key,
            said("id", &properties.message_id),
            said("type", &properties.kind),
            said("content", &properties.content_type),
        )?;
        for (name, value) in properties.headers.iter() {
            writeln!(out, "  {name}: {value:?}")?;
        }
        writeln!(out, "  {}", String::from_utf8_lossy(&message.body).escape_debug())?;
    }
    Ok(ExitCode::SUCCESS)
}
