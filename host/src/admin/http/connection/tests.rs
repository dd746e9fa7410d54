#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::*;

async fn listening() -> (Connections, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (Connections::new(listener), addr)
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_loses_its_connection_at_the_end_of_its_life() {
    let (mut connections, addr) = listening().await;
    let _client = TcpStream::connect(addr).await.unwrap();
    let (mut connection, _) = connections.accept().await;
    let start = Instant::now();
    let error = connection.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= limits::HTTP_CONNECTION_LIFE);
}

#[tokio::test(start_paused = true)]
async fn no_more_clients_are_let_in_than_there_is_room_for() {
    let (mut connections, addr) = listening().await;
    let mut inside = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..limits::HTTP_CONNECTIONS {
        clients.push(TcpStream::connect(addr).await.unwrap());
        inside.push(connections.accept().await);
    }
    clients.push(TcpStream::connect(addr).await.unwrap());
    let wait = limits::HTTP_CONNECTION_LIFE;
    assert!(tokio::time::timeout(wait, connections.accept()).await.is_err());
    inside.pop();
    connections.accept().await;
}
