//! `sluicegate plugin dev`: at every change the plugin is built, its cases are run, and it goes live: in a host
//! of its own, where messages of its cases come again and again, or in one that runs already. What it decides
//! is shown as it happens.

mod own;
mod play;
mod running;
mod stamp;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use self::own::Own;
use self::play::Play;
use self::running::Running;
use self::stamp::Stamp;
use super::inspect::config;
use super::paint::Paint;
use super::show::{self, Shown};
use super::{bench, build, test};
use crate::authoring::bench::Sample;
use crate::cli::scratch::Scratch;
use crate::digest;
use crate::limits::{DEV_LOOK, DEV_RATE};
use crate::telemetry::logging;

/// Options of `plugin dev`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's folder
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// Give each build to the host that runs here, instead of to one of its own
    #[arg(long)]
    host: bool,
    /// The plugin's name in that host's config [default: the crate's]
    #[arg(long, value_name = "NAME", requires = "host")]
    plugin: Option<String>,
    /// The file that the host has the plugin in, replaced by each build [default: its config names the
    /// built file itself]
    #[arg(long, value_name = "FILE.wasm", requires = "host")]
    to: Option<PathBuf>,
    /// Show only what that pipeline of the host decides [default: every one that the plugin is in]
    #[arg(long, value_name = "PIPELINE", requires = "host")]
    tap: Option<String>,
    /// Show bodies, headers and state too; without a host they always are
    #[arg(long, requires = "host")]
    bodies: bool,
    /// The host's control socket [default: where a host of this user, or the system's, puts it]
    #[arg(long, value_name = "PATH", env = "SLUICEGATE_SOCKET")]
    socket: Option<PathBuf>,
    /// Feed these messages, one a line, as `dlq export` writes them or bodies of JSON [default: those of
    /// the cases]
    #[arg(long, value_name = "FILE.jsonl", conflicts_with = "host")]
    messages: Option<PathBuf>,
    /// The key is this field of their JSON bodies
    #[arg(long, value_name = "FIELD", requires = "messages")]
    key: Option<String>,
    /// Messages that are fed: 5, 5/s, 30/m; 0 feeds none
    #[arg(long, value_name = "N/s", default_value_t = DEV_RATE, value_parser = rate, conflicts_with = "host")]
    rate: f64,
    /// The plugin's config, as JSON [default: that of the first case]
    #[arg(long, value_name = "JSON", value_parser = config, conflicts_with = "host")]
    config: Option<Value>,
    /// Use only what cargo has fetched before
    #[arg(long)]
    offline: bool,
    /// End after the first round, with the exit code of its cases; without a host nothing is fed
    #[arg(long)]
    once: bool,
}

/// What the plugin logs, and what is wrong with its host; that host's conditions are nobody's alarm.
const DEV_LOG: &str = "warn,sluicegate::telemetry::notices=off,sluicegate::plugin=debug";

fn rate(text: &str) -> Result<f64, String> {
    if text == "0" { Ok(0.0) } else { crate::cli::publish::rate(text) }
}

/// A component that was built, and what its cases came to.
struct Build {
    component: PathBuf,
    digest: String,
    ended: Instant,
    shown: Option<Shown>,
}

/// Where builds go live.
enum Live {
    /// Here, once there is one.
    Here(Option<Box<Own>>),
    There(Running),
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("can't catch signals")?;
    let mut live = Live::of(&args)?;
    let ended = tokio::select! {
        ended = follow(&args, &mut live) => ended,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
    };
    if let Live::Here(Some(own)) = live {
        own.stop().await;
    }
    ended
}

/// Builds at every change, until something ends it.
async fn follow(args: &Args, live: &mut Live) -> anyhow::Result<ExitCode> {
    let paint = Paint::of_stdout();
    let _shown = live.begin(args, paint).await?;
    let cache = Scratch::new("compiled")?;
    // Compiled once, for the cases and for the host.
    let compiled = cache.path().join("cache");
    let mut probation = JoinSet::new();
    let mut look = every(DEV_LOOK);
    let mut feed = feeding(args);
    let mut done = Stamp::default();
    let mut seen = Stamp::default();
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = due(&mut feed) => {
                live.feed(paint).await;
                continue;
            }
        }
        let now = Stamp::of(&args.folder);
        let settled = now == seen;
        seen = now;
        if !settled || seen == done {
            continue;
        }
        done = seen.clone();
        let (folder, offline) = (args.folder.clone(), args.offline);
        let to = compiled.clone();
        // The compiler takes its time; the runtime's threads aren't its. What is live goes on meanwhile.
        let mut building = tokio::task::spawn_blocking(move || built(&folder, offline, paint, &to));
        let built = loop {
            tokio::select! {
                built = &mut building => break built?,
                () = due(&mut feed) => live.feed(paint).await,
            }
        };
        let went = match built {
            Some(build) => live.give(args, build, &compiled, paint, &mut probation).await,
            None => false,
        };
        if args.once {
            return Ok(if went { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        println!("{}", paint.dim("waiting for a change; Ctrl-C ends it"));
    }
}

fn every(time: Duration) -> Interval {
    let mut every = tokio::time::interval(time);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}

fn feeding(args: &Args) -> Option<Interval> {
    let feeds = !(args.host || args.once || args.rate <= 0.0);
    feeds.then(|| every(Duration::from_secs_f64(1.0 / args.rate)))
}

/// The next message's time; never where none is fed.
async fn due(feed: &mut Option<Interval>) {
    match feed {
        Some(feed) => drop(feed.tick().await),
        None => std::future::pending().await,
    }
}

/// Builds and runs the cases; what goes wrong is shown, and the next change tries again.
fn built(folder: &Path, offline: bool, paint: Paint, cache: &Path) -> Option<Build> {
    let began = Instant::now();
    let read = |component: PathBuf| {
        let wasm =
            fs::read(&component).with_context(|| format!("can't read {}", component.display()))?;
        anyhow::Ok((component, digest::sha256(&wasm)))
    };
    let (component, digest) = match build::component_of(folder, offline).and_then(read) {
        Ok(built) => built,
        Err(error) => {
            println!("{} {error:#}", paint.bad("not built:"));
            return None;
        }
    };
    let ended = Instant::now();
    println!("{} in {:.1} s", paint.good("built"), (ended - began).as_secs_f64());
    let cases = test::cases_in(&[folder.join("cases")]);
    let shown = cases.and_then(|cases| show::cases(&component, &cases, paint, Some(cache)));
    let shown = match shown {
        Ok(shown) => {
            print!("{}", shown.text);
            Some(shown)
        }
        Err(error) => {
            println!("{error:#}");
            None
        }
    };
    Some(Build { component, digest, ended, shown })
}

/// Puts a copy in a file's place at once, so that nobody sees half of it.
fn replace(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut beside = to.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::copy(from, &beside)?;
    fs::rename(&beside, to)
}

/// The crate's name, which is what a host's config usually calls its plugin.
fn name_of(folder: &Path) -> anyhow::Result<String> {
    let manifest = folder.join("Cargo.toml");
    ensure!(
        manifest.is_file(),
        "there is no {}: name the folder of a plugin's crate, or make one with `sluicegate plugin new \
         NAME`",
        manifest.display()
    );
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let read: toml::Table =
        toml::from_str(&text).with_context(|| format!("{} isn't TOML", manifest.display()))?;
    let name = read.get("package").and_then(|package| package.get("name")?.as_str());
    match name {
        Some(name) => Ok(name.to_owned()),
        None => bail!("{} is of no package: name a plugin's own folder", manifest.display()),
    }
}

// === impl Live ===

impl Live {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let name = name_of(&args.folder)?;
        if !args.host {
            return Ok(Self::Here(None));
        }
        Ok(Self::There(Running {
            plugin: args.plugin.clone().unwrap_or(name),
            to: args.to.clone(),
            socket: args.socket.clone(),
            bodies: args.bodies,
        }))
    }

    /// Shows what a running host decides, from now on; without one, what the plugin logs.
    async fn begin(&self, args: &Args, paint: Paint) -> anyhow::Result<JoinSet<()>> {
        let Self::There(running) = self else {
            if !args.once {
                logging::init(logging::Format::Human, DEV_LOG)?;
            }
            return Ok(JoinSet::new());
        };
        let status = running.status().await?;
        let pipelines = args.tap.as_ref().map_or(status.pipelines, |tap| vec![tap.clone()]);
        if pipelines.is_empty() {
            let why = format!("no pipeline of the host has '{}' as a stage", running.plugin);
            println!("{}", paint.dim(&format!("{why}: there is nothing to show")));
        }
        Ok(if args.once { JoinSet::new() } else { running.show(&pipelines) })
    }

    /// Has a build serve. Whether that, and its cases, went well.
    async fn give(
        &mut self,
        args: &Args,
        build: Build,
        compiled: &Path,
        paint: Paint,
        probation: &mut JoinSet<()>,
    ) -> bool {
        let passed = build.shown.as_ref().is_none_or(|shown| shown.passed);
        // Nobody waits any more for what becomes of the build before.
        probation.abort_all();
        let given = match self {
            Self::Here(_) if args.once => return passed,
            Self::Here(own) => here(own, args, &build, compiled, paint).await,
            Self::There(running) => match running.give(&build, paint).await {
                Ok(()) if args.once => Ok(()),
                Ok(()) => {
                    let running = running.clone();
                    probation.spawn(async move { told(&running, &build, paint).await });
                    return passed;
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = &given {
            println!("{} {error:#}", paint.bad("not live:"));
        }
        given.is_ok() && passed
    }

    async fn feed(&mut self, paint: Paint) {
        if let Self::Here(Some(own)) = self
            && let Err(error) = own.feed().await
        {
            println!("{} {error:#}", paint.bad("not fed:"));
        }
    }
}

/// Has a build serve in a host of our own, which is started with the first.
async fn here(
    own: &mut Option<Box<Own>>,
    args: &Args,
    build: &Build,
    compiled: &Path,
    paint: Paint,
) -> anyhow::Result<()> {
    let (cases, outputs) = match &build.shown {
        Some(shown) => (shown.cases.as_slice(), shown.outputs.clone()),
        None => Default::default(),
    };
    let name = name_of(&args.folder)?;
    let mut play = Play::of(&name, cases, args.config.as_ref(), outputs)?;
    if let Some(file) = &args.messages {
        play.samples = bench::from_lines(file, args.key.as_deref())?;
    }
    let samples: &[Sample] = &play.samples;
    let said = match (samples.len(), args.rate) {
        (0, _) => "; there is no message to feed: write a case, or name some with --messages",
        (_, rate) if rate <= 0.0 => "; nothing is fed",
        _ => "",
    };
    match own {
        Some(own) => own.give(play, &build.component).await?,
        None => *own = Some(Box::new(Own::start(play, &build.component, compiled).await?)),
    }
    let after = build.ended.elapsed().as_secs_f64();
    println!("{} {after:.1} s after the build{said}", paint.good("live"));
    Ok(())
}

/// Says how a probation ended, if not well.
async fn told(running: &Running, build: &Build, paint: Paint) {
    let said = match running.stays(build).await {
        Ok(None) => return,
        Ok(Some(why)) => logging::printable(&why).to_string(),
        Err(error) => format!("{error:#}"),
    };
    println!("{} {said}", paint.bad("no longer live:"));
}

#[cfg(test)]
mod tests;
