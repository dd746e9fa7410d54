//! How a broker is reached, and what is known of its connections.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::dial::{self, Address};
use super::frames::Frames;
use super::quarantine::Keeper;
use super::session::Line;
use super::window::Settled;
use super::wire::{Hello, Said, Welcome, Wire};
use crate::broker::BrokerError;
use crate::config::Mqtt;
use crate::limits::CONNECT_TIMEOUT;

/// A broker's settings, and what is known of its connections.
pub(super) struct Access {
    pub(super) name: String,
    pub(super) config: Mqtt,
    /// Sessions that are connected.
    pub(super) sessions: AtomicUsize,
    /// Publishers that are connected.
    pub(super) publishers: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) broken: bool,
    pub(super) last_error: Option<String>,
    /// By client id.
    pub(super) pasts: HashMap<String, Past>,
}

/// What this process knows of a session whose connection ended.
#[derive(Default)]
pub(super) struct Past {
    /// It is subscribed to these.
    pub(super) filters: Vec<(String, u8)>,
    pub(super) settled: Settled,
}

/// As whom a connection is opened.
pub(super) enum Guest<'g> {
    /// A session of that client id, and how many unacknowledged messages it takes.
    Session(&'g str, u16),
    /// Somebody who publishes, and leaves nothing behind.
    Publisher,
    /// Nobody in particular, who is never silent for too long.
    Passing,
}

impl Access {
    pub(super) fn new(name: &str, config: Mqtt) -> Self {
        Self {
            name: name.to_owned(),
            config,
            sessions: AtomicUsize::new(0),
            publishers: AtomicUsize::new(0),
            book: Mutex::default(),
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keeper(&self) -> Keeper {
        Keeper(self.config.quarantine.clone())
    }

    /// Connects to one of the addresses, tried in random order, and notes how it went.
    pub(super) async fn connect(&self, guest: &Guest<'_>) -> Result<(Line, Welcome), BrokerError> {
        let mut urls: Vec<&String> = self.config.urls.iter().collect();
        fastrand::shuffle(&mut urls);
        let (mut failures, mut refused) = (Vec::new(), None);
        for url in urls {
            let address = Address::parse(url)?;
            let why = match timeout(CONNECT_TIMEOUT, self.connect_to(&address, guest)).await {
                Ok(Ok(connected)) => {
                    let mut book = self.book();
                    (book.broken, book.last_error) = (false, None);
                    return Ok(connected);
                }
                Ok(Err(BrokerError::Refused(why))) => {
                    refused = Some(BrokerError::Refused(format!("{address}: {why}")));
                    continue;
                }
                Ok(Err(BrokerError::Unreachable(why))) => format!("{address}: {why}"),
                Ok(Err(error)) => format!("{address}: {error}"),
                Err(_) => format!("{address}: no connection within {CONNECT_TIMEOUT:?}"),
            };
            failures.push(why);
        }
        let error = refused.unwrap_or_else(|| BrokerError::Unreachable(failures.join("; ")));
        self.book().last_error = Some(error.to_string());
        Err(error)
    }

    async fn connect_to(
        &self,
        address: &Address,
        guest: &Guest<'_>,
    ) -> Result<(Line, Welcome), BrokerError> {
        let config = &self.config;
        let login = dial::login(&config.credentials)?;
        let stream = address.open(config).await?;
        let (client_id, receive_maximum, keep_alive) = match guest {
            Guest::Session(client_id, prefetch) => (*client_id, *prefetch, config.keep_alive),
            Guest::Publisher => ("", 1, config.keep_alive),
            Guest::Passing => ("", 1, Duration::ZERO),
        };
        let clean = !matches!(guest, Guest::Session(..));
        let frames = Frames::new(config.version, config.max_payload, self.keeper());
        let mut line = Line::new(stream, Wire::new(config.version), frames, keep_alive);
        let hello = Hello {
            client_id,
            clean,
            login: login.as_ref(),
            keep_alive: u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX),
            session_expiry: u32::try_from(config.session_expiry.as_secs()).unwrap_or(u32::MAX),
            receive_maximum: Some(receive_maximum),
            will: config.will.as_ref().filter(|_| !clean),
        };
        line.say(|wire, out| wire.connect(&hello, out)).await?;
        loop {
            if let (Said::Welcome(welcome), _) = line.hear().await? {
                if let Some(keep_alive) = welcome.keep_alive {
                    line.keep_alive(keep_alive);
                }
                return Ok((line, welcome));
            }
        }
    }
}
