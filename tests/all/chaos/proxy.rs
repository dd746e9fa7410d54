//! A TCP proxy between a host and its broker that can be told to misbehave, now and for connections
//! that live: per direction, for all connections or those of one kind.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::frames;

/// Frames under way in one direction of one connection.
const UNDER_WAY: usize = 64;
const READ_BYTES: usize = 64 * 1024;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToBroker,
    ToHost,
}

/// Which of the host's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Which {
    #[default]
    All,
    /// Those with a channel in confirm mode.
    Publishing,
    /// Those with a consumer.
    Consuming,
}

/// What becomes of the broker's confirms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Confirms {
    #[default]
    Passed,
    /// They come when this is over.
    Held,
    /// They never come.
    Dropped,
}

/// What goes on until it is changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    pub(super) on: Which,
    pub(super) delay: Duration,
    pub(super) stalled: Option<Way>,
    pub(super) confirms: Confirms,
    /// New connections are taken and never answered.
    pub(super) blackhole: bool,
}

/// What happens once, to connections that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// Both sides are closed.
    Cut,
    /// The same, in the middle of the next frame of that way.
    MidFrame(Way),
    /// The broker's side is closed and the host never told.
    HostUntold,
    /// The host's side is closed and the broker never told.
    BrokerUntold,
}

/// A proxy that runs; ends when dropped.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    weather: watch::Sender<Weather>,
    breaks: watch::Sender<(u64, Which, Option<Break>)>,
    accepting: JoinHandle<()>,
}

/// What one connection listens to.
#[derive(Clone)]
struct Orders {
    weather: watch::Receiver<Weather>,
    breaks: watch::Receiver<(u64, Which, Option<Break>)>,
}

/// What a connection has turned out to be.
#[derive(Default)]
struct Kind(AtomicU8);

/// One direction of one connection.
struct Pump<'c> {
    way: Way,
    kind: &'c Kind,
    weather: watch::Receiver<Weather>,
    /// Set when the next frame is to be cut in the middle.
    torn: watch::Receiver<Option<Way>>,
}

// === impl Proxy ===

impl Proxy {
    /// One in front of that broker, on a free port.
    pub(super) async fn start(broker: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (weather, orders_weather) = watch::channel(Weather::default());
        let (breaks, orders_breaks) = watch::channel((0, Which::All, None));
        let orders = Orders { weather: orders_weather, breaks: orders_breaks };
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, broker, orders.clone()));
            }
        });
        Ok(Self { address, weather, breaks, accepting })
    }

    /// From now on.
    pub(super) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Now, to the connections that there are.
    pub(super) fn strike(&self, which: Which, how: Break) {
        self.breaks.send_modify(|last| *last = (last.0 + 1, which, Some(how)));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection, to its end.
async fn carry(mut client: TcpStream, broker: SocketAddr, mut orders: Orders) {
    orders.breaks.mark_unchanged();
    if orders.weather.borrow().blackhole {
        swallow(&mut client).await;
        return;
    }
    let Ok(server) = TcpStream::connect(broker).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let kind = Kind::default();
    let (tear, torn) = watch::channel(None);
    let pump = |way| Pump { way, kind: &kind, weather: orders.weather.clone(), torn: torn.clone() };
    let (to_broker, to_host) = (pump(Way::ToBroker), pump(Way::ToHost));
    let untold = {
        let up = to_broker.run(&mut from_client, &mut to_server);
        let down = to_host.run(&mut from_server, &mut to_client);
        tokio::select! {
            () = up => return,
            () = down => return,
            untold = obey(orders.breaks, &kind, &tear) => untold,
        }
    };
    match untold {
        Break::HostUntold => {
            drop((from_server, to_server));
            swallow(&mut from_client).await;
        }
        Break::BrokerUntold => {
            drop((from_client, to_client));
            swallow(&mut from_server).await;
        }
        Break::Cut | Break::MidFrame(_) => {}
    }
}

/// Waits for what ends the pumps.
async fn obey(
    mut breaks: watch::Receiver<(u64, Which, Option<Break>)>,
    kind: &Kind,
    tear: &watch::Sender<Option<Way>>,
) -> Break {
    while breaks.changed().await.is_ok() {
        let (_, which, how) = *breaks.borrow_and_update();
        match how {
            Some(Break::MidFrame(way)) if kind.is(which) => {
                tear.send_replace(Some(way));
            }
            Some(how) if kind.is(which) => return how,
            _ => {}
        }
    }
    Break::Cut
}

/// Reads on and tells nobody, until the other side gives up.
async fn swallow(from: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut read = vec![0; READ_BYTES];
    while from.read(&mut read).await.is_ok_and(|count| count > 0) {}
}

// === impl Pump ===

impl Pump<'_> {
    async fn run(&self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
        let (sender, receiver) = mpsc::channel(UNDER_WAY);
        tokio::select! {
            () = self.read(from, sender) => {}
            _ended = self.write(receiver, to) => {}
        }
    }

    /// Ends only with the other half: what was read before an end is still to be written.
    async fn read(&self, from: &mut OwnedReadHalf, sender: mpsc::Sender<(Instant, Bytes)>) {
        let mut read = BytesMut::with_capacity(READ_BYTES);
        while from.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
            while let Some(frame) = frames::next(&mut read) {
                self.kind.learn(&frame);
                let weather = self.weather.borrow().clone();
                let delay = if self.kind.is(weather.on) { weather.delay } else { Duration::ZERO };
                if sender.send((Instant::now() + delay, frame)).await.is_err() {
                    return;
                }
            }
        }
        drop(sender);
        pending::<()>().await;
    }

    async fn write(
        &self,
        mut frames: mpsc::Receiver<(Instant, Bytes)>,
        to: &mut OwnedWriteHalf,
    ) -> io::Result<()> {
        let mut weather = self.weather.clone();
        let mut held = VecDeque::new();
        loop {
            tokio::select! {
                _changed = weather.changed(), if !held.is_empty() => {}
                next = frames.recv() => {
                    let Some((due, frame)) = next else { return Ok(()) };
                    sleep_until(due).await;
                    self.await_flow(&mut weather).await;
                    match self.confirms(&weather, &frame) {
                        Confirms::Passed => {
                            self.flush(&mut held, &weather, to).await?;
                            self.put(&frame, to).await?;
                        }
                        Confirms::Held => held.push_back(frame),
                        Confirms::Dropped => {}
                    }
                }
            }
            self.flush(&mut held, &weather, to).await?;
        }
    }

    /// While this way is stalled.
    async fn await_flow(&self, weather: &mut watch::Receiver<Weather>) {
        let stalled = |now: &Weather| now.stalled == Some(self.way) && self.kind.is(now.on);
        let _gone = weather.wait_for(|now| !stalled(now)).await;
    }

    fn confirms(&self, weather: &watch::Receiver<Weather>, frame: &Bytes) -> Confirms {
        let to_host = self.way == Way::ToHost && frames::is_confirm(frame);
        if to_host { weather.borrow().confirms } else { Confirms::Passed }
    }

    /// Held confirms, once they may go: in their order.
    async fn flush(
        &self,
        held: &mut VecDeque<Bytes>,
        weather: &watch::Receiver<Weather>,
        to: &mut OwnedWriteHalf,
    ) -> io::Result<()> {
        if weather.borrow().confirms != Confirms::Held {
            while let Some(frame) = held.pop_front() {
                self.put(&frame, to).await?;
            }
        }
        Ok(())
    }

    async fn put(&self, frame: &Bytes, to: &mut OwnedWriteHalf) -> io::Result<()> {
        if *self.torn.borrow() == Some(self.way) {
            to.write_all(&frame[..frame.len() / 2]).await?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        to.write_all(frame).await
    }
}

// === impl Kind ===

impl Kind {
    fn learn(&self, frame: &Bytes) {
        match frames::method(frame) {
            Some(frames::CONFIRM_SELECT) => self.0.store(1, Ordering::Relaxed),
            Some(frames::BASIC_CONSUME) => self.0.store(2, Ordering::Relaxed),
            _ => {}
        }
    }

    fn is(&self, which: Which) -> bool {
        match which {
            Which::All => true,
            Which::Publishing => self.0.load(Ordering::Relaxed) == 1,
            Which::Consuming => self.0.load(Ordering::Relaxed) == 2,
        }
    }
}

#[cfg(test)]
mod tests;
