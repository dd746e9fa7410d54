//! Where a RabbitMQ is and what it is told at the door: address, credentials, TLS.
//!
//! Read again at each connect, so that a rotated password or certificate needs no restart. No
//! password leaves this file but towards the broker.

use std::fmt;

use lapin::uri::{AMQPScheme, AMQPUri};

use crate::broker::BrokerError;
use crate::config::{Amqp, Login};
use crate::limits::SHORT_STRING_BYTES;

#[cfg(test)]
mod tests;

/// One address of a broker. Shown without credentials.
#[derive(Clone, Debug)]
pub(super) struct Address {
    uri: AMQPUri,
}

impl Address {
    /// Reads a URL of the config.
    pub(super) fn parse(url: &str) -> Result<Self, BrokerError> {
        let bad = |why: &str| {
            let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
            BrokerError::Unreachable(format!(
                "{shown}: {why}; an address looks like amqp://host:5672/%2f"
            ))
        };
        let mut uri: AMQPUri = url.parse().map_err(|why: String| bad(&why))?;
        // The library takes an IPv6 address for no host at all and would go to localhost.
        if let Some((_, rest)) = url.split_once('[')
            && let Some((host, _)) = rest.split_once(']')
        {
            host.clone_into(&mut uri.authority.host);
        }
        if uri.vhost.len() > SHORT_STRING_BYTES {
            return Err(bad("the virtual host's name is longer than 255 bytes"));
        }
        Ok(Self { uri })
    }

    /// Host name or address.
    pub(super) fn host(&self) -> &str {
        &self.uri.authority.host
    }

    /// Port.
    pub(super) fn port(&self) -> u16 {
        self.uri.authority.port
    }

    /// Whether it speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }

    /// The library's address, with what it needs to log in.
    pub(super) fn login(&self, config: &Amqp, login: &Login) -> AMQPUri {
        let mut uri = self.uri.clone();
        uri.authority.userinfo.username.clone_from(&login.user);
        uri.authority.userinfo.password.clone_from(&login.password);
        uri.query.heartbeat = Some(u16::try_from(config.heartbeat.as_secs()).unwrap_or(u16::MAX));
        uri
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls() { "amqps" } else { "amqp" };
        let (open, close) = if self.host().contains(':') { ("[", "]") } else { ("", "") };
        write!(
            f,
            "{scheme}://{open}{}{close}:{} (virtual host {:?})",
            self.host(),
            self.port(),
            self.uri.vhost
        )
    }
}
