//! The HTTP port, asked as its clients ask.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::telemetry::Telemetry;

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Port {
    server: crate::admin::http::Server,
    shutdown: CancellationToken,
}

impl Port {
    fn of(host: FakeHost) -> Self {
        let shutdown = CancellationToken::new();
        let telemetry = Telemetry::new();
        telemetry.pipeline("readings").received(1, 0);
        let server =
            crate::admin::http::serve(ANY_PORT, telemetry, Arc::new(host), shutdown.clone())
                .unwrap();
        Self { server, shutdown }
    }

    /// Status code, and everything after the status line.
    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.server.addr).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (line, rest) = answer.split_once("\r\n").unwrap();
        (line.split(' ').nth(1).unwrap().parse().unwrap(), rest.to_owned())
    }
}

#[test]
fn a_host_that_works_is_live_and_ready() {
    let port = Port::of(FakeHost::default());
    assert_eq!(port.ask("GET", "/live").0, 200);
    let (code, text) = port.ask("GET", "/ready");
    assert_eq!(code, 200);
    assert!(text.ends_with("{\"ready\":true,\"reasons\":[]}\n"), "{text}");
}

#[test]
fn a_host_that_is_not_ready_says_why_and_is_live_all_the_same() {
    let reasons = vec!["broker 'main' is away: connection refused".to_owned()];
    let port = Port::of(FakeHost { reasons, ..FakeHost::default() });
    let (code, text) = port.ask("GET", "/ready");
    assert_eq!(code, 503);
    assert!(text.contains("broker 'main' is away: connection refused"), "{text}");
    assert!(text.to_lowercase().contains("content-type: application/json"), "{text}");
    assert_eq!(port.ask("GET", "/live").0, 200);
}

#[test]
fn a_host_that_hangs_is_not_live() {
    let port = Port::of(FakeHost { dead: true, ..FakeHost::default() });
    assert_eq!(port.ask("GET", "/live").0, 503);
}

#[test]
fn metrics_come_as_openmetrics_text() {
    let port = Port::of(FakeHost::default());
    let (code, text) = port.ask("GET", "/metrics");
    assert_eq!(code, 200);
    assert!(text.contains("application/openmetrics-text; version=1.0.0"), "{text}");
    assert!(
        text.contains("sluicegate_messages_received_total{pipeline=\"readings\"} 1\n"),
        "{text}"
    );
}

#[test]
fn the_port_only_reads() {
    let port = Port::of(FakeHost::default());
    for path in ["/", "/live", "/ready", "/metrics"] {
        assert_eq!(port.ask("GET", path).0, 200, "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            assert_eq!(port.ask(method, path).0, 405, "{method} {path}");
        }
    }
    assert_eq!(port.ask("GET", "/elsewhere").0, 404);
}

#[test]
fn a_taken_port_is_an_error_that_names_key_address_and_remedy() {
    let port = Port::of(FakeHost::default());
    let addr = port.server.addr;
    let error = crate::admin::http::serve(addr, Telemetry::new(), host(), CancellationToken::new())
        .unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with(&format!("service.http: can't listen on {addr}: ")), "{error}");
    assert!(error.contains("choose another port"), "{error}");
}

#[test]
fn silent_clients_do_not_keep_a_stopping_host() {
    let port = Port::of(FakeHost::default());
    let _silent: Vec<TcpStream> =
        (0..4).map(|_| TcpStream::connect(port.server.addr).unwrap()).collect();
    assert_eq!(port.ask("GET", "/live").0, 200);
    port.shutdown.cancel();
    port.server.thread.join().unwrap();
    assert!(TcpStream::connect(port.server.addr).is_err());
}
