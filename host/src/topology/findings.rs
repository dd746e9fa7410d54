//! What is unwise, or will be refused, about a config's topology: what a checker of single sections
//! can't see because it takes several of them, or the broker's version.

mod dead_letters;
mod queues;
mod routing;

use std::collections::BTreeMap;
use std::fmt;

use super::BrokerName;
use crate::broker::Version;
use crate::config::{Broker, BrokerKind, Config};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The broker will refuse it, or messages will be lost or go round for ever.
    Error,
    /// It works, though hardly as meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// One thing worth saying about a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `queue 'readings'`.
    pub place: String,
    /// What is so, and what to do about it.
    pub text: String,
}

/// Everything worth saying, errors first. A broker without a version gets what holds for all.
#[must_use]
pub fn findings(config: &Config, versions: &BTreeMap<BrokerName, Option<Version>>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, broker) in &config.brokers {
        let version = versions.get(name).copied().flatten();
        queues::check(config, name, broker, version, &mut found);
        dead_letters::check(config, name, &mut found);
    }
    found.sort_by_key(|finding| finding.severity);
    found
}

/// The versions that the config states, for who asks no broker.
#[must_use]
pub fn stated_versions(config: &Config) -> BTreeMap<BrokerName, Option<Version>> {
    let stated = |broker: &Broker| match &broker.kind {
        BrokerKind::Amqp(amqp) => amqp.version.as_deref().and_then(version),
        BrokerKind::Mqtt(_) | BrokerKind::Embedded => None,
    };
    config.brokers.iter().map(|(name, broker)| (name.clone(), stated(broker))).collect()
}

/// `3.13.7` or `3.13`.
fn version(text: &str) -> Option<Version> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    Some(Version { major, minor, patch: parts.next().flatten().unwrap_or(0) })
}

// === impl Finding ===

impl Finding {
    fn new(severity: Severity, place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { severity, place: place.into(), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity, self.place, self.text)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}
