//! One connection, opened when first needed and again after it was lost, with what is known of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use lapin::tcp::AMQPUriTcpExt;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::address::Address;
use super::errors;
use crate::broker::{BrokerError, tls};
use crate::config::{Amqp, Login};
use crate::limits::{BROKER_ANSWER, CONNECT_TIMEOUT};

/// A connection for one purpose.
pub(super) struct Link {
    /// Shown in RabbitMQ's own pages: `sluicegate NAME PURPOSE`.
    name: String,
    config: Arc<Amqp>,
    /// Held while connecting, so that one attempt serves all who wait.
    dialing: AsyncMutex<()>,
    current: Mutex<Option<Arc<Connection>>>,
    last_error: LastError,
    /// Why the broker takes no publishes now; `None` when it does.
    blocked: watch::Sender<Option<String>>,
}

/// The last error of connecting to a broker, whatever for; `None` once it succeeded again.
#[derive(Clone, Default)]
pub(super) struct LastError(Arc<Mutex<Option<String>>>);

impl Link {
    /// A link that isn't connected yet.
    pub(super) fn new(
        broker: &str,
        purpose: &str,
        config: Arc<Amqp>,
        last_error: LastError,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: format!("sluicegate {broker} {purpose}"),
            config,
            dialing: AsyncMutex::new(()),
            current: Mutex::new(None),
            last_error,
            blocked: watch::Sender::new(None),
        })
    }

    /// The connection; connects if need be.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, BrokerError> {
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let _one_attempt = self.dialing.lock().await;
        if let Some(open) = self.open() {
            return Ok(open);
        }
        match self.dial().await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                self.blocked.send_replace(None);
                *self.current() = Some(Arc::clone(&connection));
                self.last_error.set(None);
                self.follow(&connection);
                Ok(connection)
            }
            Err(error) => {
                self.last_error.set(Some(error.to_string()));
                Err(error)
            }
        }
    }

    /// A new channel on the connection.
    pub(super) async fn channel(&self) -> Result<lapin::Channel, BrokerError> {
        let connection = self.connection().await?;
        match timeout(BROKER_ANSWER, connection.create_channel()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(e)) => Err(errors::of_channel(&e, "opening a channel")),
            Err(_) => Err(BrokerError::Unreachable(format!(
                "{}: no channel within {BROKER_ANSWER:?}",
                self.name
            ))),
        }
    }

    /// Whether it is connected now.
    pub(super) fn is_connected(&self) -> bool {
        self.open().is_some()
    }

    /// Whether its connection broke and wasn't opened again.
    pub(super) fn is_broken(&self) -> bool {
        self.current().as_ref().is_some_and(|c| !c.status().connected())
    }

    /// Why the broker takes no publishes now.
    pub(super) fn blocked(&self) -> Option<String> {
        let connection = self.open()?;
        connection.status().blocked().then(|| {
            self.blocked.borrow().clone().unwrap_or_else(|| "no reason was given".to_owned())
        })
    }

    /// Waits until publishes are taken; the reason where they still aren't at the deadline.
    pub(super) async fn unblocked(&self, deadline: Instant) -> Result<(), String> {
        let mut changes = self.blocked.subscribe();
        while let Some(reason) = self.blocked() {
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Lets go of a connection that answers no more, so that the next use opens another.
    pub(super) fn discard(&self, connection: &Arc<Connection>) {
        self.current().take_if(|current| Arc::ptr_eq(current, connection));
    }

    /// Closes the connection.
    pub(super) async fn close(&self) {
        let Some(connection) = self.current().take() else { return };
        if connection.status().connected() {
            // Closed or out of time: either way nobody uses it any more.
            let closing = connection.close(200, "sluicegate is done".into());
            if let Ok(Err(error)) = timeout(BROKER_ANSWER, closing).await {
                tracing::debug!(connection = self.name, %error, "closing a connection");
            }
        }
    }

    fn open(&self) -> Option<Arc<Connection>> {
        self.current().as_ref().filter(|c| c.status().connected()).cloned()
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries every address once, in random order.
    async fn dial(&self) -> Result<Connection, BrokerError> {
        let login = self.config.credentials.read().map_err(BrokerError::Refused)?;
        let mut urls: Vec<&String> = self.config.urls.iter().collect();
        fastrand::shuffle(&mut urls);
        let mut failures: Vec<String> = Vec::new();
        let mut refused = None;
        for url in urls {
            match self.dial_one(&Address::parse(url)?, &login).await {
                Ok(connection) => return Ok(connection),
                Err(BrokerError::Unreachable(why)) => failures.push(why),
                // The other addresses of a cluster would say the same, unless this one is ill.
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| BrokerError::Unreachable(failures.join("; "))))
    }

    async fn dial_one(&self, address: &Address, login: &Login) -> Result<Connection, BrokerError> {
        let shown = address.to_string();
        let late = || {
            BrokerError::Unreachable(format!("{shown}: no connection within {CONNECT_TIMEOUT:?}"))
        };
        let tls = tls::read(&self.config.tls)?;
        let properties = ConnectionProperties::default()
            .with_connection_name(self.name.as_str().into())
            .with_client_property("product".into(), "sluicegate".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let runtime =
            lapin::runtime::default_runtime().map_err(|e| errors::of_connect(&e, &shown))?;
        // The library's thread waits for TCP and TLS without a limit of its own.
        let connecting = Connection::connector(
            address.login(&self.config, login),
            runtime,
            async move |uri, runtime| {
                let connecting = uri.connect_with_config_async(tls.as_ref(), &runtime);
                match timeout(CONNECT_TIMEOUT, connecting).await {
                    Ok(result) => Ok(result?),
                    Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
                }
            },
            properties,
        );
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(e)) => Err(errors::of_connect(&e, &shown)),
            Err(_) => Err(late()),
        }
    }

    /// Notes what the broker says about the connection, until it is gone.
    fn follow(&self, connection: &Connection) {
        let mut events = connection.events_listener();
        let blocked = self.blocked.clone();
        let name = self.name.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::ConnectionBlocked(reason) => {
                        tracing::warn!(connection = name, reason, "the broker takes no publishes");
                        blocked.send_replace(Some(reason));
                    }
                    Event::ConnectionUnblocked => {
                        tracing::info!(connection = name, "the broker takes publishes again");
                        blocked.send_replace(None);
                    }
                    Event::Error(error) => {
                        tracing::debug!(connection = name, %error, "a channel or connection broke");
                        // Wakes who waits for a broken connection to be unblocked.
                        blocked.send_modify(|_| {});
                    }
                    _ => {}
                }
            }
        });
    }
}

// === impl LastError ===

impl LastError {
    /// What it is now.
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, error: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}
