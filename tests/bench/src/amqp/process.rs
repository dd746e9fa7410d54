//! Contenders' processes, and what they have used.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// How long a contender may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A contender that runs; killed when dropped.
pub struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        // What goes wrong is seen by its exit and at the broker.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still there.
    ///
    /// # Errors
    /// It has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} ended: {status}", self.name),
        }
    }

    /// Has it finish what it holds and waits for its end.
    ///
    /// # Errors
    /// It doesn't end, or not well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("no process has that number")?, Signal::TERM)?;
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let begun = Instant::now();
        loop {
            looks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "{} ended: {status}", self.name);
                return Ok(());
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "{} doesn't end", self.name);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended can't be killed.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Processor time that a process's threads have used, in seconds. Those that have ended don't count:
/// what is compared is the time between two looks, when none ends.
///
/// # Errors
/// There is no such process.
pub fn used_s(process: u32) -> anyhow::Result<f64> {
    let mut ns = 0_u64;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let Ok(told) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        ns += told.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(ns).as_secs_f64())
}
