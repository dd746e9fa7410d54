//! A host that runs already, and is given each build.

use std::future::pending;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};

use super::{Build, replace};
use crate::admin::client::{self, Followed};
use crate::admin::protocol::{Answer, Request};
use crate::admin::{PluginStatus, Tap};
use crate::cli::plugin::paint::Paint;
use crate::cli::tap;
use crate::limits::{
    DEV_HOST_AGAIN, DEV_HOST_LOOK, DEV_HOST_NOTICES, DEV_HOST_TAKES, DEV_TAP_RATE,
};
use crate::reload::{Line, Outcome, What};
use crate::telemetry::logging::printable;

/// A running host, and the plugin there that is this one.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) plugin: String,
    /// The file that the host has it in, where that isn't the one that is built.
    pub(super) to: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
    /// Whether bodies and state are shown.
    pub(super) bodies: bool,
}

/// How far a host is with a build.
enum Taken {
    Live,
    /// It has concluded something, and the build doesn't serve.
    Not(String),
}

impl Running {
    /// How the plugin stands there.
    pub(super) async fn status(&self) -> anyhow::Result<PluginStatus> {
        let status = match client::ask(self.socket.as_deref(), &Request::Status).await? {
            Answer::Status { status } => status,
            Answer::Refused { error } => bail!("the host refused: {}", printable(&error)),
            Answer::Done { .. } | Answer::Following { .. } => {
                bail!("the host answered another question; is it another version?")
            }
        };
        let names: Vec<String> = status.plugins.iter().map(|it| it.name.clone()).collect();
        status.plugins.into_iter().find(|it| it.name == self.plugin).ok_or_else(|| {
            anyhow!(
                "the host's config has no plugin '{}'; it has: {}. Name it with --plugin, or add it to \
                 the config",
                self.plugin,
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            )
        })
    }

    /// Has the host serve that build; answers once it does. A host that follows the file itself isn't asked
    /// besides.
    pub(super) async fn give(&self, build: &Build, paint: Paint) -> anyhow::Result<()> {
        let before = self.status().await?;
        if let Some(to) = &self.to {
            replace(&build.component, to)
                .with_context(|| format!("can't write {}", to.display()))?;
        }
        let began = Instant::now();
        let mut told = before.reload.clone();
        let mut asked: Option<JoinHandle<anyhow::Result<Outcome>>> = None;
        let mut look = tokio::time::interval(DEV_HOST_LOOK);
        let taken = loop {
            if began.elapsed() > DEV_HOST_TAKES {
                bail!("the host hasn't taken it in {DEV_HOST_TAKES:?}; see its log");
            }
            tokio::select! {
                _ = look.tick() => {
                    let now = self.status().await?;
                    if now.digest == build.digest {
                        break Taken::Live;
                    }
                    if now.reload != told {
                        told.clone_from(&now.reload);
                        match self.concluded(told.as_deref(), paint) {
                            Some(why) if asked.is_none() => break Taken::Not(why),
                            _ => {}
                        }
                    } else if asked.is_none() && began.elapsed() >= DEV_HOST_NOTICES {
                        asked = Some(tokio::spawn(ended(self.ask().await?)));
                    }
                }
                outcome = joined(&mut asked) => {
                    let now = self.status().await?;
                    if now.digest == build.digest {
                        break Taken::Live;
                    }
                    break Taken::Not(self.why(&outcome?));
                }
            }
        };
        match taken {
            Taken::Live => {
                let after = build.ended.elapsed().as_secs_f64();
                let live = paint.good("live");
                println!("{live} as '{}' {after:.1} s after the build", printable(&self.plugin));
                Ok(())
            }
            Taken::Not(why) => bail!("{}; the version before serves on", printable(&why)),
        }
    }

    /// Waits for the end of a probation; what came of it, if not that the build stays.
    pub(super) async fn stays(&self, build: &Build) -> anyhow::Result<Option<String>> {
        let mut look = tokio::time::interval(DEV_HOST_LOOK * 4);
        let began = Instant::now();
        while began.elapsed() < DEV_HOST_TAKES {
            look.tick().await;
            let now = self.status().await?;
            if now.digest != build.digest {
                return Ok(now.reload.or(Some("another version serves".to_owned())));
            }
            if now.reload.is_none_or(|said| !said.ends_with('…')) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Shows a step; answers what a reload came to where that is no success.
    fn concluded(&self, told: Option<&str>, paint: Paint) -> Option<String> {
        let told = told?;
        if told.ends_with('…') {
            println!("{}", paint.dim(&format!("host: {}", printable(told))));
            return None;
        }
        (told.starts_with("kept old") || told.starts_with("rolled back")).then(|| told.to_owned())
    }

    async fn ask(&self) -> anyhow::Result<Followed> {
        let request = Request::ReloadPlugin { plugin: self.plugin.clone() };
        let followed = client::follow(self.socket.as_deref(), &request).await?;
        followed.map_err(|error| anyhow!("the host refused: {}", printable(&error)))
    }

    fn why(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::KeptOld { text } => format!("kept old: {text}"),
            Outcome::RolledBack { text } => format!("rolled back: {text}"),
            Outcome::Reloaded { .. } | Outcome::Unchanged => {
                let place = match &self.to {
                    None => "its config names another file than the one that is built: name that \
                             one with --to"
                        .to_owned(),
                    Some(to) => format!("its config doesn't name {}", to.display()),
                };
                format!("the host has it from elsewhere: {place}")
            }
        }
    }

    /// Shows what the plugin's pipelines decide, or those of them that are named, for as long as the answer is
    /// kept. Where the host goes away, they are looked for again.
    pub(super) fn show(&self, pipelines: &[String]) -> JoinSet<()> {
        let mut shown = JoinSet::new();
        for pipeline in pipelines {
            let tap = Tap {
                pipeline: pipeline.clone(),
                bodies: self.bodies,
                sample_ppm: 1_000_000,
                rate: DEV_TAP_RATE,
                record: false,
            };
            let (plugin, socket) = (self.plugin.clone(), self.socket.clone());
            shown.spawn(async move {
                let mut here = true;
                loop {
                    let followed =
                        client::follow(socket.as_deref(), &Request::Tap(tap.clone())).await;
                    let why = match followed {
                        Ok(Ok(followed)) => {
                            here = true;
                            print(followed, &plugin).await
                        }
                        Ok(Err(refused)) => refused,
                        Err(error) => error.to_string(),
                    };
                    if std::mem::take(&mut here) {
                        println!("pipeline '{}': {}", printable(&tap.pipeline), printable(&why));
                    }
                    tokio::time::sleep(DEV_HOST_AGAIN).await;
                }
            });
        }
        shown
    }
}

/// Prints that plugin's decisions until the host ends it; answers why it is over.
async fn print(mut followed: Followed, plugin: &str) -> String {
    loop {
        let line = match followed.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return "the host ended; waiting for another".to_owned(),
            Err(error) => return error.to_string(),
        };
        let said: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        if said.get("plugin").is_none_or(|name| name == plugin) {
            println!("{}", tap::told(&said));
        }
    }
}

/// How a reload ends.
async fn ended(mut followed: Followed) -> anyhow::Result<Outcome> {
    while let Some(line) = followed.next().await? {
        if let Ok(Line { what: What::Done(outcome), .. }) = serde_json::from_str(&line) {
            return Ok(outcome);
        }
    }
    bail!("the host ended before the reload did; see its log")
}

/// How the one that was asked for ended; never where none was.
async fn joined(
    asked: &mut Option<JoinHandle<anyhow::Result<Outcome>>>,
) -> anyhow::Result<Outcome> {
    match asked {
        Some(asked) => asked.await?,
        None => pending().await,
    }
}
