//! What host and broker say to each other, by the clock: a relay between the two that knows where AMQP's
//! frames begin, and nothing of the host.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a frame's head: its type, channel and size.
const HEAD: usize = 7;
/// A frame that carries a method.
const METHOD: u8 = 1;
/// Bytes that a client greets with, which are no frame.
const GREETING: usize = 8;
/// Bytes that are relayed at once, at most.
const BUFFER: usize = 64 * 1024;

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The host.
    Host,
    /// The broker.
    Broker,
}

/// A method, by its numbers in AMQP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(pub u16, pub u16);

/// The broker lets the host in.
pub const OPEN_OK: Method = Method(10, 41);
/// A consumer begins.
pub const CONSUME_OK: Method = Method(60, 21);
/// A message is published.
pub const PUBLISH: Method = Method(60, 40);
/// A message is delivered.
pub const DELIVER: Method = Method(60, 60);
/// A delivery is settled; of the broker, a publication confirmed.
pub const ACK: Method = Method(60, 80);

/// A method that was said.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// When.
    pub at: Instant,
    /// By whom.
    pub who: Who,
    /// What.
    pub method: Method,
}

#[derive(Default)]
struct Heard {
    all: Mutex<Vec<Said>>,
    more: Condvar,
}

/// A relay to a broker; it ends with the process.
pub struct Tap {
    address: SocketAddr,
    heard: Arc<Heard>,
}

impl Tap {
    /// Listens for hosts, and takes them to that broker.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub fn open(broker: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Heard::default());
        let shared = Arc::clone(&heard);
        thread::spawn(move || {
            for host in listener.incoming().map_while(Result::ok) {
                let Ok(broker) = TcpStream::connect(broker) else { return };
                relay(host, broker, &shared);
            }
        });
        Ok(Self { address, heard })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until somebody said that; all that was said until then.
    ///
    /// # Errors
    /// Nobody did in that time.
    pub fn await_said(
        &self,
        who: Who,
        method: Method,
        patience: Duration,
    ) -> anyhow::Result<Vec<Said>> {
        let until = Instant::now() + patience;
        let mut all = self.heard.lock();
        loop {
            if all.iter().any(|said| said.who == who && said.method == method) {
                return Ok(all.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            anyhow::ensure!(!left.is_zero(), "nobody said {method:?}, but {all:?}");
            let waited = self.heard.more.wait_timeout(all, left);
            all = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Vec<Said>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, who: Who, methods: impl Iterator<Item = Method>) {
        let at = Instant::now();
        let mut all = self.lock();
        let before = all.len();
        all.extend(methods.map(|method| Said { at, who, method }));
        if all.len() > before {
            self.more.notify_all();
        }
    }
}

fn relay(host: TcpStream, broker: TcpStream, heard: &Arc<Heard>) {
    for stream in [&host, &broker] {
        // Slower without, no more.
        let _slow = stream.set_nodelay(true);
    }
    let Ok((to_host, to_broker)) = host.try_clone().and_then(|it| Ok((it, broker.try_clone()?)))
    else {
        return;
    };
    let of_host = (Who::Host, Frames { skip: GREETING, ..Frames::default() });
    let of_broker = (Who::Broker, Frames::default());
    for (from, to, (who, frames)) in [(host, to_broker, of_host), (broker, to_host, of_broker)] {
        let heard = Arc::clone(heard);
        thread::spawn(move || pass(from, to, who, frames, &heard));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, who: Who, mut frames: Frames, heard: &Heard) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..read];
        // First noted, then passed on: an answer is never before its question.
        heard.note(who, frames.methods(bytes).into_iter());
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // The other side hears of the end, and ends too.
    let _closed = to.shutdown(Shutdown::Both);
}

/// Where frames begin in what one side says.
#[derive(Default)]
struct Frames {
    /// Bytes that are of no interest, from here on.
    skip: usize,
    /// What has come of a frame's head and its method's numbers.
    begun: Vec<u8>,
}

impl Frames {
    fn methods(&mut self, mut bytes: &[u8]) -> Vec<Method> {
        let mut methods = Vec::new();
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else { break };
            self.begun.push(*first);
            bytes = rest;
            if let [kind, _, _, a, b, c, d, ref body @ ..] = self.begun[..] {
                let size = u32::from_be_bytes([a, b, c, d]) as usize;
                let wanted = if kind == METHOD { 4 } else { 0 };
                if body.len() < wanted {
                    continue;
                }
                if let [class, ass, method, hod] = *body {
                    let number = |high, low| u16::from_be_bytes([high, low]);
                    methods.push(Method(number(class, ass), number(method, hod)));
                }
                // What is left of it, and the byte that ends it.
                self.skip = HEAD + size + 1 - self.begun.len();
                self.begun.clear();
            }
        }
        methods
    }
}
