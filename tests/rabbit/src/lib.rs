//! A real RabbitMQ for tests and benchmarks: a node of their own on free ports of the loopback address,
//! with its own folder, gone when the process that started it is gone, however that ends.
//!
//! A small shell watches over each node: it ends the node, its `epmd` and its folder as soon as its
//! standard input closes, which the kernel sees to even when the process is killed.

#![allow(clippy::panic, reason = "a fixture: nothing can be done without it")]

mod ports;
mod programs;

use std::env;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use self::ports::{free_ports, greets};
use self::programs::{find, shell};

/// How long a node may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How often its port is tried meanwhile.
const POLL: Duration = Duration::from_millis(50);
/// What a quorum queue couldn't hand to its dead-letter exchange is tried again after 5 s, not after the
/// three minutes of RabbitMQ's default.
const ADVANCED: &str = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 5000}]}].\n";
/// Attempts to find ports that nobody else takes in the meantime.
const PORT_ATTEMPTS: usize = 3;

/// The life of a running node. Reads one word: `stop` ends it gently; `kill`, or the end of the
/// input, at once.
const WATCH: &str = r#"
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 >/dev/null 2>&1 &
epmd=$!
i=0
while [ $i -lt 200 ] && ! epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do
    i=$((i + 1)); sleep 0.05
done
"$RABBITMQ_SERVER" >"$NODE_DIR/out.log" 2>&1 </dev/null &
node=$!
read -r word
if [ "$word" = stop ]; then kill -TERM $node; else kill -KILL $node; fi
wait $node 2>/dev/null
kill -KILL $epmd
"#;

/// Removes a node's folder when the input ends; what the dying node still writes as well.
const SWEEP: &str = r#"
cat >/dev/null
i=0
while [ $i -lt 50 ] && [ -e "$NODE_DIR" ]; do
    rm -rf "$NODE_DIR"; i=$((i + 1)); sleep 0.1
done
"#;

/// A RabbitMQ node that belongs to this process.
pub struct Node {
    port: u16,
    tls_port: u16,
    mqtt_port: u16,
    epmd_port: u16,
    dist_port: u16,
    name: String,
    dir: PathBuf,
    watch: Mutex<Option<Child>>,
    /// Waits for its input to end, which is when this is dropped or the process is gone.
    _sweep: Child,
}

// === impl Node ===

impl Node {
    /// A node that ends when dropped.
    ///
    /// # Panics
    /// Where there is no RabbitMQ, or it doesn't start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with those plugins, names with commas between them. `rabbitmq_mqtt` lets `guest` in.
    ///
    /// # Panics
    /// As [`Node::start`].
    #[must_use]
    pub fn start_with(plugins: &str) -> Self {
        let server = find("rabbitmq-server", "SLUICEGATE_RABBITMQ_SERVER").unwrap_or_else(|| {
            panic!(
                "no rabbitmq-server in PATH, /usr/lib/rabbitmq/bin or /usr/sbin. This runs \
                 against a real RabbitMQ: `cargo xtask test` sets one up, or install the package \
                 rabbitmq-server, or set SLUICEGATE_RABBITMQ_SERVER to its path"
            )
        });
        for attempt in 1..=PORT_ATTEMPTS {
            let node = Self::prepare(plugins);
            node.spawn(&server);
            match node.await_ready() {
                Ok(()) => return node,
                Err(why) if attempt == PORT_ATTEMPTS => panic!("RabbitMQ didn't start: {why}"),
                Err(_) => {}
            }
        }
        unreachable!("the last attempt returns or panics")
    }

    /// Its address with the credentials of its only user.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Its address without credentials.
    #[must_use]
    pub fn bare_url(&self) -> String {
        format!("amqp://127.0.0.1:{}/%2f", self.port)
    }

    /// Its address for TLS; it wants a client's certificate.
    #[must_use]
    pub fn tls_url(&self) -> String {
        format!("amqps://localhost:{}/%2f", self.tls_port)
    }

    /// Where its MQTT plugin listens, on the loopback address.
    #[must_use]
    pub fn mqtt_port(&self) -> u16 {
        self.mqtt_port
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Stops it as an operator would; its queues stay on disk.
    pub fn stop(&self) {
        self.end("stop\n");
    }

    /// Kills it like a power loss; its queues stay on disk.
    pub fn kill9(&self) {
        self.end("kill\n");
    }

    /// Starts it again on the same ports after [`Node::stop`] or [`Node::kill9`].
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn restart(&self) {
        let server = find("rabbitmq-server", "SLUICEGATE_RABBITMQ_SERVER")
            .unwrap_or_else(|| panic!("rabbitmq-server was there a moment ago"));
        for attempt in 1..=PORT_ATTEMPTS {
            self.spawn(&server);
            match self.await_ready() {
                Ok(()) => return,
                Err(why) if attempt == PORT_ATTEMPTS => {
                    panic!("RabbitMQ didn't start again: {why}")
                }
                Err(why) => eprintln!("attempt {attempt} to start RabbitMQ again: {why}"),
            }
        }
    }

    /// Runs `rabbitmqctl` on it and returns its output. Blocks for a second or two.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctl(&self, args: &[&str]) -> String {
        said(args, self.ctl_command(args).output())
    }

    /// The process that is the node, once it serves.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        fs::read_to_string(self.dir.join("pid")).ok()?.trim().parse().ok()
    }

    fn prepare(plugins: &str) -> Self {
        let [port, tls_port, mqtt_port, epmd_port, dist_port] = free_ports();
        let tls = tls_folder();
        let tls = tls.display();
        let dir = tempfile::Builder::new()
            .prefix("sluicegate-rabbit-")
            .tempdir()
            .unwrap_or_else(|e| panic!("a folder for the node: {e}"))
            .keep();
        let sweep =
            shell(SWEEP, &dir).spawn().unwrap_or_else(|e| panic!("sh for the node's folder: {e}"));
        let name = format!("sluicegate-{}-{port}@localhost", std::process::id());
        let config = format!(
            "listeners.tcp.default = 127.0.0.1:{port}\n\
             listeners.ssl.default = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {tls}/ca.pem\n\
             ssl_options.certfile = {tls}/server.pem\n\
             ssl_options.keyfile = {tls}/server.key\n\
             ssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\n\
             disk_free_limit.absolute = 50MB\n\
             log.console = false\n\
             log.file.level = warning\n\
             vm_memory_high_watermark.relative = 0.8\n"
        );
        let mqtt = if plugins.contains("rabbitmq_mqtt") {
            format!("mqtt.listeners.tcp.default = 127.0.0.1:{mqtt_port}\n")
        } else {
            String::new()
        };
        let config = config + &mqtt;
        fs::write(dir.join("rabbitmq.conf"), config)
            .and_then(|()| fs::write(dir.join("enabled_plugins"), format!("[{plugins}].\n")))
            .and_then(|()| fs::write(dir.join("advanced.config"), ADVANCED))
            .unwrap_or_else(|e| panic!("the node's config: {e}"));
        Self {
            port,
            tls_port,
            mqtt_port,
            epmd_port,
            dist_port,
            name,
            dir,
            watch: Mutex::new(None),
            _sweep: sweep,
        }
    }

    fn spawn(&self, server: &Path) {
        // What the last one said of its end is nothing about the next one's start.
        let _none = fs::remove_file(self.dir.join("out.log"));
        let mut command = shell(WATCH, &self.dir);
        command.env("RABBITMQ_SERVER", server);
        self.environment(&mut command);
        let child = command.spawn().unwrap_or_else(|e| panic!("sh for the node: {e}"));
        *self.watch() = Some(child);
    }

    fn environment(&self, command: &mut Command) {
        command
            .env("HOME", &self.dir)
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RUNNING_UNDER_SYSTEMD", "1")
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.dir.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", self.dir.join("log"))
            .env("RABBITMQ_PID_FILE", self.dir.join("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", self.dir.join("generated"))
            .env("RABBITMQ_CONFIG_FILE", self.dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.dir.join("advanced.config"))
            .env("RABBITMQ_CONF_ENV_FILE", self.dir.join("rabbitmq-env.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.dir.join("enabled_plugins"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
            );
    }

    fn await_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if greets(self.address()) {
                return Ok(());
            }
            let ended = self.dir.join("out.log").metadata().is_ok_and(|m| m.len() > 0)
                && fs::read_to_string(self.dir.join("out.log"))
                    .is_ok_and(|log| log.contains("BOOT FAILED") || log.contains("eaddrinuse"));
            if ended {
                break;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "another program's start can only be asked for again, within the deadline"
            )]
            thread::sleep(POLL);
        }
        let log = fs::read_to_string(self.dir.join("out.log")).unwrap_or_default();
        self.end("kill\n");
        Err(format!("no answer at {} after {START_TIMEOUT:?}; it said: {log}", self.address()))
    }

    fn ctl_command(&self, args: &[&str]) -> Command {
        let ctl = find("rabbitmqctl", "SLUICEGATE_RABBITMQCTL")
            .unwrap_or_else(|| panic!("no rabbitmqctl beside rabbitmq-server"));
        let mut command = Command::new(ctl);
        self.environment(&mut command);
        command.args(["--node", &self.name]).args(args).stdin(Stdio::null());
        command
    }

    fn end(&self, word: &str) {
        let Some(mut child) = self.watch().take() else { return };
        if let Some(mut input) = child.stdin.take() {
            // A watch that is already gone has ended the node.
            let _gone = input.write_all(word.as_bytes());
        }
        let _status = child.wait();
    }

    fn watch(&self) -> MutexGuard<'_, Option<Child>> {
        self.watch.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end("");
    }
}

/// What `rabbitmqctl` said; it must have succeeded.
fn said(args: &[&str], output: std::io::Result<Output>) -> String {
    let output = output.unwrap_or_else(|e| panic!("rabbitmqctl {args:?}: {e}"));
    assert!(
        output.status.success(),
        "rabbitmqctl {args:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The certificates of the nodes and their clients.
#[must_use]
pub fn tls_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tls")
}
