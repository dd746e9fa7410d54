//! A host of `plugin dev`'s own, for authors who run none: what the plugin decides there is what it would
//! decide in service, with state that stays from edit to edit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::play::{COMPONENT, KEY, Play, QUEUE, Settings};
use super::replace;
use crate::admin::{Host, ReloadOutcome, Tap, Watch};
use crate::authoring::bench::Sample;
use crate::broker::embedded::Embedded;
use crate::broker::{Broker, Outgoing, Published, Publisher};
use crate::cli::scratch::Scratch;
use crate::cli::tap;
use crate::limits::{DEV_STOP, DEV_TAP_RATE, REPLAY_EXCHANGE};
use crate::pipeline::headers;
use crate::reload::{Line, Outcome, What};
use crate::service::Service;
use crate::telemetry::Telemetry;

/// A host of our own.
pub(super) struct Own {
    service: Service,
    host: Arc<dyn Host>,
    publisher: Box<dyn Publisher>,
    play: Play,
    /// The sample that comes next.
    next: usize,
    /// Outputs that decisions named and the config doesn't have yet.
    unknown: Arc<Mutex<Vec<String>>>,
    shows: JoinHandle<()>,
    /// Where its compiled code is.
    compiled: PathBuf,
    // Goes last: the host writes there.
    folder: Scratch,
}

impl Own {
    /// Starts a host with that component.
    pub(super) async fn start(
        play: Play,
        component: &Path,
        compiled: &Path,
    ) -> anyhow::Result<Self> {
        let folder = Scratch::new("dev")?;
        put(component, folder.path())?;
        let config = play.settings.config(&play.name, folder.path(), compiled)?;
        let broker = Embedded::new();
        let brokers = BTreeMap::from([("main".to_owned(), broker.clone() as Arc<dyn Broker>)]);
        let service = Service::start_on(config, Telemetry::new(), brokers).await?;
        let (host, publisher) = (service.host(), broker.publisher().await?);
        let unknown = Arc::default();
        let shows = show(&host, &play.name, Arc::clone(&unknown))?;
        let compiled = compiled.to_owned();
        Ok(Self { service, host, publisher, play, next: 0, unknown, shows, compiled, folder })
    }

    /// Has that component serve. State stays.
    pub(super) async fn give(&mut self, play: Play, component: &Path) -> anyhow::Result<()> {
        put(component, self.folder.path())?;
        if play.settings != self.play.settings {
            self.apply(&play.settings).await?;
        }
        self.play = play;
        let mut following =
            self.host.follow(Watch::ReloadPlugin(self.play.name.clone())).map_err(refused)?;
        while let Some(line) = following.lines.recv().await {
            let Ok(Line { what: What::Done(outcome), .. }) = serde_json::from_str(&line) else {
                continue;
            };
            return match outcome {
                Outcome::Reloaded { .. } | Outcome::Unchanged => Ok(()),
                Outcome::KeptOld { text } | Outcome::RolledBack { text } => bail!("{text}"),
            };
        }
        bail!("the host ended")
    }

    /// Hands the pipeline its next message, once it takes some.
    pub(super) async fn feed(&mut self) -> anyhow::Result<()> {
        let unknown = std::mem::take(&mut *lock(&self.unknown));
        let mut settings = self.play.settings.clone();
        for output in unknown {
            if settings.add_output(&output) {
                println!("output '{output}' is new: this host has it from now on");
            }
        }
        if settings != self.play.settings {
            self.apply(&settings).await?;
            self.play.settings = settings;
        }
        if !self.host.ready().ready || self.play.samples.is_empty() {
            return Ok(());
        }
        let sample = &self.play.samples[self.next % self.play.samples.len()];
        self.next = (self.next + 1) % self.play.samples.len();
        let sent = self.publisher.publish(&[outgoing(sample)]).await;
        ensure!(sent == [Published::Confirmed], "a message can't be fed: {sent:?}");
        Ok(())
    }

    async fn apply(&self, settings: &Settings) -> anyhow::Result<()> {
        let config = settings.config(&self.play.name, self.folder.path(), &self.compiled)?;
        let reloaded = self.service.apply(config).await;
        match reloaded.outcome {
            ReloadOutcome::Applied | ReloadOutcome::Unchanged => Ok(()),
            _ if reloaded.problems.is_empty() => bail!("{}", reloaded.done.join("; ")),
            _ => bail!("{}", reloaded.problems.join("; ")),
        }
    }

    pub(super) async fn stop(self) {
        self.shows.abort();
        self.service.stop(DEV_STOP).await;
    }
}

fn refused(error: String) -> anyhow::Error {
    anyhow::anyhow!(error)
}

fn lock(unknown: &Mutex<Vec<String>>) -> std::sync::MutexGuard<'_, Vec<String>> {
    unknown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a copy where the host reads it, which no build writes over meanwhile.
fn put(component: &Path, folder: &Path) -> anyhow::Result<()> {
    let to = folder.join(COMPONENT);
    replace(component, &to).with_context(|| format!("can't write {}", to.display()))
}

/// Shows what is decided, from now on.
fn show(
    host: &Arc<dyn Host>,
    pipeline: &str,
    unknown: Arc<Mutex<Vec<String>>>,
) -> anyhow::Result<JoinHandle<()>> {
    let tap = Tap {
        pipeline: pipeline.to_owned(),
        bodies: true,
        sample_ppm: 1_000_000,
        rate: DEV_TAP_RATE,
        record: false,
    };
    let mut following = host.follow(Watch::Tap(tap)).map_err(refused)?;
    Ok(tokio::spawn(async move {
        while let Some(line) = following.lines.recv().await {
            let mut said: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
            // The key is told as such.
            if let Some(headers) = said["headers"].as_array_mut() {
                headers.retain(|header| header[0] != KEY);
            }
            println!("{}", tap::told(&said));
            let emissions = said["decision"]["emissions"].as_array().into_iter().flatten();
            let named = emissions.filter_map(|emission| emission["output"].as_str());
            lock(&unknown).extend(named.map(str::to_owned));
        }
    }))
}

/// As it would be from a queue of the author's own: the plugin sees the sample's exchange and routing key.
fn outgoing(sample: &Sample) -> Outgoing {
    let mut properties = sample.properties.clone();
    properties.headers.set(headers::EXCHANGE, "");
    properties.headers.set(headers::ROUTING_KEY, sample.routing_key.as_str());
    if let Some(key) = &sample.key {
        properties.headers.set(KEY, key.as_str());
    }
    let (exchange, routing_key) = (REPLAY_EXCHANGE.to_owned(), QUEUE.to_owned());
    Outgoing { exchange, routing_key, properties, body: sample.body.clone() }
}
