//! Looks whether plugins are pure: a small sample of the calls is run again on a fresh instance, on a
//! thread of its own, and compared.
//!
//! Of what comes while the thread is busy nothing is looked at, and it rests nine tenths of its time.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use super::observe::{Called, Observer};
use crate::config::Config;
use crate::limits::{PURITY_BATCH_BYTES, PURITY_REST_FACTOR, PURITY_SAMPLE, PURITY_WAITING};
use crate::plugin::Plugin;
use crate::plugin::capsule::{Outcome, OwnedBatch};
use crate::plugin::purity::{Purity, check};
use crate::telemetry::Telemetry;

/// Samples calls and has them run again.
#[derive(Debug)]
pub struct Sampler {
    shares: RwLock<BTreeMap<String, f64>>,
    calls: SyncSender<Sampled>,
    found: Arc<Found>,
}

/// What was found, by the plugin's name: of which version, and what.
#[derive(Debug, Default)]
struct Found(Mutex<BTreeMap<String, (String, String)>>);

struct Sampled {
    pipeline: String,
    plugin: Arc<Plugin>,
    batch: OwnedBatch,
    outcome: Outcome,
}

impl Sampler {
    /// A sampler, and its thread, which ends with it.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(config: &Config, telemetry: &Telemetry) -> std::io::Result<Arc<Self>> {
        let (calls, waiting) = sync_channel(PURITY_WAITING);
        let found = Arc::new(Found::default());
        let (telemetry, kept) = (telemetry.clone(), Arc::clone(&found));
        thread::Builder::new().name("purity".to_owned()).spawn(move || {
            // Those who serve messages come first.
            let _ = rustix::process::nice(10);
            look(&waiting, &telemetry, &kept);
        })?;
        let sampler = Self { shares: RwLock::default(), calls, found };
        sampler.configure(config);
        Ok(Arc::new(sampler))
    }

    /// Takes the share of calls of each plugin.
    pub fn configure(&self, config: &Config) {
        let shares =
            config.plugins.iter().map(|(name, it)| (name.clone(), it.purity_sample)).collect();
        *self.shares.write().unwrap_or_else(PoisonError::into_inner) = shares;
    }

    /// What differed in a call of that version of a plugin; `None` where nothing did so far.
    #[must_use]
    pub fn impure(&self, plugin: &Plugin) -> Option<String> {
        let found = self.found.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (digest, what) = found.get(plugin.name())?;
        (digest == plugin.digest()).then(|| what.clone())
    }

    fn wants(&self, plugin: &str) -> bool {
        let shares = self.shares.read().unwrap_or_else(PoisonError::into_inner);
        let share = shares.get(plugin).copied().unwrap_or(PURITY_SAMPLE);
        share > 0.0 && fastrand::f64() < share
    }
}

impl Observer for Sampler {
    fn called(&self, call: &Called<'_>) {
        if !self.wants(call.plugin.name()) || OwnedBatch::bytes_of(call.batch) > PURITY_BATCH_BYTES
        {
            return;
        }
        let outcome = match call.result {
            Ok(decisions) => Outcome::Decided(decisions.clone()),
            Err(error) => Outcome::Failed(error.clone()),
        };
        let sampled = Sampled {
            pipeline: call.pipeline.to_owned(),
            plugin: Arc::clone(call.plugin),
            batch: OwnedBatch::of(call.batch),
            outcome,
        };
        // One that finds no room isn't looked at.
        let _ = self.calls.try_send(sampled);
    }
}

fn look(waiting: &Receiver<Sampled>, telemetry: &Telemetry, found: &Found) {
    while let Ok(Sampled { pipeline, plugin, batch, outcome }) = waiting.recv() {
        let started = Instant::now();
        let purity = check(&plugin, &batch, &outcome);
        let metrics = telemetry.pipeline(&pipeline);
        match purity {
            Purity::Unknown => {}
            Purity::Same => metrics.rechecked(plugin.name(), true),
            Purity::Impure(differences) => {
                metrics.rechecked(plugin.name(), false);
                let what = differences.first().map_or_else(String::new, ToString::to_string);
                let what = format!("the same call was answered differently: {what}");
                tracing::warn!(
                    plugin = plugin.name(),
                    digest = plugin.digest(),
                    pipeline,
                    differences = differences.len(),
                    "impure: {what}"
                );
                let mut found = found.0.lock().unwrap_or_else(PoisonError::into_inner);
                found.insert(plugin.name().to_owned(), (plugin.digest().to_owned(), what));
            }
        }
        // Nobody wakes it.
        thread::park_timeout(started.elapsed() * PURITY_REST_FACTOR);
    }
}
