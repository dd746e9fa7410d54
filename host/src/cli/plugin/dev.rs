//! `sluicegate plugin dev`: at every change the plugin is built, its cases are run and shown, and a running
//! host is given it.
//!
//! What is in the folder is looked at a few times a second: authors' folders are small, new files come and
//! go, and a look works on every file system. A change is acted on once a look finds no other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use tokio::time::MissedTickBehavior;

use super::paint::Paint;
use super::{build, show, test};

/// Options of `plugin dev`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's folder
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// The plugin's name in the config of a running host, which is given each build
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// The file that the running host has the plugin in, replaced by each build [default: the host's
    /// config names the built file itself]
    #[arg(long, value_name = "FILE.wasm", requires = "plugin")]
    to: Option<PathBuf>,
    /// Show what the running host's pipeline decides, as `sluicegate tap` does
    #[arg(long, value_name = "PIPELINE", requires = "plugin")]
    tap: Option<String>,
    /// The running host's control socket [default: as `sluicegate reload`]
    #[arg(long, value_name = "PATH", env = "SLUICEGATE_SOCKET", requires = "plugin")]
    socket: Option<PathBuf>,
    /// Use only what cargo has fetched before
    #[arg(long)]
    offline: bool,
    /// End after the first round, with the exit code of its cases
    #[arg(long)]
    once: bool,
}

/// Between two looks at the folder.
const LOOK: Duration = Duration::from_millis(100);
/// Files of a plugin's folder that are looked at, at most.
const FILES_MAX: usize = 10_000;

/// What the folder's files were at a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stamp(Vec<(PathBuf, SystemTime, u64)>);

/// A verb of this binary that shows what a running host does; ends with this.
struct Following(Child);

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let manifest = args.folder.join("Cargo.toml");
    ensure!(manifest.is_file(), "there is no {}: name a plugin's folder", manifest.display());
    let _tap = args.tap.as_deref().map(|pipeline| Following::tap(&args, pipeline)).transpose()?;
    let mut reload: Option<Following> = None;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut done = Stamp::default();
    let mut seen = Stamp::default();
    loop {
        look.tick().await;
        let now = Stamp::of(&args.folder);
        let settled = now == seen;
        seen = now;
        if !settled || seen == done {
            continue;
        }
        done = seen.clone();
        let folder = args.folder.clone();
        let (offline, once, host) = (args.offline, args.once, Host::of(&args));
        // The host goes on with a reload that nobody follows any more.
        drop(reload.take());
        // The compiler takes its time; the runtime's threads aren't its.
        let ended =
            tokio::task::spawn_blocking(move || round(&folder, offline, once, &host)).await?;
        if args.once {
            return Ok(if ended.0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        reload = ended.1;
        println!("{}", Paint::of_stdout().dim("waiting for a change; Ctrl-C ends it"));
    }
}

/// The running host that each build is given to, if any.
struct Host {
    plugin: Option<String>,
    to: Option<PathBuf>,
    socket: Option<PathBuf>,
}

/// Builds, runs the cases, gives it to the host; what goes wrong is shown, and the next change tries
/// again. Answers whether all went well, and the reload that was begun unless it was waited for: its
/// probation goes on while the author does.
fn round(folder: &Path, offline: bool, wait: bool, host: &Host) -> (bool, Option<Following>) {
    let paint = Paint::of_stdout();
    let began = Instant::now();
    let component = match build::component_of(folder, offline) {
        Ok(component) => component,
        Err(error) => {
            println!("{} {error:#}", paint.bad("not built:"));
            return (false, None);
        }
    };
    let built = Instant::now();
    println!("{} in {:.1} s", paint.good("built"), (built - began).as_secs_f64());
    let cases = test::cases_in(&[folder.join("cases")]);
    let passed = match cases.and_then(|cases| show::cases(&component, &cases, paint)) {
        Ok((text, passed)) => {
            print!("{text}");
            passed
        }
        Err(error) => {
            println!("{error:#}");
            true
        }
    };
    match host.give(&component, wait) {
        Ok(begun) => {
            if host.plugin.is_some() {
                println!(
                    "given to the host {:.1} s after the build",
                    built.elapsed().as_secs_f64()
                );
            }
            (passed, begun)
        }
        Err(error) => {
            println!("{} {error:#}", paint.bad("not live:"));
            (false, None)
        }
    }
}

impl Host {
    fn of(args: &Args) -> Self {
        Self { plugin: args.plugin.clone(), to: args.to.clone(), socket: args.socket.clone() }
    }

    /// Puts the component where the host has it and asks for a reload, by the verb that an operator would
    /// type; it prints each step.
    fn give(&self, component: &Path, wait: bool) -> anyhow::Result<Option<Following>> {
        let Some(plugin) = &self.plugin else { return Ok(None) };
        if let Some(to) = &self.to {
            replace(component, to).with_context(|| format!("can't write {}", to.display()))?;
        }
        let mut reload = Command::new(std::env::current_exe()?);
        reload
            .args(["reload", plugin])
            .args(self.socket.iter().flat_map(|socket| [Path::new("--socket"), socket.as_path()]));
        let begun = reload.stdin(Stdio::null()).spawn().context("can't run `sluicegate reload`")?;
        let mut following = Following(begun);
        if !wait {
            return Ok(Some(following));
        }
        ensure!(following.0.wait()?.success(), "the host kept the old one");
        Ok(None)
    }
}

/// Puts a copy in a file's place at once, so that nobody sees half of it.
fn replace(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut beside = to.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::copy(from, &beside)?;
    fs::rename(&beside, to)
}

// === impl Following ===

impl Following {
    fn tap(args: &Args, pipeline: &str) -> anyhow::Result<Self> {
        let mut tap = Command::new(std::env::current_exe()?);
        tap.args(["tap", pipeline])
            .args(args.socket.iter().flat_map(|socket| [Path::new("--socket"), socket.as_path()]));
        let child = tap.stdin(Stdio::null()).spawn().context("can't run `sluicegate tap`")?;
        Ok(Self(child))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// === impl Stamp ===

impl Stamp {
    /// What matters to the plugin: its sources, manifest, SDK and cases.
    fn of(folder: &Path) -> Self {
        let mut stamp = Self::default();
        for part in ["Cargo.toml", "build.rs", "rust-toolchain.toml", "src", "cases", "sdk"] {
            stamp.add(&folder.join(part));
        }
        stamp.0.sort();
        stamp
    }

    fn add(&mut self, path: &Path) {
        let Ok(about) = fs::metadata(path) else { return };
        if about.is_file() {
            let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            self.0.push((path.to_owned(), modified, about.len()));
            return;
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if self.0.len() >= FILES_MAX {
                return;
            }
            // What editors leave beside a file that is being written.
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !(hidden || is_link && entry.path().is_dir()) {
                self.add(&entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests;
