//! Which version is meant by what is asked for, and where its bytes are.

use bytes::Bytes;
use tokio::time::timeout;

use super::{Attendant, Wanted, expected};
use crate::config::{self, PluginSource};
use crate::digest;
use crate::limits::RELOAD_FILE;
use crate::pipeline::plugin_bytes;
use crate::reload::gate::{Gate, Passed};
use crate::reload::plugins::Shared;
use crate::reload::watch::Seen;

/// A version that may come to serve.
pub(super) struct Candidate {
    pub(super) wasm: Bytes,
    pub(super) digest: String,
    pub(super) settings: config::Plugin,
    pub(super) origin: Origin,
    /// Who is asked before it serves.
    pub(super) gate: Option<Gate>,
}

/// Where a version's bytes are from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file that its settings name.
    File,
    /// The versions that served before, by an operator's wish.
    History,
    /// The same, since that one serves: its settings alone change.
    Serving,
}

impl Attendant {
    /// The version that is wanted; none where it is no news.
    pub(super) async fn candidate(&self, wanted: Wanted) -> Result<Option<Candidate>, String> {
        let (settings, gate) = (self.settings.clone(), None);
        Ok(Some(match wanted {
            Wanted::File => {
                let (wasm, digest) = read(&self.shared, &settings).await?;
                Candidate { wasm, digest, settings, origin: Origin::File, gate }
            }
            Wanted::Changed => {
                let (wasm, digest) = read(&self.shared, &settings).await?;
                if digest == self.judged {
                    return Ok(None);
                }
                Candidate { wasm, digest, settings, origin: Origin::File, gate }
            }
            Wanted::Settings(settings, gate) => self.under(*settings, gate).await?,
            Wanted::Former(prefix) => {
                let serving = self.slot.current();
                let former = self.shared.history.of(self.slot.name());
                let found = former.into_iter().find(|kept| match &prefix {
                    Some(prefix) => kept.digest.starts_with(prefix.as_str()),
                    None => kept.digest != serving.digest(),
                });
                let digest = found.ok_or("no such version is kept; see `plugin history`")?.digest;
                let wasm = self.shared.history.read(&digest)?.into();
                Candidate { wasm, digest, settings, origin: Origin::History, gate }
            }
        }))
    }

    /// What is to serve under other settings: their file, or the former version that an operator put back
    /// and that serves until its file changes.
    async fn under(&self, settings: config::Plugin, gate: Gate) -> Result<Candidate, String> {
        let gate = Some(gate);
        let (wasm, digest) = read(&self.shared, &settings).await?;
        let serving = self.slot.current().digest().to_owned();
        let put_back = serving != self.judged;
        if put_back
            && digest == self.judged
            && settings.source == self.settings.source
            && let Ok(wasm) = self.shared.history.read(&serving)
        {
            let origin = Origin::Serving;
            return Ok(Candidate { wasm: wasm.into(), digest: serving, settings, origin, gate });
        }
        Ok(Candidate { wasm, digest, settings, origin: Origin::File, gate })
    }
}

/// Whether a file is the same version under both settings.
pub(super) fn run_alike(one: &config::Plugin, other: &config::Plugin) -> bool {
    let of = |it: &config::Plugin| (it.sha256.clone(), it.config.clone(), it.limits.clone());
    of(one) == of(other)
}

/// What a plugin's source holds now, and its digest.
pub(super) async fn read(
    shared: &Shared,
    settings: &config::Plugin,
) -> Result<(Bytes, String), String> {
    let (PluginSource::File(path), Some(watch)) = (&settings.source, &shared.watch) else {
        let wasm = plugin_bytes(settings).map_err(|error| error.text)?;
        let digest = digest::sha256(&wasm);
        return Ok((wasm.into(), digest));
    };
    let mut followed = watch.follow(path, None, expected(settings));
    match timeout(RELOAD_FILE, followed.changed()).await {
        Ok(Some(seen)) => match &*seen {
            Seen::Content { bytes, digest } => Ok((bytes.clone(), digest.clone())),
            Seen::Trouble(why) => Err(format!("its file: {why}")),
        },
        Ok(None) => Err("nothing follows files any more".to_owned()),
        Err(_) => Err(format!("its file didn't come to rest within {RELOAD_FILE:?}")),
    }
}

// === impl Candidate ===

impl Candidate {
    /// Asks whether it may serve. None: it isn't wanted any more.
    pub(super) async fn pass(&mut self, tested: &str) -> Option<Passed> {
        match self.gate.take() {
            Some(gate) => gate.pass(tested).await,
            None => Some(Passed::freely()),
        }
    }
}

impl Origin {
    /// What a version's history says.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::File | Self::Serving => "reload",
            Self::History => "rollback",
        }
    }
}
