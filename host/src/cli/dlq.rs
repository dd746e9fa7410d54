//! `sluicegate dlq`: dead letters listed, explained, grouped, replayed, purged, exported.
//!
//! It speaks to the broker alone, as a config names it; no host need be running.

mod export;
mod group;
mod ls;
mod options;
mod purge;
mod replay;
mod show;
mod table;

mod trial;
mod watch;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::options::Common;
use super::exit;
use crate::broker::{self, Broker, BrokerError};
use crate::config::{self, BrokerKind, Config, QueueKind};
use crate::deadletter::Trouble;
use crate::deadletter::ledger::Ledger;
use crate::deadletter::places::{self, Place};
use crate::telemetry::logging::printable;

/// Options of `dlq`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List failures, newest first, from their reports
    Ls(ls::Args),
    /// Explain one failure: its report in full, and the message itself
    Show(show::Args),
    /// Count failures by cause
    Group(group::Args),
    /// Send dead letters back, or try them on a new plugin first
    Replay(replay::Args),
    /// Throw dead letters away
    Purge(purge::Args),
    /// Write dead letters to a file, as JSON lines
    Export(export::Args),
}

/// What a verb that touches letters ends with.
const EXITS: &str = "\
Ends with 0 when all that was meant is done, 1 when something failed, 4 when letters that were meant \
were left (the reasons are told), 75 when somebody else reads the queue, 78 when the config is wrong, \
130 after Ctrl-C. Run again, it goes on where it stopped.";

/// Runs the verb.
///
/// # Errors
/// What it couldn't do; with `--json` that is printed as JSON instead.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (json, done) = match args.verb {
        Verb::Ls(args) => (args.common.json, ls::run(args).await),
        Verb::Show(args) => (args.common.json, show::run(args).await),
        Verb::Group(args) => (args.common.json, group::run(args).await),
        Verb::Replay(args) => (args.common.json, replay::run(args).await),
        Verb::Purge(args) => (args.common.json, purge::run(args).await),
        Verb::Export(args) => (args.common.json, export::run(args).await),
    };
    let error = match done {
        Ok(code) => return Ok(code),
        Err(error) => error,
    };
    let code = match (error.downcast_ref::<Trouble>(), error.downcast_ref::<BadConfig>()) {
        (Some(Trouble::Busy { .. }), _) => exit::BUSY,
        (_, Some(_)) => exit::CONFIG,
        _ => exit::FAILURE,
    };
    let text = format!("{error:#}");
    if json {
        println!("{}", json!({ "error": { "text": text, "exit": code } }));
    } else if code == exit::CONFIG {
        eprint!("{text}");
    } else {
        eprintln!("sluicegate: {}", printable(&text));
    }
    Ok(ExitCode::from(code))
}

/// The config's problems, rendered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadConfig(String);

/// A broker that is being asked about its dead letters.
struct Desk {
    config: Config,
    name: String,
    broker: Arc<dyn Broker>,
    /// Where letters are looked for.
    places: Vec<Place>,
}

// === impl Desk ===

impl Desk {
    /// Reads the config and connects.
    async fn open(common: &Common) -> anyhow::Result<Self> {
        let path = &common.config.path;
        let (config, _) = config::read(path).map_err(|problems| {
            let source = std::fs::read_to_string(path).unwrap_or_default();
            let color = !common.json && std::io::stderr().is_terminal();
            BadConfig(config::render_all(&problems, &source, color))
        })?;
        let name = chosen(&config, common.broker.as_deref())?;
        let settings = config.brokers.get(&name).context("a broker of the config")?;
        if matches!(settings.kind, BrokerKind::Embedded) {
            bail!("broker '{name}' is embedded: it lives and ends with its process");
        }
        let broker = broker::open(&name, settings);
        let reached = broker.server().await;
        reached
            .with_context(|| format!("broker '{name}': is it running, and the address right?"))?;
        let places = match &common.from {
            Some(queue) => vec![places::place(&config, &name, queue)],
            None => places::places(&config, &name),
        };
        Ok(Self { config, name, broker, places })
    }

    /// Every report that is there.
    async fn ledger(&self) -> anyhow::Result<Ledger> {
        let queue = &self.config.failures.exchange;
        match Ledger::read(&self.broker, queue).await {
            Ok(ledger) => Ok(ledger),
            Err(Trouble::Broker(BrokerError::NotFound(_))) => bail!(
                "there is no queue '{queue}' on broker '{}': a host of this config declares it when it \
                 starts, and reports failures there",
                self.name
            ),
            Err(error) => Err(error.into()),
        }
    }

    /// The queues with letters, where there are any.
    fn letters(&self) -> anyhow::Result<&[Place]> {
        if self.places.is_empty() {
            bail!(
                "this config names no dead-letter queue on broker '{}'; name one with --from QUEUE",
                self.name
            );
        }
        Ok(&self.places)
    }

    /// Closes the connections.
    async fn close(self) {
        self.broker.close().await;
    }
}

/// The broker that is meant: named, or the only one that pipelines consume from.
fn chosen(config: &Config, wanted: Option<&str>) -> anyhow::Result<String> {
    let consumed: BTreeSet<&String> = config.pipelines.iter().map(|p| &p.broker).collect();
    let all: Vec<&str> = config.brokers.keys().map(String::as_str).collect();
    match (wanted, consumed.len()) {
        (Some(name), _) if config.brokers.contains_key(name) => Ok(name.to_owned()),
        (Some(name), _) => bail!("no broker '{name}' in this config: {}", all.join(", ")),
        (None, 1) => Ok(consumed.into_iter().next().cloned().unwrap_or_default()),
        (None, _) if all.len() == 1 => Ok(all.concat()),
        (None, _) => {
            bail!("pipelines consume from several brokers; choose: --broker {}", all.join(" | "))
        }
    }
}

/// What looking at these queues costs, where it costs something.
fn cost(places: &[Place]) -> Option<String> {
    let counted: Vec<&Place> = places.iter().filter(|place| place.deliveries.is_some()).collect();
    let first = counted.first()?;
    let names: Vec<&str> = counted.iter().map(|place| place.queue.as_str()).collect();
    let names = names.join("', '");
    let most = first.deliveries.unwrap_or_default();
    Some(match first.kind {
        Some(QueueKind::Quorum) => format!(
            "'{names}' is a quorum queue: each letter that is read and left counts one delivery more \
             ({most} at most; a letter that comes near is put back as a copy), and goes behind the others"
        ),
        _ => format!(
            "the config doesn't know '{names}': if it is a quorum queue, each letter that is read and \
             left counts one delivery more ({most} at most are taken for granted), and goes behind the \
             others"
        ),
    })
}

/// Has a cost agreed to, by `--yes` or by somebody at the terminal.
fn agree_to_cost(places: &[Place], yes: bool) -> anyhow::Result<bool> {
    match cost(places) {
        None => Ok(true),
        Some(_) if yes => Ok(true),
        Some(cost) => ask(&format!("{cost}. Go on?"), "say --yes to accept that"),
    }
}

/// Asks at the terminal; without one, refuses with the remedy.
fn ask(question: &str, remedy: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        bail!("{question} There is no terminal to ask at; {remedy}");
    }
    eprint!("{} [y/N] ", printable(question));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("can't read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The first Ctrl-C ends the run in order, the second at once.
fn interruptible() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        token.cancel();
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(exit::INTERRUPTED.into());
        }
    });
    stop
}

/// Who does this: `USER@HOST`.
fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}", user.unwrap_or_else(|_| rustix::process::getuid().as_raw().to_string()))
}
