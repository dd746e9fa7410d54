//! A proxy that reads along between a contender and its broker: each delivery, each acknowledgement.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::tally::Tally;

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;
/// Bytes before a frame's payload: its kind, its channel, its size.
const HEAD: usize = 7;
/// A frame's kind: a method.
const METHOD: u8 = 1;
/// AMQP's class `basic`, and of its methods `deliver`, `ack` and `nack`.
const DELIVER: [u8; 4] = [0, 60, 0, 60];
const ACK: [u8; 4] = [0, 60, 0, 80];
const NACK: [u8; 4] = [0, 60, 0, 120];

/// A proxy; it ends with the process.
pub(super) struct Proxy {
    address: SocketAddr,
}

/// Deliveries that aren't settled: channel and tag, and the message's number.
type Open = Arc<Mutex<BTreeMap<(u16, u64), usize>>>;

impl Proxy {
    /// One to that broker, which notes what it sees.
    pub(super) fn start(broker: SocketAddr, tally: Arc<Tally>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(broker) else { return };
                let open = Open::default();
                join(client, server, &tally, &open);
            }
        });
        Ok(Self { address })
    }

    /// How a contender reaches the broker through it.
    pub(super) fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }
}

/// Carries bytes both ways, on a thread each, until one end is gone.
fn join(client: TcpStream, server: TcpStream, tally: &Arc<Tally>, open: &Open) {
    for stream in [&client, &server] {
        // Where it can't be set all contenders wait alike.
        let _default = stream.set_nodelay(true);
    }
    let (Ok(from), Ok(to)) = (server.try_clone(), client.try_clone()) else { return };
    let delivered = Arc::clone(open);
    thread::spawn(move || {
        carry(from, to, 0, |channel, payload| {
            if let Some((tag, number)) = delivery(payload) {
                lock(&delivered).insert((channel, tag), number);
            }
        });
    });
    let (tally, open) = (Arc::clone(tally), Arc::clone(open));
    thread::spawn(move || {
        // A client begins with the protocol's name, which is no frame.
        carry(client, server, 8, |channel, payload| {
            let Some((tag, multiple)) = settlement(payload) else { return };
            let mut open = lock(&open);
            if multiple {
                while let Some((&at, _)) = open.range((channel, 0)..=(channel, tag)).next() {
                    open.remove(&at).into_iter().for_each(|number| tally.settled(number));
                }
            } else if let Some(number) = open.remove(&(channel, tag)) {
                tally.settled(number);
            }
        });
    });
}

fn lock(open: &Open) -> std::sync::MutexGuard<'_, BTreeMap<(u16, u64), usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands each method frame to `see`, then the bytes on.
fn carry(mut from: TcpStream, mut to: TcpStream, mut skip: usize, mut see: impl FnMut(u16, &[u8])) {
    let mut chunk = vec![0; CHUNK];
    let mut rest: Vec<u8> = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        let bytes = &chunk[..read];
        let skipped = skip.min(read);
        skip -= skipped;
        rest.extend_from_slice(&bytes[skipped..]);
        let mut at = 0;
        while let Some(payload) = frame(&rest[at..]) {
            let head = &rest[at..at + HEAD];
            if head[0] == METHOD {
                see(u16::from_be_bytes([head[1], head[2]]), payload);
            }
            at += HEAD + payload.len() + 1;
        }
        rest.drain(..at);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // The other end is to hear of it.
    let _gone = to.shutdown(std::net::Shutdown::Both);
}

/// The payload of a frame that is there as a whole.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let size = bytes.get(3..HEAD)?;
    let size = u32::from_be_bytes([size[0], size[1], size[2], size[3]]);
    let size = usize::try_from(size).ok()?;
    bytes.get(..HEAD + size + 1)?;
    bytes.get(HEAD..HEAD + size)
}

/// A delivery's tag, and the message's number, which is a word of its routing key.
fn delivery(payload: &[u8]) -> Option<(u64, usize)> {
    let rest = payload.strip_prefix(&DELIVER)?;
    let (_consumer, rest) = short(rest)?;
    let (tag, rest) = rest.split_first_chunk::<8>()?;
    let (_exchange, rest) = short(rest.get(1..)?)?;
    let (routing_key, _) = short(rest)?;
    let key = std::str::from_utf8(routing_key).ok()?;
    Some((u64::from_be_bytes(*tag), number(key.split('.').nth(1)?)?))
}

/// A settlement's tag, and whether it is of all before it as well.
fn settlement(payload: &[u8]) -> Option<(u64, bool)> {
    let rest = payload.strip_prefix(&ACK).or_else(|| payload.strip_prefix(&NACK))?;
    let (tag, rest) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*tag), rest.first()? & 1 == 1))
}

fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length))
}

/// A message's number, from the name of its meter.
pub(super) fn number(meter: &str) -> Option<usize> {
    usize::from_str_radix(meter, 16).ok()
}
