//! Starts of the host, as a process on a RabbitMQ: from the command to the first message settled.
//!
//! A message waits in the queue. The host runs with one plugin or a chain of ten, each a component of its own;
//! cold, which is without compiled code, or warm. All times are taken from what is said on the wire
//! ([`tap`]), so the host isn't asked.

pub mod tap;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rabbit_node::Node;
use serde::Serialize;
use tempfile::TempDir;

use self::tap::{ACK, CONSUME_OK, DELIVER, Method, OPEN_OK, PUBLISH, Said, Tap, Who};
use crate::amqp::process::Running;
use crate::amqp::wire::Wire;
use crate::dispatch::{Logic, messages};
use crate::guests;
use crate::method::quantile;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a component's own section begins with: its number, whatever it holds.
const CUSTOM: u8 = 0;

/// What is started.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Case {
    /// Plugins in a chain.
    pub plugins: usize,
    /// With the code that a start before compiled.
    pub warm: bool,
}

/// Milliseconds of a start, each counted from the one before.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// From the command until the broker has let the host in: plugins are loaded by then.
    pub handshake: f64,
    /// Until it consumes.
    pub consumes: f64,
    /// Until a message is delivered.
    pub delivered: f64,
    /// Until what it led to is published.
    pub published: f64,
    /// Until it is settled: that was confirmed.
    pub settled: f64,
}

/// How starts came out.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    /// What was started.
    pub case: Case,
    /// Every start.
    pub all: Vec<Times>,
}

impl Times {
    /// From the broker's handshake until the message is settled.
    #[must_use]
    pub fn after_handshake(&self) -> f64 {
        self.consumes + self.delivered + self.published + self.settled
    }

    /// From the command until the message is settled.
    #[must_use]
    pub fn whole(&self) -> f64 {
        self.handshake + self.after_handshake()
    }
}

impl Started {
    /// That share, from 0 to 1, of what is told of each start.
    #[must_use]
    pub fn quantile(&self, of: impl Fn(&Times) -> f64, at: f64) -> f64 {
        quantile(&self.all.iter().map(of).collect::<Vec<f64>>(), at)
    }
}

/// Starts that many times.
///
/// # Errors
/// The host can't be started, or says nothing.
pub async fn run(node: &Node, host: &Path, case: Case, times: usize) -> anyhow::Result<Started> {
    let site = Site::new(host, node, case)?;
    let wire = Wire::open(&node.url()).await?;
    // It declares what it needs.
    site.start(&wire).await?;
    let mut all = Vec::with_capacity(times);
    for _ in 0..times {
        if !case.warm {
            fs::remove_dir_all(site.path("cache"))?;
        }
        all.push(site.start(&wire).await?);
    }
    Ok(Started { case, all })
}

/// A folder with a config and plugins, and who listens in.
struct Site<'n> {
    folder: TempDir,
    host: PathBuf,
    node: &'n Node,
    queue: String,
}

impl<'n> Site<'n> {
    fn new(host: &Path, node: &'n Node, case: Case) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let temperature = if case.warm { "warm" } else { "cold" };
        let queue = format!("start.{}.{temperature}", case.plugins);
        for plugin in 0..case.plugins {
            fs::write(folder.path().join(format!("{plugin}.wasm")), distinct(plugin)?)?;
        }
        let site = Self { folder, host: host.to_owned(), node, queue };
        fs::write(site.path("credentials"), "guest:guest\n")?;
        site.configure(case.plugins, site.node.address().port())?;
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the config: what a user would write, with a broker at that port.
    fn configure(&self, plugins: usize, port: u16) -> anyhow::Result<()> {
        let queue = &self.queue;
        let mut text = format!(
            "[broker.main]\nurl = \"amqp://127.0.0.1:{port}/%2f\"\n\
             [service]\nhttp = \"127.0.0.1:0\"\nsocket = \"control.sock\"\nstate_dir = \"state\"\n\
             cache_dir = \"cache\"\n\
             [[queue]]\nname = \"{queue}\"\ndead_letter = {{ queue = \"{queue}.dead\" }}\n\
             [[exchange]]\nname = \"{queue}.out\"\nkind = \"fanout\"\n\
             [[queue]]\nname = \"{queue}.out\"\nbind = [{{ exchange = \"{queue}.out\" }}]\n"
        );
        let mut stages = Vec::new();
        for plugin in 0..plugins {
            let logic = if plugin + 1 == plugins { Logic::Route } else { Logic::Pass };
            let logic = logic.as_str();
            writeln!(
                text,
                "[[plugin]]\nname = \"p{plugin}\"\nfile = \"{plugin}.wasm\"\n\
                 config = {{ logic = \"{logic}\" }}"
            )?;
            stages.push(format!("\"p{plugin}\""));
        }
        writeln!(
            text,
            "[[pipeline]]\nname = \"start\"\nqueue = \"{queue}\"\nkey = {{ routing_key = 1 }}\n\
             stages = [{}]\noutputs.out = {{ exchange = \"{queue}.out\" }}",
            stages.join(", ")
        )?;
        Ok(fs::write(self.path("sluicegate.toml"), text)?)
    }

    /// Starts the host, with a message in its queue if that is there, and has it end.
    async fn start(&self, wire: &Wire) -> anyhow::Result<Times> {
        let plugins = fs::read_dir(self.folder.path())?.flatten();
        let is_plugin = |name: &Path| name.extension().is_some_and(|it| it == "wasm");
        let plugins = plugins.filter(|it| is_plugin(&it.path())).count();
        let tap = Tap::open(self.node.address())?;
        self.configure(plugins, tap.address().port())?;
        let mut command = Command::new(&self.host);
        command.args(["run", "--log", "warn", "--config"]).arg(self.path("sluicegate.toml"));
        let first = !self.path("state").exists();
        let mut waiting = messages(Logic::Route, 100, 1)?;
        waiting.truncate(1);
        waiting.iter_mut().for_each(|it| it.routing_key.clone_from(&self.queue));
        if !first {
            wire.fill("", &waiting).await?;
        }
        let began = Instant::now();
        let running = Running::start("the host", command)?;
        if first {
            tap.await_said(Who::Broker, CONSUME_OK, PATIENCE)?;
            wire.fill("", &waiting).await?;
        }
        let said = tap.await_said(Who::Host, ACK, PATIENCE)?;
        running.stop().await?;
        wire.purge(&format!("{}.out", self.queue)).await?;
        times(began, &said)
    }
}

fn times(began: Instant, said: &[Said]) -> anyhow::Result<Times> {
    let mut since = began;
    let mut next = |who: Who, method: Method| {
        let found = said.iter().find(|said| said.who == who && said.method == method);
        let at = found.map(|said| said.at);
        let at = at.ok_or_else(|| anyhow::anyhow!("{who:?} never said {method:?}"))?;
        let ms = at.saturating_duration_since(since).as_secs_f64() * 1000.0;
        since = since.max(at);
        anyhow::Ok(ms)
    };
    Ok(Times {
        handshake: next(Who::Broker, OPEN_OK)?,
        consumes: next(Who::Broker, CONSUME_OK)?,
        delivered: next(Who::Broker, DELIVER)?,
        published: next(Who::Host, PUBLISH)?,
        settled: next(Who::Host, ACK)?,
    })
}

/// The plugin with a section of its own, so that it is compiled on its own.
fn distinct(number: usize) -> anyhow::Result<Vec<u8>> {
    let mut wasm = guests::PLAIN.to_vec();
    let number = u8::try_from(number)?;
    // A section's number, its size, its name's length and its name.
    wasm.extend([CUSTOM, 3, 1, b'n', number]);
    Ok(wasm)
}
