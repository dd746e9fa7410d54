//! `sluicegate demo`: a simulated fleet of meters through the real host, watched.

mod board;
mod drive;
mod screen;
mod setup;
mod tally;
mod view;
mod words;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::board::{Board, Lane, Phase};
use self::drive::{Ends, Shared};
use self::screen::Screen;
use self::setup::Setup;
use self::tally::Sink;
use self::words::Ended;
use super::exit;
use crate::limits;
use crate::service::Service;
use crate::simulate::Fleet;
use crate::telemetry::Telemetry;

/// Between two looks at the figures.
const LOOK: Duration = Duration::from_millis(500);
/// Looks between two plain lines.
const LINE_LOOKS: u32 = 2;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after this time: 30s, 5m [default: at Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    ends_after: Option<Duration>,
    /// Meters of the fleet
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    meters: u32,
    /// Messages a second that the fleet publishes
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// What the fleet does: the same seed, the same messages
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A RabbitMQ instead of the embedded broker: amqp://USER:PASSWORD@HOST:5672/%2f
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Plain lines, as where the output is no terminal
    #[arg(long)]
    plain: bool,
}

/// A time: `30s`, `5m`, `1h 30m`.
fn time(text: &str) -> Result<Duration, String> {
    let time =
        text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    time.filter(|time| !time.is_zero()).ok_or_else(|| "write a time, as 30s or 5m".to_owned())
}

/// Runs the verb.
///
/// # Errors
/// A host that doesn't start, a broker that doesn't answer, a terminal that can't be used.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let state_dir = std::env::temp_dir().join(format!("sluicegate-demo-{}", std::process::id()));
    let ran = run_in(&args, state_dir.clone()).await;
    // What a demo journals is nobody's after it.
    let _ = std::fs::remove_dir_all(&state_dir);
    ran
}

async fn run_in(args: &Args, state_dir: std::path::PathBuf) -> anyhow::Result<ExitCode> {
    let setup = Arc::new(Setup::new(args.broker.as_deref(), state_dir)?);
    println!("starting: compiling plugins, declaring queues");
    let telemetry = Telemetry::new();
    let service = Service::start(setup.config.clone(), telemetry.clone()).await?;
    let broker = service.broker("main").context("the demo's config names no broker")?;
    await_ready(&service).await?;
    let server = broker.server().await.context("the broker doesn't say what it is")?;
    let board = Board {
        meters: args.meters as usize,
        server: format!("{} {}", server.product, server.version),
        ends_after: args.ends_after,
        lanes: setup.config.pipelines.iter().map(|pipeline| Lane::new(&pipeline.name)).collect(),
        ..Board::default()
    };
    let tally = Shared::default();
    let sinks_stop = CancellationToken::new();
    let ends = |stop: &CancellationToken| Ends {
        broker: Arc::clone(&broker),
        setup: Arc::clone(&setup),
        tally: tally.clone(),
        stop: stop.clone(),
    };
    let mut sinks = JoinSet::new();
    for sink in Sink::ALL {
        sinks.spawn(ends(&sinks_stop).collect(sink));
    }
    let fleet_stop = CancellationToken::new();
    let fleet = Fleet::new(args.seed, args.meters as usize);
    let drive = tokio::spawn(ends(&fleet_stop).drive(fleet, f64::from(args.rate)));
    let mut show =
        Show { board, telemetry, tally, screen: None, looks: 0, started: Instant::now() };
    let watched = show.watch(args, drive, &fleet_stop).await;
    show.close();
    let stopped = service.stop(setup.config.service.drain).await;
    sinks_stop.cancel();
    while sinks.join_next().await.is_some() {}
    let ended = Ended { drained: watched?, forced: stopped.forced };
    println!("{}", words::summary(&show.board, ended));
    if setup.remote {
        println!(
            "left on the broker: exchange and queue '{}'; queues '{}…' and their exchanges go by \
             themselves after {} minutes",
            setup::FAILURES,
            setup.name("meters"),
            limits::DEMO_QUEUES_EXPIRE.as_secs() / 60
        );
    }
    Ok(match (ended.forced, ended.drained && show.board.unaccounted() == 0) {
        (true, _) => ExitCode::from(exit::FORCED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(exit::FAILURE),
    })
}

/// Waits until the host consumes.
async fn await_ready(service: &Service) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut look = tokio::time::interval(limits::BACKOFF_MIN);
    loop {
        look.tick().await;
        let readiness = service.host().ready();
        if readiness.ready {
            return Ok(());
        }
        if started.elapsed() >= limits::DEMO_START {
            bail!("the host isn't ready: {}", readiness.reasons.join("; "));
        }
    }
}

/// What is shown, and where it comes from.
struct Show {
    board: Board,
    telemetry: Telemetry,
    tally: Shared,
    screen: Option<Screen>,
    looks: u32,
    started: Instant,
}

impl Show {
    /// Shows how it goes until it ends; true if everything under way was finished then.
    async fn watch(
        &mut self,
        args: &Args,
        mut drive: tokio::task::JoinHandle<Result<(), String>>,
        fleet_stop: &CancellationToken,
    ) -> anyhow::Result<bool> {
        let quit = CancellationToken::new();
        tokio::spawn(interrupt(quit.clone()));
        if !args.plain && io::stdout().is_terminal() {
            self.screen =
                Some(Screen::open(quit.clone()).context("can't use the terminal; try --plain")?);
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.started = Instant::now();
        let mut end = std::pin::pin!(wait(args.ends_after));
        loop {
            tokio::select! {
                driven = &mut drive => {
                    let text = driven.map_err(anyhow::Error::from)?.err().unwrap_or_default();
                    return Err(anyhow!("the fleet can't publish: {text}"));
                }
                () = quit.cancelled() => break,
                () = &mut end => break,
                _ = look.tick() => self.look()?,
            }
        }
        fleet_stop.cancel();
        self.board.phase = Phase::Draining;
        self.drain(drive).await
    }

    /// Waits until what was published has come out, within a bound.
    async fn drain(
        &mut self,
        mut drive: tokio::task::JoinHandle<Result<(), String>>,
    ) -> anyhow::Result<bool> {
        let stopped = Instant::now();
        let mut look = tokio::time::interval(LOOK / 5);
        let mut driving = true;
        while stopped.elapsed() < limits::DEMO_DRAIN {
            tokio::select! {
                driven = &mut drive, if driving => {
                    driving = false;
                    driven?.map_err(|text| anyhow!("the fleet can't publish: {text}"))?;
                }
                _ = look.tick() => {
                    self.look()?;
                    let board = &self.board;
                    if !driving && board.unaccounted() <= 0 && board.uncollected() == 0 {
                        return Ok(true);
                    }
                }
            }
        }
        drive.abort();
        Ok(false)
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let figures = self.tally.lock().figures.clone();
        self.board.update(self.telemetry.snapshot(), figures, self.started.elapsed());
        self.board.resident_bytes = resident_bytes();
        self.looks += 1;
        match &mut self.screen {
            Some(screen) => screen.show(&self.board).context("can't draw on the terminal")?,
            None if self.looks.is_multiple_of(LINE_LOOKS) => {
                println!("{}", words::line(&self.board))
            }
            None => {}
        }
        Ok(())
    }

    /// Gives the terminal back.
    fn close(&mut self) {
        self.screen = None;
    }
}

/// Waits so long, or for ever.
async fn wait(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// The first Ctrl-C or SIGTERM ends the demo in order, the second at once.
async fn interrupt(quit: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    for last in [false, true] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        quit.cancel();
        if last {
            ratatui::restore();
            std::process::exit(exit::INTERRUPTED.into());
        }
    }
}

/// Resident memory of this process, where the system has `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
