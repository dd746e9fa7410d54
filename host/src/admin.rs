//! How a running host is looked at and steered: the HTTP port, the control socket, systemd.
//!
//! | file | what |
//! |---|---|
//! | [`http`] | `/live`, `/ready`, `/metrics`; only reads |
//! | [`socket`] | `status`, `drain`, `pause`, `resume`, `reload`, `state`, `tap` over a unix socket that only the host's user and root may open |
//! | [`stream`] | lines to a client that follows what happens, as long as it does |
//! | [`client`] | the socket's other end, for the CLI |
//! | [`systemd`] | readiness, status and watchdog for the service manager |
//!
//! All of it sees the host through [`Host`]: snapshots and commands, nothing else. HTTP and socket each
//! have a thread and a runtime of their own, so that a host that is busy still says so.

pub mod client;
pub mod http;
pub mod protocol;
pub mod reload;
pub mod socket;
pub mod status;
pub mod stream;
pub mod systemd;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::thread::{self, JoinHandle};

pub use self::protocol::{Command, StateAsk, StateEnded, StateRequest, Tap, Watch};
pub use self::reload::{ReloadLine, ReloadOutcome, Reloaded};
pub use self::status::{
    BrokerStatus, PipelineState, PipelineStatus, PluginStatus, Readiness, Status,
};
pub use self::stream::{Following, Lines};

/// What the admin room knows of the host. Every method returns at once.
pub trait Host: Send + Sync + 'static {
    /// Whether the process does its work; false asks for a restart. A broker's state is no part of it.
    fn live(&self) -> bool;
    /// Whether messages flow, and if not, why.
    fn ready(&self) -> Readiness;
    /// Everything that `status` shows.
    fn status(&self) -> Status;
    /// Starts what the command asks for and says what will happen.
    ///
    /// # Errors
    /// Why it can't: no such pipeline, already draining.
    fn control(&self, command: Command) -> Result<String, String>;
    /// Begins to tell what happens; who drops the answer has enough.
    ///
    /// # Errors
    /// Why it can't: no such pipeline.
    fn follow(&self, watch: Watch) -> Result<Following, String>;
}

/// Runs the future on a thread and a runtime of its own.
fn spawn<F, W>(name: &str, work: W) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()>,
    W: FnOnce() -> F + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(async move { work().await }))
}
