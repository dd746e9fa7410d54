//! Options that verbs share, and what is meant by them.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use tokio_util::sync::CancellationToken;

use super::{Desk, who};
use crate::cli::ConfigFile;
use crate::deadletter::filter::{Filter, point_in_time};
use crate::deadletter::now_s;
use crate::deadletter::work::{Pass, Progress};

/// Options of every verb.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// The broker's name in the config, where pipelines consume from several
    #[arg(long, value_name = "NAME")]
    pub(super) broker: Option<String>,
    /// Look for letters in this dead-letter queue [default: those that the config names]
    #[arg(long, value_name = "QUEUE")]
    pub(super) from: Option<String>,
    /// Print JSON: one object a line, errors included
    #[arg(long)]
    pub(super) json: bool,
}

/// Which failures are meant; all that is said must hold.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which failures")]
pub(super) struct Which {
    /// Its code; several: any of them
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    code: Vec<String>,
    /// Its class: trap, deadline, memory, malformed, retry, reject, intake, publish, …
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    class: Vec<String>,
    /// The pipeline that it failed in
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pipeline: Vec<String>,
    /// The queue that it came from
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    queue: Vec<String>,
    /// A pattern for its routing key: `meter.*.reading`, `#.fault`
    #[arg(long, value_name = "PATTERN")]
    routing_key: Option<String>,
    /// A header of it; several: all of them
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// Failed at this time or later: 2026-03-01T12:00:00Z, or an age: 90s, 2h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Failed before this time, or longer ago than this age
    #[arg(long, value_name = "TIME", visible_alias = "older-than")]
    until: Option<String>,
    /// Words that its text, code, ids, routing key or backtrace have, whatever their case
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// The group that it belongs to, as `dlq group` prints it
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
}

/// Which letters, or which failures: by name, by whom to blame, or by what they have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Picked {
    /// Ids, beginnings of ids, or message ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// The plugin that is to blame
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Which failures")]
    plugin: Vec<String>,
    #[command(flatten)]
    which: Which,
}

impl Picked {
    /// The filter that is meant; an empty one means all.
    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        self.which.filter(&self.ids, &self.plugin)
    }
}

/// Where nothing says which letters are meant, all must be asked for.
pub(super) fn refuse_unsaid(filter: &Filter, all: bool) -> anyhow::Result<()> {
    ensure!(
        all || !filter.is_empty(),
        "which letters? Name ids, say what they have in common (--code, --class, …), or --all"
    );
    Ok(())
}

impl Which {
    /// The filter that is meant.
    pub(super) fn filter(&self, ids: &[String], plugins: &[String]) -> anyhow::Result<Filter> {
        let now = now_s();
        let point = |option: &str, text: &Option<String>| {
            let point = text.as_deref().map(|text| point_in_time(text, now)).transpose();
            point.map_err(|error| anyhow!("{option}: {error}"))
        };
        let header = |text: &String| -> anyhow::Result<(String, String)> {
            let (name, value) = text
                .split_once('=')
                .with_context(|| format!("--header '{text}': write NAME=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        let words = self.text.iter().flat_map(|text| text.split_whitespace());
        Ok(Filter {
            ids: ids.to_vec(),
            codes: self.code.clone(),
            classes: self.class.clone(),
            plugins: plugins.to_vec(),
            pipelines: self.pipeline.clone(),
            queues: self.queue.clone(),
            routing_key: self.routing_key.clone(),
            headers: self.header.iter().map(header).collect::<Result<_, _>>()?,
            since: point("--since", &self.since)?,
            until: point("--until", &self.until)?,
            text: words.map(str::to_owned).collect(),
            fingerprint: self.fingerprint.clone(),
        })
    }
}

/// A pass over a desk's letters.
pub(super) fn pass(desk: &Desk, filter: Filter, stop: CancellationToken) -> anyhow::Result<Pass> {
    Ok(Pass {
        broker: Arc::clone(&desk.broker),
        failures: desk.config.failures.exchange.clone(),
        places: desk.letters()?.to_vec(),
        filter,
        limit: None,
        rate_per_s: None,
        by: who(),
        run: format!("{:032x}", fastrand::u128(..)),
        stop,
        progress: Arc::new(Progress::default()),
    })
}
