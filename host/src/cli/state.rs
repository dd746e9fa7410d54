//! `sluicegate state`: what plugins remember, looked at and mended: in its folder, or through the host that runs
//! on it.

mod source;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use self::source::Source;
use super::exit;
use crate::limits::STATE_PAGE;
use crate::state::lines::{Line, header, is_header};
use crate::state::{Durability, EmbeddedStore, Look, OneKey, StateStore as _, StoreError};
use crate::telemetry::logging::printable;

/// Options of `state`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List what each stage keeps, or the keys of a pipeline
    Ls {
        #[command(flatten)]
        place: Where,
        /// The pipeline whose keys are listed
        #[arg(long, value_name = "NAME")]
        pipeline: Option<String>,
        /// Only of this stage: its plugin's name, with #2 where the plugin comes again
        #[arg(long, value_name = "STAGE", requires = "pipeline")]
        stage: Option<String>,
        /// Only keys that begin so
        #[arg(long, value_name = "KEY", requires = "pipeline")]
        prefix: Option<String>,
        /// At most so many keys
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// Print a JSON document per line
        #[arg(long)]
        json: bool,
    },
    /// Print all that a key has, as JSON
    Get(One),
    /// Forget all that a key has
    Rm(One),
    /// Print everything, a line of JSON per key and stage
    Export {
        #[command(flatten)]
        place: Where,
    },
    /// Take up what was exported, from standard input, while no host runs; what a key has now is replaced
    Import {
        #[command(flatten)]
        place: Where,
    },
}

/// Whose state.
#[derive(Debug, clap::Args)]
struct Where {
    /// The config file that says where it is
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = "sluicegate.toml")]
    config: PathBuf,
    /// The state folder itself, instead of a config
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The control socket of the host that runs on it [default: as the config says, or where hosts put it]
    #[arg(long, value_name = "PATH", env = "SLUICEGATE_SOCKET")]
    socket: Option<PathBuf>,
}

/// One key.
#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    place: Where,
    /// The pipeline
    pipeline: String,
    /// The key
    key: String,
    /// Only at this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// What it couldn't do.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Ls { place, pipeline, stage, prefix, limit, json } => {
            let what = match pipeline {
                None => Look::Places,
                Some(pipeline) => {
                    Look::Keys { pipeline, stage, prefix: prefix.unwrap_or_default(), limit }
                }
            };
            list(&place, &what, json).await
        }
        Verb::Get(one) => get(one).await,
        Verb::Rm(one) => remove(one).await,
        Verb::Export { place } => list(&place, &Look::Export, true).await,
        Verb::Import { place } => {
            tokio::task::spawn_blocking(move || import(&place, &mut io::stdin().lock())).await?
        }
    }
}

async fn list(place: &Where, what: &Look, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout());
    let mut failed = None;
    let mut print = |line: String| {
        let line = if json { line } else { words(what, &line) };
        failed = writeln!(out, "{line}").err();
        failed.is_none()
    };
    Source::open(place).await?.look(what, &mut print).await?;
    match failed.map_or_else(|| out.flush(), Err) {
        // Whoever reads it has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        done => Ok(done.map(|()| ExitCode::SUCCESS)?),
    }
}

/// A line of a listing for people.
fn words(what: &Look, line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let text = |field: &str| printable(line[field].as_str().unwrap_or_default()).to_string();
    let (stage, bytes) = (text("stage"), &line["bytes"]);
    match what {
        Look::Places => {
            format!("{}  {stage}  {} keys  {bytes} bytes", text("pipeline"), line["keys"])
        }
        Look::Keys { .. } | Look::Key(_) | Look::Export => {
            format!("{stage}  {}  {bytes} bytes", text("key"))
        }
    }
}

async fn get(one: One) -> anyhow::Result<ExitCode> {
    let One { place, pipeline, key, stage } = one;
    let what = Look::Key(OneKey { pipeline, key: key.clone(), stage });
    let mut found: Vec<String> = Vec::new();
    let mut take = |line| {
        found.push(line);
        true
    };
    Source::open(&place).await?.look(&what, &mut take).await?;
    if found.is_empty() {
        eprintln!("sluicegate: key '{}' has nothing there", printable(&key));
        return Ok(ExitCode::from(exit::FAILURE));
    }
    let found: Vec<Value> =
        found.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
    println!("{}", serde_json::to_string_pretty(&found).context("state as JSON")?);
    Ok(ExitCode::SUCCESS)
}

async fn remove(one: One) -> anyhow::Result<ExitCode> {
    let One { place, pipeline, key, stage } = one;
    let forgotten = Source::open(&place).await?.forget(OneKey { pipeline, key, stage }).await?;
    println!("forgotten at {forgotten} stages");
    Ok(ExitCode::SUCCESS)
}

fn import(place: &Where, input: &mut impl BufRead) -> anyhow::Result<ExitCode> {
    // Into a folder that is new as well: that is how state moves to another machine.
    let (folder, _) = source::folder(place)?;
    let store = match EmbeddedStore::open(&folder, Durability::Power) {
        Err(StoreError::InUse { folder }) => bail!(
            "a host runs on {folder}, and what is imported would take keys away under its messages: stop it, \
             import, start it again"
        ),
        opened => opened?,
    };
    let mut lines = input.lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    if !is_header(&first) {
        bail!("that isn't what this release exports: its first line would be {}", header());
    }
    let mut commits = Vec::new();
    let mut count = 0;
    for (number, line) in lines.enumerate() {
        let parsed = serde_json::from_str::<Line>(&line?);
        let commit = parsed.map_err(anyhow::Error::from);
        let commit = commit.and_then(|line| line.into_commit().map_err(|why| anyhow!(why)));
        commits.push(commit.with_context(|| format!("line {}", number + 2))?);
        count += 1;
        if commits.len() == STATE_PAGE {
            store.commit(&std::mem::take(&mut commits))?;
        }
    }
    store.commit(&commits)?;
    println!("{count} taken up");
    Ok(ExitCode::SUCCESS)
}
