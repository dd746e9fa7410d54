//! `sluicegate run`: the service.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{ConfigFile, exit};
use crate::admin::{http, socket, systemd::Systemd};
use crate::config::{self, Service as Settings};
use crate::service::{Cause, Service};
use crate::telemetry::{Telemetry, logging};

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = logging::Format::Human)]
    log_format: logging::Format,
    /// What is logged: a level, or `target=level` pairs
    #[arg(long, env = "SLUICEGATE_LOG", default_value = "info")]
    log: String,
}

/// Runs the service until a signal or a `drain`.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match config::read(&args.config.path) {
        Ok((config, warnings)) => {
            logging::init(args.log_format, &args.log)?;
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            config
        }
        Err(problems) => {
            let source = std::fs::read_to_string(&args.config.path).unwrap_or_default();
            eprint!("{}", config::render_all(&problems, &source, std::io::stderr().is_terminal()));
            return Ok(ExitCode::from(exit::CONFIG));
        }
    };
    let settings = config.service.clone();
    // From here on a signal drains instead of killing.
    let mut signals = Signals::new()?;
    let systemd = Systemd::from_env();
    let service = Service::start(config, Telemetry::new()).await?;
    service.follow(&args.config.path)?;
    let closing = CancellationToken::new();
    let _doors = Doors::open(&settings, &service, &closing)?;
    let watchdog = systemd.watchdog(service.progress(), closing.clone());
    systemd.ready();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "running");
    serve(&service, &systemd, &mut signals).await;
    systemd.stopping();
    let grace = service.grace();
    let code = drain(service, grace, signals).await;
    closing.cancel();
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    Ok(code)
}

/// Reloads as often as it is asked for, until a signal or somebody ends it.
async fn serve(service: &Service, systemd: &Systemd, signals: &mut Signals) {
    let mut reloading = None;
    let mut again = false;
    loop {
        tokio::select! {
            caught = signals.any() => match caught {
                // One that comes while the last is worked on is taken afterwards.
                Caught::Reload => again = true,
                Caught::End(name) => {
                    tracing::info!(signal = name, "draining");
                    return;
                }
            },
            () = service.drain_requested() => {
                tracing::info!("draining, as asked over the control socket");
                return;
            }
            _ended = async { Some(reloading.as_mut()?.await) }, if reloading.is_some() => {
                reloading = None;
                // However it ended, the host serves on.
                systemd.ready();
            }
        }
        if reloading.is_none() && std::mem::take(&mut again) {
            systemd.reloading();
            reloading = Some(service.reload(Cause::Signal));
        }
    }
}

/// Finishes what is in hand; a second signal gives the rest up at once.
async fn drain(service: Service, grace: Duration, mut signals: Signals) -> ExitCode {
    let abandon = service.abandon();
    let stopping = service.stop(grace);
    tokio::pin!(stopping);
    let stopped = tokio::select! {
        stopped = &mut stopping => stopped,
        name = signals.next() => {
            tracing::warn!(signal = name, "a second signal: releasing what is in hand");
            abandon();
            stopping.await
        }
    };
    if stopped.forced {
        tracing::warn!("stopped; what couldn't be finished in time is back in its queues");
        return ExitCode::from(exit::FORCED);
    }
    tracing::info!("stopped; everything in hand was finished");
    ExitCode::SUCCESS
}

/// The ways into a running host.
struct Doors {
    _http: Option<http::Server>,
    _socket: socket::Server,
}

impl Doors {
    fn open(
        settings: &Settings,
        service: &Service,
        closing: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let http = settings
            .http
            .map(|addr| {
                http::serve(addr, service.telemetry().clone(), service.host(), closing.clone())
            })
            .transpose()?;
        if let Some(http) = &http {
            tracing::info!(address = %http.addr, "/live, /ready and /metrics");
        }
        let path = match &settings.socket {
            Some(path) => path.clone(),
            None => socket::default_path()?,
        };
        let socket = socket::serve(&path, service.host(), closing.clone())?;
        Ok(Self { _http: http, _socket: socket })
    }
}

/// What a signal asks for.
enum Caught {
    End(&'static str),
    Reload,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("can't catch signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::End("SIGINT"),
            _ = self.terminate.recv() => Caught::End("SIGTERM"),
            _ = self.hangup.recv() => Caught::Reload,
        }
    }

    /// The next that ends the host; there is nothing left to reload.
    async fn next(&mut self) -> &'static str {
        loop {
            if let Caught::End(name) = self.any().await {
                return name;
            }
        }
    }
}
