//! Reaching a broker: TCP, TLS, and as whom. Read again at each connect, so that a rotated password or
//! certificate needs no restart.

use std::fmt;

use tcp_stream::AsyncTcpStream;
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use url::{Host, Url};

use crate::broker::{BrokerError, tls};
use crate::config::{Credentials, Login, Mqtt};

/// MQTT's ports, without and with TLS.
const PORTS: [u16; 2] = [1883, 8883];

/// A connection's two directions in one.
pub(super) type Stream = Compat<AsyncTcpStream<Compat<TcpStream>>>;

/// One address of a broker. Shown without credentials.
pub(super) struct Address {
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Reads a URL of the config.
    pub(super) fn parse(url: &str) -> Result<Self, BrokerError> {
        let bad = |why: &str| {
            BrokerError::Unreachable(format!("{why}; an address looks like mqtt://host:1883"))
        };
        let parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        let host = match parsed.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(bad("an address has no host")),
        };
        let tls = parsed.scheme() == "mqtts";
        Ok(Self { host, port: parsed.port().unwrap_or(PORTS[usize::from(tls)]), tls })
    }

    /// Opens a connection, TLS included.
    pub(super) async fn open(&self, config: &Mqtt) -> Result<Stream, BrokerError> {
        let failed = |error: std::io::Error| BrokerError::Unreachable(error.to_string());
        let plain = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        // Acknowledgements are small, and somebody waits for each.
        plain.set_nodelay(true).map_err(failed)?;
        let plain = AsyncTcpStream::Plain(plain.compat());
        if !self.tls {
            return Ok(compatible(plain));
        }
        let tls = tls::read(&config.tls)?;
        plain.into_tls(&self.host, tls.as_ref()).await.map(compatible).map_err(failed)
    }
}

/// The shown part of an address.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

/// User and password; none is anonymous.
pub(super) fn login(credentials: &Credentials) -> Result<Option<Login>, BrokerError> {
    match credentials {
        Credentials::Default => Ok(None),
        _ => credentials.read().map(Some).map_err(BrokerError::Refused),
    }
}

/// As tokio has streams.
fn compatible(stream: AsyncTcpStream<Compat<TcpStream>>) -> Stream {
    stream.compat()
}
