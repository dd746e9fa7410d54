//! Tells the service manager: ready, stopping, how it goes, and that work gets done.
//!
//! The protocol is a datagram of `NAME=value` lines to the socket that `$NOTIFY_SOCKET` names. Where
//! there is none, everything here does nothing.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Pings per watchdog period, so that one that is late isn't the end.
const PINGS_PER_PERIOD: u32 = 3;

/// The service manager, where there is one.
#[derive(Clone, Debug, Default)]
pub struct Systemd {
    /// Where notifications go: a path, or an abstract name after `@`.
    pub socket: Option<OsString>,
    /// The service is killed where no ping comes for this long.
    pub watchdog: Option<Duration>,
}

// === impl Systemd ===

impl Systemd {
    /// As the environment says.
    #[must_use]
    pub fn from_env() -> Self {
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        Self {
            socket: env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()),
            watchdog: number("WATCHDOG_USEC")
                .filter(|us| ours && *us > 0)
                .map(Duration::from_micros),
        }
    }

    /// Config and plugins are loaded; brokers may still be away.
    pub fn ready(&self) {
        self.notify("READY=1");
    }

    /// The config is read again; [`Systemd::ready`] follows.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let us = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    /// The drain has begun.
    pub fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    /// A line for `systemctl status`.
    pub fn status(&self, text: &str) {
        self.notify(&format!("STATUS={}", text.replace(['\n', '\r'], " ")));
    }

    /// Pings the watchdog as long as `progress` says that work was done since it was last asked. Does
    /// nothing where the unit sets no `WatchdogSec`. Runs on the runtime that calls it: where that one
    /// hangs, no ping goes out either. `end` comes after the drain: a host that drains is still watched.
    pub fn watchdog(
        &self,
        progress: impl Fn() -> bool + Send + 'static,
        end: CancellationToken,
    ) -> Option<JoinHandle<()>> {
        self.socket.as_ref()?;
        let period = self.watchdog?;
        let systemd = self.clone();
        Some(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period / PINGS_PER_PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = end.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                if progress() {
                    systemd.notify("WATCHDOG=1");
                } else {
                    tracing::warn!(
                        period_s = period.as_secs(),
                        "no progress since the last look: the watchdog isn't fed"
                    );
                }
            }
        }))
    }

    fn notify(&self, lines: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = send(socket, lines)
        {
            tracing::debug!(%error, "the service manager can't be told");
        }
    }
}

fn send(socket: &OsString, lines: &str) -> io::Result<()> {
    let addr = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    // A service manager that doesn't listen must not stop the work.
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(lines.as_bytes(), &addr)?;
    Ok(())
}
