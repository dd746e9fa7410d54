//! The host's config and folder: what a user would write, all else left as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;

use super::wire::Kind;
use crate::guests;

/// A folder with a config, and the binary that runs on it.
pub struct Site {
    folder: TempDir,
    binary: PathBuf,
}

/// A pipeline to measure.
#[derive(Clone, Debug)]
pub struct Pipeline<'p> {
    /// The broker.
    pub url: &'p str,
    /// The queue that it consumes.
    pub queue: &'p str,
    /// Its kind.
    pub kind: Kind,
    /// What becomes of dead letters, as the config says it.
    pub dead_letter: &'p str,
    /// What the plugin does.
    pub logic: &'p str,
    /// Unacknowledged messages at most.
    pub prefetch: u16,
    /// Where its output goes, if it has one.
    pub exchange: Option<&'p str>,
    /// More keys of the pipeline.
    pub more: &'p str,
}

impl Site {
    /// A folder for a host of that binary.
    ///
    /// # Errors
    /// It can't be written.
    pub fn new(binary: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("plain.wasm"), guests::PLAIN)?;
        anyhow::ensure!(
            binary.is_file(),
            "no host at {}: cargo build --release -p sluicegate, or --host PATH",
            binary.display()
        );
        Ok(Self { folder, binary: binary.to_owned() })
    }

    /// Writes its config.
    ///
    /// # Errors
    /// It can't be written.
    pub fn configure(&self, pipeline: &Pipeline<'_>) -> anyhow::Result<()> {
        let Pipeline { url, queue, kind, dead_letter, logic, prefetch, exchange, more } = pipeline;
        let kind = kind.as_str();
        let output = exchange.map_or_else(String::new, |exchange| {
            format!("outputs.out = {{ exchange = \"{exchange}\" }}\n")
        });
        let declared = exchange.map_or_else(String::new, |exchange| {
            format!("[[exchange]]\nname = \"{exchange}\"\nkind = \"fanout\"\n")
        });
        let text = format!(
            "[broker.main]\nurl = \"{url}\"\n\
             [[plugin]]\nname = \"bench\"\nfile = \"plain.wasm\"\n\
             config = {{ logic = \"{logic}\" }}\nbreaker = false\n\
             [[queue]]\nname = \"{queue}\"\nkind = \"{kind}\"\ndead_letter = {dead_letter}\n\
             {declared}\
             [[pipeline]]\nname = \"bench\"\nqueue = \"{queue}\"\n\
             key = {{ routing_key = 1 }}\nstages = [\"bench\"]\nprefetch = {prefetch}\n\
             {output}{more}\n\
             [service]\nhttp = \"127.0.0.1:0\"\nsocket = \"control.sock\"\nstate_dir = \"state\"\n\
             cache_dir = \"cache\"\n"
        );
        fs::write(self.config(), text).context("write the host's config")
    }

    /// A file in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The host, to be started.
    #[must_use]
    pub fn host(&self) -> Command {
        let mut command = self.verb(&["run"]);
        command.env("NO_COLOR", "1");
        command
    }

    /// One of its verbs, on this config.
    #[must_use]
    pub fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).arg("--config").arg(self.config());
        command
    }

    fn config(&self) -> PathBuf {
        self.path("sluicegate.toml")
    }
}

/// Another program, where cargo puts it beside this one.
///
/// # Errors
/// This one is nowhere.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
