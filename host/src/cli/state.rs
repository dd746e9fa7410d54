//! `sluicegate state`: what plugins remember, looked at and mended while no host runs on it.

mod lines;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use self::lines::{Line, header, is_header};
use super::exit;
use crate::config;
use crate::limits::{STATE_FOLDER, STATE_PAGE};
use crate::state::{
    Change, Commit, Durability, EmbeddedStore, Entry, Kept, Place, StateStore as _, Usage,
};
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
    /// Take up what was exported, from standard input; what a key has now is replaced
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
    tokio::task::spawn_blocking(move || match args.verb {
        Verb::Ls { place, pipeline, stage, prefix, limit, json } => {
            let store = open(&place)?;
            match pipeline {
                None => list_places(&store, json),
                Some(pipeline) => {
                    let places = places_of(&store, &pipeline, stage.as_deref())?;
                    list_keys(&store, &places, (prefix.unwrap_or_default(), limit), json)
                }
            }
        }
        Verb::Get(one) => get(&one),
        Verb::Rm(one) => remove(&one),
        Verb::Export { place } => export(&place),
        Verb::Import { place } => import(&place, &mut io::stdin().lock()),
    })
    .await?
}

fn open(place: &Where) -> anyhow::Result<EmbeddedStore> {
    let folder = folder(place)?;
    if !EmbeddedStore::is_there(&folder) {
        bail!("there is no state in {}", folder.display());
    }
    Ok(EmbeddedStore::open(&folder, Durability::Power)?)
}

fn folder(place: &Where) -> anyhow::Result<PathBuf> {
    let dir = match &place.dir {
        Some(dir) => dir.clone(),
        None => {
            let (config, _) = config::read(&place.config).map_err(|problems| {
                let text = config::load(&place.config).unwrap_or_default();
                anyhow::anyhow!("{}", config::render_all(&problems, &text, false))
            })?;
            config.service.state_dir
        }
    };
    Ok(dir.join(STATE_FOLDER))
}

fn places_of(
    store: &EmbeddedStore,
    pipeline: &str,
    stage: Option<&str>,
) -> anyhow::Result<Vec<Place>> {
    let all = store.places().into_iter().map(|(place, _)| place);
    let own: Vec<Place> = all.filter(|place| &*place.pipeline == pipeline).collect();
    let named = own.iter().filter(|place| stage.is_none_or(|stage| place.stage() == stage));
    let found: Vec<Place> = named.cloned().collect();
    if found.is_empty() {
        let stages: Vec<String> = own.iter().map(Place::stage).collect();
        bail!("nothing is kept there; pipeline '{pipeline}' has state at: {}", stages.join(", "));
    }
    Ok(found)
}

fn list_places(store: &EmbeddedStore, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for (place, Usage { keys, bytes }) in store.places() {
        let (pipeline, stage) = (&place.pipeline, place.stage());
        if json {
            let line =
                json!({ "pipeline": &**pipeline, "stage": stage, "keys": keys, "bytes": bytes });
            writeln!(out, "{line}")?;
        } else {
            let (pipeline, stage) = (printable(pipeline), printable(&stage));
            writeln!(out, "{pipeline}  {stage}  {keys} keys  {bytes} bytes")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list_keys(
    store: &EmbeddedStore,
    places: &[Place],
    (prefix, limit): (String, usize),
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let mut left = limit;
    for place in places {
        each(store, place, |key, kept| {
            if left == 0 {
                return Ok(false);
            }
            if !key.starts_with(&prefix) {
                return Ok(true);
            }
            left -= 1;
            let (stage, bytes) = (place.stage(), kept.entry.size());
            if json {
                let touched = kept.touched_s;
                let line =
                    json!({ "stage": stage, "key": key, "bytes": bytes, "touched_s": touched });
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "{}  {}  {bytes} bytes", printable(&stage), printable(key))?;
            }
            Ok(true)
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every key of a place, until told to stop.
fn each(
    store: &EmbeddedStore,
    place: &Place,
    mut tell: impl FnMut(&str, &Kept) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut after: Option<std::sync::Arc<str>> = None;
    loop {
        let keys = store.keys(place, after.as_deref(), STATE_PAGE)?;
        for (key, kept) in &keys {
            if !tell(key, kept)? {
                return Ok(());
            }
        }
        match keys.last() {
            Some((key, _)) => after = Some(std::sync::Arc::clone(key)),
            None => return Ok(()),
        }
    }
}

fn get(one: &One) -> anyhow::Result<ExitCode> {
    let store = open(&one.place)?;
    let mut found = Vec::new();
    for place in places_of(&store, &one.pipeline, one.stage.as_deref())? {
        if let Some(kept) = store.load(&place, &one.key)? {
            let line = Line::of(&place, &one.key, &kept);
            let mut shown = serde_json::to_value(&line).context("state as JSON")?;
            if let Some(bytes) = &kept.entry.bytes
                && let Ok(decoded) = rmp_serde::from_slice::<Value>(bytes)
            {
                shown["decoded"] = decoded;
            }
            found.push(shown);
        }
    }
    if found.is_empty() {
        eprintln!("sluicegate: key '{}' has nothing there", printable(&one.key));
        return Ok(ExitCode::from(exit::FAILURE));
    }
    println!("{}", serde_json::to_string_pretty(&found).context("state as JSON")?);
    Ok(ExitCode::SUCCESS)
}

fn remove(one: &One) -> anyhow::Result<ExitCode> {
    let store = open(&one.place)?;
    let mut commit = Commit::new(one.pipeline.as_str().into(), 0);
    for place in places_of(&store, &one.pipeline, one.stage.as_deref())? {
        let key = one.key.as_str().into();
        commit.entries.push(Change { place: place.into(), key, entry: Entry::default() });
    }
    let before = store.usage(&one.pipeline).keys;
    store.commit(&[commit])?;
    println!("forgotten at {} stages", before - store.usage(&one.pipeline).keys);
    Ok(ExitCode::SUCCESS)
}

fn export(place: &Where) -> anyhow::Result<ExitCode> {
    let store = open(place)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "{}", header())?;
    for (place, _) in store.places() {
        each(&store, &place, |key, kept| {
            let line = serde_json::to_string(&Line::of(&place, key, kept))?;
            writeln!(out, "{line}")?;
            Ok(true)
        })?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn import(place: &Where, input: &mut impl BufRead) -> anyhow::Result<ExitCode> {
    // Into a folder that is new as well: that is how state moves to another machine.
    let store = EmbeddedStore::open(&folder(place)?, Durability::Power)?;
    let mut lines = input.lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    if !is_header(&first) {
        bail!("that isn't what this release exports: its first line would be {}", header());
    }
    let mut commits = Vec::new();
    let mut count = 0;
    for (number, line) in lines.enumerate() {
        let parsed = serde_json::from_str::<Line>(&line?);
        let commit = parsed.map_err(anyhow::Error::from).and_then(Line::into_commit);
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
