//! A Mosquitto of a test's own: on a free port of the loopback address, with its own folder, gone when the
//! process that started it is gone, however that ends; and a client apart from the host's.

pub(crate) mod client;

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::client::Client;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// Below those that the kernel gives to outgoing connections, so that it is free again after a kill.
const PORTS: std::ops::Range<u16> = 10_000..12_000;

/// What `mosquitto_passwd` makes of the user `meters` with the password `correct-horse`.
const PASSWORDS: &str = "meters:$7$101$sIVXZ5CgAKIOC9zL$GzsjCVjSV9hvGnb1chifXHgcmHqs6AmZZTDZOH126KvnGGui2XGw+eeqNiV+b9IUkj9xO8EDgRPFwfyByJ+MUA==\n";

/// Ends the broker at once when its input does, or says anything.
const WATCH: &str = r#"
"$MOSQUITTO" -c "$FOLDER/mosquitto.conf" >>"$FOLDER/out.log" 2>&1 </dev/null &
broker=$!
echo $broker >"$FOLDER/pid"
read -r word
kill -KILL $broker
wait $broker 2>/dev/null
"#;

/// A broker that belongs to this process.
pub(crate) struct Mosquitto {
    port: u16,
    folder: TempDir,
    watch: Option<Child>,
}

impl Mosquitto {
    /// A broker that lets everybody in.
    pub(crate) fn start() -> Self {
        Self::with("allow_anonymous true\n")
    }

    /// One that lets everybody in, and writes down whatever it does.
    pub(crate) fn talkative() -> Self {
        Self::with("allow_anonymous true\nlog_type all\n")
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("out.log")).unwrap_or_default()
    }

    /// One with those lines in its config; its first listener is seen to.
    pub(crate) fn with(config: &str) -> Self {
        let port = free_port();
        let folder = tempfile::Builder::new().prefix("sluicegate-mosquitto-").tempdir().unwrap();
        let at = folder.path().display();
        fs::write(folder.path().join("passwords"), PASSWORDS).unwrap();
        let text = format!(
            "user root\nlistener {port} 127.0.0.1\nmax_inflight_messages 1000\npersistence true\npersistence_location {at}/\n\
             autosave_interval 1\nmax_queued_messages 0\n\
             set_tcp_nodelay true\n{}",
            config.replace("FOLDER", &at.to_string())
        );
        fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { port, folder, watch: None };
        broker.spawn();
        broker
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it, once all that it has acknowledged is on disk: it acknowledges before it writes.
    pub(crate) fn kill9(&mut self) {
        self.write();
        self.end("kill\n");
    }

    /// Kills it, whatever it has written.
    pub(crate) fn lose_power(&mut self) {
        self.end("kill\n");
    }

    /// Has it write its store.
    pub(crate) fn write(&self) {
        let pid = fs::read_to_string(self.folder.path().join("pid")).unwrap();
        let store = self.folder.path().join("mosquitto.db");
        let written = || fs::metadata(&store).and_then(|it| it.modified()).ok();
        let before = written();
        assert!(Command::new("kill").args(["-s", "USR1", pid.trim()]).status().unwrap().success());
        wait("its store is written", || written() > before);
    }

    /// Starts it again on the same port and store.
    pub(crate) fn restart(&mut self) {
        self.spawn();
    }

    /// A client of this broker, version 5.
    pub(crate) fn client(&self, name: &str) -> Client {
        Client::connect(self.port, name, true)
    }

    fn spawn(&mut self) {
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"]
            .into_iter()
            .find(|path| Path::new(path).is_file())
            .expect("this runs against a real Mosquitto: install the package mosquitto");
        let child = Command::new("sh")
            .args(["-c", WATCH])
            .env("MOSQUITTO", program)
            .env("FOLDER", self.folder.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.watch = Some(child);
        let log = self.folder.path().join("out.log");
        wait(&format!("it listens: {}", fs::read_to_string(log).unwrap_or_default()), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
        });
    }

    fn end(&mut self, word: &str) {
        let Some(mut child) = self.watch.take() else { return };
        if let Some(mut input) = child.stdin.take() {
            use std::io::Write as _;
            // A watch that is already gone has ended the broker.
            let _gone = input.write_all(word.as_bytes());
        }
        let _status = child.wait();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.end("");
    }
}

/// Waits, boundedly, until it holds.
pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        #[expect(
            clippy::disallowed_methods,
            reason = "another program's state can only be asked for again, within the deadline"
        )]
        thread::sleep(POLL);
    }
}

/// A port that was free a moment ago, and that nobody else in this process has asked for.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_free = |port: &u16| {
        !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let ports = (0..PORTS.len()).map(|_| fastrand::u16(PORTS));
    let port = ports.into_iter().find(is_free).expect("a free port");
    given.insert(port);
    port
}
