//! Asks a RabbitMQ who it is. The client library reads the broker's product and version from the
//! first frame and drops them, so this reads that frame on a connection of its own.

use std::io::{self, Read, Write};
use std::net::{TcpStream as StdTcpStream, ToSocketAddrs};

use lapin::tcp::{OwnedTLSConfig, TcpStream};
use lapin::types::parsing::parse_field_table;
use lapin::types::{AMQPValue, FieldTable};

use super::address::Address;
use crate::broker::{Server, Version};
use crate::limits::CONNECT_TIMEOUT;

#[cfg(test)]
mod tests;

/// The largest first frame that is read; RabbitMQ's has some hundred bytes.
const FRAME_BYTES_MAX: usize = 64 * 1024;
const FRAME_END: u8 = 0xCE;
/// Method frame, class `connection`, method `start`, version 0-9.
const START: [u8; 6] = [0, 10, 0, 10, 0, 9];

/// Connects, reads the greeting, hangs up. Blocks for some multiples of `CONNECT_TIMEOUT` at most.
pub(super) fn greet(address: &Address, tls: &OwnedTLSConfig) -> io::Result<Server> {
    let plain = connect(address)?;
    plain.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    plain.set_write_timeout(Some(CONNECT_TIMEOUT))?;
    let mut stream = TcpStream::from_std(plain)?;
    if address.is_tls() {
        stream = stream
            .into_tls(address.host(), tls.as_ref())
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    stream.flush()?;
    let mut head = [0; 7];
    stream.read_exact(&mut head)?;
    let [kind, _, _, a, b, c, d] = head;
    let size = u32::from_be_bytes([a, b, c, d]);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if kind != 1 || size > FRAME_BYTES_MAX {
        return Err(not_amqp());
    }
    let mut frame = vec![0; size + 1];
    stream.read_exact(&mut frame)?;
    parse(&frame)
}

fn connect(address: &Address) -> io::Result<StdTcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in (address.host(), address.port()).to_socket_addrs()? {
        match StdTcpStream::connect_timeout(&candidate, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn parse(frame: &[u8]) -> io::Result<Server> {
    let payload = frame.strip_suffix(&[FRAME_END]).ok_or_else(not_amqp)?;
    let properties = payload.strip_prefix(&START).ok_or_else(not_amqp)?;
    let (_, table) = parse_field_table(properties).map_err(|_| not_amqp())?;
    let product = text(&table, "product").unwrap_or_else(|| "unknown".to_owned());
    let version = text(&table, "version").unwrap_or_default();
    let version = parse_version(&version).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{product} tells no version; set `version` for this broker in the config"),
        )
    })?;
    Ok(Server { product, version })
}

fn text(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        _ => None,
    }
}

/// Reads `3.10.8`, `4.1`, `4.0.0-rc.1` and the like: what follows the three numbers is no matter.
pub(super) fn parse_version(text: &str) -> Option<Version> {
    let mut numbers = text.trim().split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
        digits.parse::<u16>()
    });
    let major = numbers.next()?.ok()?;
    let mut rest = || numbers.next().and_then(Result::ok).unwrap_or(0);
    Some(Version { major, minor: rest(), patch: rest() })
}

fn not_amqp() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what answers there doesn't speak AMQP 0-9-1")
}
