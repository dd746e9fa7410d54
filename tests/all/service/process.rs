//! A host's folder, and the process that runs on it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The host's own binary, built by cargo with these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_sluicegate-under-test");
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// A folder with a config, where hosts run one after another, or side by side.
pub(crate) struct Site {
    folder: TempDir,
}

/// A running host; killed when dropped.
pub(crate) struct Host {
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    text: Mutex<Told>,
    more: Condvar,
}

#[derive(Default)]
struct Told {
    text: String,
    ended: bool,
}

/// Waits, boundedly, until it holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        pause();
    }
}

/// Between two looks at another program.
fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "another program's state can only be asked for again, within the deadline"
    )]
    thread::sleep(POLL);
}

/// What the binary says to those words.
pub(crate) fn sluicegate(words: &[&str]) -> Output {
    Command::new(BINARY).args(words).stdin(Stdio::null()).output().unwrap()
}

// === impl Site ===

impl Site {
    /// A folder with that config; the service's own settings are seen to.
    pub(crate) fn new(config: &str) -> Self {
        Self::with(config, "")
    }

    /// The same with more settings of `[service]`.
    pub(crate) fn with(config: &str, service: &str) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.configure(config, service);
        site
    }

    /// Writes another config for it, by renaming a file over the one that is there.
    pub(crate) fn configure(&self, config: &str, service: &str) {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let http = if service.contains("http =") { "" } else { "http = \"127.0.0.1:0\"" };
        let shards = if service.contains("shards =") { "" } else { "shards = 2" };
        let text = format!(
            "{config}\n[service]\n{http}\nsocket = \"control.sock\"\nstate_dir = \"state\"\n\
             cache_dir = {cache:?}\n{shards}\n{service}\n"
        );
        let new = self.write("sluicegate.toml.new", text.as_bytes());
        fs::rename(new, self.path("sluicegate.toml")).unwrap();
    }

    /// Puts a file there.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A file of that name there.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a host that may fail to.
    pub(crate) fn start(&self) -> Host {
        self.start_with(&[])
    }

    /// Starts one with those variables in its environment.
    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Host {
        let mut child = Command::new(BINARY)
            .args(["run", "--config"])
            .arg(self.path("sluicegate.toml"))
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let (errors, told) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || told.follow(errors));
        Host { child, log }
    }

    /// Starts a host and waits until it is ready.
    pub(crate) fn run(&self) -> Host {
        let host = self.start();
        host.await_ready();
        host
    }

    /// What a verb says to the host that runs here.
    pub(crate) fn tell(&self, words: &[&str]) -> Output {
        let socket = self.path("control.sock");
        let mut words = words.to_vec();
        words.extend(["--socket", socket.to_str().unwrap()]);
        sluicegate(&words)
    }

    /// What the binary says to those words about this config.
    pub(crate) fn about(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().unwrap()
    }

    /// The same, as a process that is still running.
    pub(crate) fn running(&self, words: &[&str]) -> Child {
        let nowhere = || Stdio::null();
        self.command(words).stdin(nowhere()).stdout(nowhere()).stderr(nowhere()).spawn().unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(words).arg("--config").arg(self.path("sluicegate.toml"));
        command
    }

    /// Starts a host that must end by itself; its exit code and all that it said.
    pub(crate) fn refused(&self) -> (i32, String) {
        let mut host = self.start();
        let code = host.end();
        (code, host.log.ended().text.clone())
    }
}

// === impl Host ===

impl Host {
    /// Waits until it has said that, and returns all that it said so far.
    pub(crate) fn said(&self, part: &str) -> String {
        let told = self.log.lock();
        let (told, result) = self
            .log
            .more
            .wait_timeout_while(told, PATIENCE, |told| !told.text.contains(part) && !told.ended)
            .unwrap();
        assert!(!result.timed_out() && told.text.contains(part), "no {part:?} in: {}", told.text);
        told.text.clone()
    }

    /// All that it said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().text.clone()
    }

    /// What its HTTP port answers.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.said("address=127.0.0.1:");
        self.try_get(path).unwrap()
    }

    /// What its HTTP port answers, if it has one by now and is there.
    pub(crate) fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let log = self.log();
        let port = log.split("address=127.0.0.1:").nth(1)?;
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .new_agent();
        let mut answer = agent.get(format!("http://127.0.0.1:{port}{path}")).call().ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
    }

    /// Waits until `/ready` says yes.
    pub(crate) fn await_ready(&self) {
        let mut last = (0, String::new());
        let deadline = Instant::now() + PATIENCE;
        while last.0 != 200 {
            assert!(Instant::now() < deadline, "not ready: {last:?}; {}", self.log());
            last = self.get("/ready");
            pause();
        }
        let readiness: Value = serde_json::from_str(&last.1).unwrap();
        assert_eq!(readiness["ready"], true);
    }

    /// Waits until `/ready` says no, with that among the reasons; returns them.
    pub(crate) fn await_unready(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, text) = self.get("/ready");
            if status == 503 && text.contains(part) {
                return text;
            }
            assert!(Instant::now() < deadline, "no {part:?}: {status} {text}; {}", self.log());
            pause();
        }
    }

    /// The sum of a metric's series that hold all those parts.
    pub(crate) fn metric(&self, name: &str, parts: &[&str]) -> f64 {
        let (_, text) = self.get("/metrics");
        text.lines()
            .filter(|line| line.starts_with(name) && parts.iter().all(|part| line.contains(part)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// How many of its threads have that name.
    pub(crate) fn threads(&self, name: &str) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|it| it.trim_end() == name).count()
    }

    /// The most memory that it has held so far, in KiB; 0 once it has ended.
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most.and_then(|most| most.trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
    }

    /// Whether it has ended.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end and returns its exit code, or -1 where a signal ended it.
    pub(crate) fn end(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "it doesn't end: {}", self.log());
            pause();
        }
    }

    /// SIGTERM, and that it drained.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let code = self.end();
        assert_eq!(code, 0, "{}", self.log.ended().text);
    }

    /// SIGKILL.
    pub(crate) fn kill9(mut self) {
        self.signal("KILL");
        assert_eq!(self.end(), -1);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // One that has ended can't be killed.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

// === impl Log ===

impl Log {
    fn follow(&self, errors: ChildStderr) {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            let mut told = self.lock();
            told.text.push_str(&line);
            told.text.push('\n');
            drop(told);
            self.more.notify_all();
        }
        self.lock().ended = true;
        self.more.notify_all();
    }

    /// All of it, once there will be no more.
    fn ended(&self) -> MutexGuard<'_, Told> {
        let told = self.lock();
        self.more.wait_timeout_while(told, PATIENCE, |told| !told.ended).unwrap().0
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
