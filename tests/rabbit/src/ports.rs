//! Where a node listens, and whether it does.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Where ports are looked for.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

/// Ports that were free a moment ago; held together so that they differ. Below those that the kernel
/// gives to outgoing connections: a node that is away for a moment must find its ports free again,
/// whoever connected somewhere meanwhile.
pub(super) fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| {
        (0..PORTS.len())
            .find_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS))).ok())
            .unwrap_or_else(|| panic!("no free port in {PORTS:?}"))
    });
    held.map(|listener| {
        listener.local_addr().unwrap_or_else(|e| panic!("the address of a free port: {e}")).port()
    })
}

/// Whether something there speaks AMQP: it answers a protocol header with a method frame.
pub(super) fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let mut first = [0_u8; 1];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
        && stream.read_exact(&mut first).is_ok()
        && first[0] == 1
}
