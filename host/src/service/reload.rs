//! Follows the config: what differs is applied to the running host, all of it or nothing.
//!
//! ```text
//! read ► check ► plan ► load and try plugins ► connect, declare ► prepare pipelines   nothing is touched yet
//!                                                              │
//!              end pipelines that go or are altered ► swap plugins ► begin pipelines ► close brokers
//!                                                              │
//!                                          probation of plugins that were swapped, files of the others
//! ```
//!
//! Everything that can fail comes first. What is altered finishes what it has in hand before its
//! successor takes over its state; what isn't in the plan never hears of it.

mod apply;
mod plugins;
mod triggers;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use crate::admin::{Following, Lines, ReloadLine, ReloadOutcome, Reloaded};
use crate::config::{self, Config, Severity};
use crate::notice::ConditionKind;
use crate::telemetry::logging::printable;

/// A reload under way. It goes on where nobody waits for it.
pub type Reloading = Pin<Box<dyn Future<Output = Reloaded> + Send>>;

/// What set a reload off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it, over the control socket.
    Asked,
    /// A signal.
    Signal,
    /// The config file changed.
    Changed,
}

/// Why a config wasn't applied.
enum Refusal {
    /// It is wrong.
    Wrong(Vec<String>),
    /// It can't be applied now.
    Now(Vec<String>),
}

/// Who hears of the steps.
#[derive(Clone, Default)]
struct Steps(Option<Lines>);

impl super::Service {
    /// Names the file that the config came from: reloads read it again.
    ///
    /// # Errors
    /// When the system has no thread to watch it with.
    pub fn follow(&self, file: &Path) -> anyhow::Result<()> {
        if self.inner.file.set(file.to_owned()).is_ok() {
            triggers::watch(&self.inner, file)?;
        }
        Ok(())
    }

    /// Reads the config again and applies what differs; where somebody asked for it, plugins' files that
    /// changed are taken up too.
    #[must_use]
    pub fn reload(&self, cause: Cause) -> Reloading {
        self.inner.reload(cause, Steps::default())
    }

    /// Applies another config, however it was come by.
    #[must_use]
    pub fn apply(&self, config: Config) -> Reloading {
        let inner = Arc::clone(&self.inner);
        apart(&self.inner, async move {
            let _turn = inner.reloading.lock().await;
            let applied = inner.apply(config, &Steps::default()).await;
            inner.note("a config was handed over", applied)
        })
    }
}

/// Runs it on the host's own runtime, and to its end whoever waits for it.
fn apart(inner: &Inner, task: impl Future<Output = Reloaded> + Send + 'static) -> Reloading {
    let task = inner.runtime.spawn(task);
    Box::pin(async move {
        task.await.unwrap_or_else(|error| Reloaded {
            outcome: ReloadOutcome::Failed,
            problems: vec![format!("the reload broke off: {error}")],
            ..Reloaded::default()
        })
    })
}

impl Inner {
    /// Begins a reload that tells its steps as lines.
    pub(super) fn follow_reload(&self, plugin: Option<String>) -> Result<Following, String> {
        if let Some(plugin) = plugin {
            return self.reload_plugin(&plugin);
        }
        let Some(inner) = self.own.upgrade() else { return Err("the host stops".to_owned()) };
        let (lines, following) = Following::new("the config".to_owned());
        let steps = Steps(Some(lines));
        let reloading = inner.reload(Cause::Asked, steps.clone());
        self.runtime.spawn(async move { steps.tell(&ReloadLine::Ended(reloading.await)) });
        Ok(following)
    }

    /// As [`Service::reload`](super::Service::reload), with steps.
    fn reload(self: &Arc<Self>, cause: Cause, steps: Steps) -> Reloading {
        let inner = Arc::clone(self);
        apart(self, async move {
            let _turn = inner.reloading.lock().await;
            let applied = match inner.read_again().await {
                Ok(config) => inner.apply(config, &steps).await,
                Err(refusal) => Err(refusal),
            };
            let mut reloaded = inner.note(cause.as_str(), applied);
            if cause != Cause::Changed && reloaded.outcome.is_in_force() {
                inner.refresh_plugins(&mut reloaded, &steps).await;
            }
            reloaded
        })
    }

    async fn read_again(&self) -> Result<Config, Refusal> {
        let Some(file) = self.file.get().cloned() else {
            return Err(Refusal::Now(vec!["this host wasn't started from a file".to_owned()]));
        };
        let read = tokio::task::spawn_blocking(move || {
            let text = config::load(&file).map_err(|problems| render(problems, ""))?;
            config::parse(&text, &file).map_err(|problems| render(problems, &text))
        });
        let read = read.await.map_err(|error| Refusal::Now(vec![error.to_string()]))?;
        let (config, warnings) = read.map_err(Refusal::Wrong)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    /// Tells of a reload's end, in all the places that are looked at.
    fn note(&self, cause: &str, applied: Result<Reloaded, Refusal>) -> Reloaded {
        let reloaded = applied.unwrap_or_else(|refusal| {
            let (outcome, problems) = match refusal {
                Refusal::Wrong(problems) => (ReloadOutcome::Refused, problems),
                Refusal::Now(problems) => (ReloadOutcome::Failed, problems),
            };
            Reloaded { outcome, problems, ..Reloaded::default() }
        });
        for warning in &reloaded.warnings {
            tracing::warn!("{}", printable(warning));
        }
        let stale = match reloaded.outcome {
            ReloadOutcome::Applied => {
                tracing::info!(cause, done = reloaded.done.join("; "), "config reloaded");
                None
            }
            ReloadOutcome::Unchanged => {
                tracing::info!(cause, "config read again: nothing differs");
                None
            }
            ReloadOutcome::RolledBack => {
                tracing::warn!(cause, done = reloaded.done.join("; "), "config reloaded in part");
                Some(stale(&reloaded))
            }
            ReloadOutcome::Refused | ReloadOutcome::Failed | ReloadOutcome::KeptOld => {
                for problem in &reloaded.problems {
                    tracing::error!(cause, "config not applied: {}", printable(problem));
                }
                Some(stale(&reloaded))
            }
        };
        self.telemetry.config_reloaded(reloaded.outcome.as_str());
        self.telemetry.condition(ConditionKind::ConfigStale, "", stale.as_deref());
        reloaded
    }

    /// Applies a config, or nothing of it. Whoever calls holds the turn.
    async fn apply(self: &Arc<Self>, config: Config, steps: &Steps) -> Result<Reloaded, Refusal> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(Refusal::Now(vec!["the host is stopping".to_owned()])),
            prepared = apply::prepare(self, config, steps) => match prepared? {
                Some((ready, supervisors)) => {
                    let before = self.parts();
                    let (mut reloaded, serving) = ready.apply(supervisors, self, steps).await;
                    self.probation(serving, &before.config, &mut reloaded).await;
                    Ok(reloaded)
                }
                None => Ok(Reloaded::default()),
            },
        }
    }

    /// How long a pipeline may take to finish what it has in hand.
    fn grace(&self) -> Duration {
        self.parts().config.service.drain
    }
}

/// What is told for as long as the host doesn't run what its file says.
fn stale(reloaded: &Reloaded) -> String {
    let first = reloaded.problems.first().map_or("", |it| it.lines().next().unwrap_or(""));
    format!("the config file isn't what runs: {first}")
}

/// Every problem that stops a config, as `check` prints it.
fn render(problems: Vec<config::Problem>, text: &str) -> Vec<String> {
    let stops = |problem: &config::Problem| problem.severity == Severity::Error;
    problems.into_iter().filter(stops).map(|problem| problem.render(text, false)).collect()
}

// === impl Refusal ===

impl Refusal {
    /// It can't be applied now, for each of these lines.
    fn now(error: &anyhow::Error) -> Self {
        Self::Now(error.to_string().lines().map(str::to_owned).collect())
    }
}

// === impl Cause ===

impl Cause {
    /// For the log.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked over the control socket",
            Self::Signal => "SIGHUP",
            Self::Changed => "its file changed",
        }
    }
}

// === impl Steps ===

impl Steps {
    fn say(&self, text: impl Into<String>) {
        let text = text.into();
        tracing::debug!("reload: {text}");
        self.tell(&ReloadLine::Step { text });
    }

    fn tell(&self, line: &ReloadLine) {
        let Some(lines) = &self.0 else { return };
        if let Ok(line) = serde_json::to_string(line) {
            // Nobody follows any more: it goes on all the same.
            let _followed = lines.tell(line);
        }
    }
}
