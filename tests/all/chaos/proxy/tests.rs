use std::future::Future;

use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy with a connection through it: the host's end and the broker's.
async fn connected() -> (Proxy, TcpStream, TcpStream) {
    let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::start(broker.local_addr().unwrap()).await.unwrap();
    let host = TcpStream::connect(proxy.address).await.unwrap();
    let (broker, _) = broker.accept().await.unwrap();
    (proxy, host, broker)
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

fn frame(class: u16, method: u16, mark: u8) -> Vec<u8> {
    let mut frame = vec![1, 0, 1, 0, 0, 0, 5];
    frame.extend_from_slice(&class.to_be_bytes());
    frame.extend_from_slice(&method.to_be_bytes());
    frame.extend_from_slice(&[mark, 0xCE]);
    frame
}

fn ack(mark: u8) -> Vec<u8> {
    frame(60, 80, mark)
}

fn other(mark: u8) -> Vec<u8> {
    frame(60, 60, mark)
}

/// Reads that much; `None` at an end before.
async fn read(from: &mut TcpStream, count: usize) -> Option<Vec<u8>> {
    let mut read = vec![0; count];
    within(from.read_exact(&mut read)).await.is_ok().then_some(read)
}

async fn ends(stream: &mut TcpStream) -> bool {
    read(stream, 1).await.is_none()
}

/// Whether nothing comes for a while.
async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(Duration::from_millis(200), stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_pass_both_ways_and_an_end_is_passed_on() {
    let (_proxy, mut host, mut broker) = connected().await;
    host.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
    broker.write_all(&other(1)).await.unwrap();
    assert_eq!(read(&mut broker, 8).await.unwrap(), b"AMQP\0\0\x09\x01");
    assert_eq!(read(&mut host, 13).await.unwrap(), other(1));
    drop(host);
    assert!(ends(&mut broker).await);
}

#[tokio::test]
async fn confirms_that_are_held_come_later_in_order_and_dropped_ones_never() {
    let (proxy, mut host, mut broker) = connected().await;
    proxy.set(Weather { confirms: Confirms::Held, ..Weather::default() });
    broker.write_all(&[ack(1), other(2), ack(3)].concat()).await.unwrap();
    assert_eq!(read(&mut host, 13).await.unwrap(), other(2));
    assert!(is_silent(&mut host).await);
    proxy.set(Weather::default());
    assert_eq!(read(&mut host, 26).await.unwrap(), [ack(1), ack(3)].concat());
    proxy.set(Weather { confirms: Confirms::Dropped, ..Weather::default() });
    broker.write_all(&[ack(4), other(5)].concat()).await.unwrap();
    assert_eq!(read(&mut host, 13).await.unwrap(), other(5));
    // Acks of the host's are none.
    host.write_all(&ack(6)).await.unwrap();
    assert_eq!(read(&mut broker, 13).await.unwrap(), ack(6));
}

#[tokio::test]
async fn a_stalled_way_holds_what_is_sent_and_the_other_way_flows() {
    let (proxy, mut host, mut broker) = connected().await;
    proxy.set(Weather { stalled: Some(Way::ToHost), ..Weather::default() });
    broker.write_all(&other(1)).await.unwrap();
    host.write_all(&other(2)).await.unwrap();
    assert_eq!(read(&mut broker, 13).await.unwrap(), other(2));
    assert!(is_silent(&mut host).await);
    proxy.set(Weather::default());
    assert_eq!(read(&mut host, 13).await.unwrap(), other(1));
}

#[tokio::test]
async fn a_cut_in_a_frame_lets_half_of_it_through() {
    let (proxy, mut host, mut broker) = connected().await;
    proxy.strike(Which::All, Break::MidFrame(Way::ToHost));
    // What is under way when it is told may still pass.
    let mut got = Vec::new();
    while got.len() % 13 == 0 {
        if broker.write_all(&other(1)).await.is_err() {
            break;
        }
        match within(host.read_u8()).await {
            Ok(byte) => got.push(byte),
            Err(_) => break,
        }
        let mut rest = [0; 12];
        let count = within(host.read(&mut rest)).await.unwrap();
        got.extend_from_slice(&rest[..count]);
    }
    assert_eq!(got.len() % 13, 6, "{got:?}");
    assert!(ends(&mut host).await && ends(&mut broker).await);
}

#[tokio::test]
async fn half_open_connections_end_on_one_side_alone() {
    for (how, host_ends) in [(Break::HostUntold, false), (Break::BrokerUntold, true)] {
        let (proxy, mut host, mut broker) = connected().await;
        host.write_all(&other(1)).await.unwrap();
        read(&mut broker, 13).await.unwrap();
        proxy.strike(Which::All, how);
        let (ended, other) =
            if host_ends { (&mut host, &mut broker) } else { (&mut broker, &mut host) };
        assert!(ends(ended).await);
        assert!(is_silent(other).await);
    }
}

#[tokio::test]
async fn only_connections_of_the_kind_that_is_meant_are_struck() {
    let (proxy, mut host, mut broker) = connected().await;
    host.write_all(&frame(85, 10, 0)).await.unwrap();
    read(&mut broker, 13).await.unwrap();
    proxy.strike(Which::Consuming, Break::Cut);
    broker.write_all(&other(1)).await.unwrap();
    assert_eq!(read(&mut host, 13).await.unwrap(), other(1));
    proxy.strike(Which::Publishing, Break::Cut);
    assert!(ends(&mut host).await && ends(&mut broker).await);
}

#[tokio::test]
async fn a_blackhole_takes_connections_and_never_answers() {
    let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::start(broker.local_addr().unwrap()).await.unwrap();
    proxy.set(Weather { blackhole: true, ..Weather::default() });
    let mut host = TcpStream::connect(proxy.address).await.unwrap();
    host.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
    assert!(is_silent(&mut host).await);
}
