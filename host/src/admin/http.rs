//! The HTTP port. It only reads; there is nothing here that changes the host.
//!
//! | path | answer |
//! |---|---|
//! | `/` | this list |
//! | `/live` | 200 while the process does its work, else 503: restart it. Brokers are no part of it |
//! | `/ready` | 200 while messages flow, else 503 with the reasons, as JSON |
//! | `/metrics` | OpenMetrics text for Prometheus |

mod connection;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use self::connection::Connections;
use super::Host;
use crate::limits;
use crate::telemetry::Telemetry;

/// A port that answers.
#[derive(Debug)]
pub struct Server {
    /// Where it answers: the port that was chosen where the config says 0.
    pub addr: SocketAddr,
    /// Ends soon after the shutdown was asked for.
    pub thread: JoinHandle<()>,
}

/// Why the port can't answer.
#[derive(Debug, thiserror::Error)]
#[error("service.http: can't listen on {addr}: {cause}; {}", remedy(.cause))]
pub struct ServeError {
    addr: SocketAddr,
    cause: io::Error,
}

#[derive(Clone)]
struct Desk {
    telemetry: Telemetry,
    host: Arc<dyn Host>,
}

/// Listens on the address and answers until the shutdown.
///
/// # Errors
/// Where the address can't be had: taken, forbidden, or not this machine's.
pub fn serve(
    addr: SocketAddr,
    telemetry: Telemetry,
    host: Arc<dyn Host>,
    shutdown: CancellationToken,
) -> Result<Server, ServeError> {
    let failed = |cause| ServeError { addr, cause };
    let listener = TcpListener::bind(addr).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let router = router(Desk { telemetry, host });
    let thread = super::spawn("admin-http", move || run(listener, router, shutdown));
    Ok(Server { addr, thread: thread.map_err(failed)? })
}

async fn run(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => Connections::new(listener),
        Err(error) => {
            tracing::error!(%error, "the HTTP port can't answer");
            return;
        }
    };
    let stopping = shutdown.clone();
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    tokio::select! {
        result = serving.into_future() => {
            if let Err(error) = result {
                tracing::error!(%error, "the HTTP port stopped answering");
            }
        }
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(limits::ADMIN_CLOSE).await;
        } => {}
    }
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found; see /\n") })
        .with_state(desk)
}

async fn index() -> &'static str {
    concat!(
        "sluicegate ",
        env!("CARGO_PKG_VERSION"),
        "\n\n/live     is the process doing its work?\n",
        "/ready    do messages flow, and if not, why?\n",
        "/metrics  figures for Prometheus\n",
    )
}

async fn live(State(desk): State<Desk>) -> Response {
    if desk.host.live() {
        (StatusCode::OK, "live\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not live\n").into_response()
    }
}

async fn ready(State(desk): State<Desk>) -> Response {
    let readiness = desk.host.ready();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&readiness) {
        Ok(body) => {
            (code, [(header::CONTENT_TYPE, "application/json")], body + "\n").into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn metrics(State(desk): State<Desk>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, TYPE)], desk.telemetry.render()).into_response()
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port, perhaps another sluicegate: stop it, or choose another port"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher one",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: take 127.0.0.1, or 0.0.0.0 for all"
        }
        _ => "choose another address, or set it to false",
    }
}
