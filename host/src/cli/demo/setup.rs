//! The demo's config: `demo.toml` on the embedded broker, or on a RabbitMQ under names of its own.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

use crate::broker::Outgoing;
use crate::config::{self, BrokerKind, Config};
use crate::limits;
use crate::simulate;

/// The config, as a user would write it.
const TOML: &str = include_str!("demo.toml");

/// What every name of `demo.toml` begins with.
const NAME: &str = "meters";

/// Failure reports of demos on a RabbitMQ: what is left there, bounded as every host's.
pub(super) const FAILURES: &str = "sluicegate.demo.failures";

/// What a demo needs beyond a running host.
pub(super) struct Setup {
    /// Runs the host.
    pub(super) config: Config,
    /// Names of queues and exchanges begin with it instead of `meters`.
    prefix: String,
    /// Whether a RabbitMQ is used.
    pub(super) remote: bool,
}

// === impl Setup ===

impl Setup {
    /// Reads the config; on `url` every object gets a name that nobody else has and goes by itself.
    pub(super) fn new(url: Option<&str>, state_dir: PathBuf) -> anyhow::Result<Self> {
        let (prefix, text) = match url {
            None => (NAME.to_owned(), TOML.to_owned()),
            Some(url) => {
                let prefix = format!("sluicegate.demo.{:06x}.{NAME}", fastrand::u32(..1 << 24));
                let text = TOML
                    .replace(&format!("\"{NAME}"), &format!("\"{prefix}"))
                    .replace("\"embedded:\"", &toml::Value::String(url.to_owned()).to_string());
                (prefix, text)
            }
        };
        let (mut config, _) = config::parse(&text, Path::new("demo.toml")).map_err(|problems| {
            let errors = problems.iter().filter(|p| p.severity == config::Severity::Error);
            let texts: Vec<_> = errors.map(|p| format!("{}; {}", p.message, p.remedy)).collect();
            anyhow!("{}", texts.join("\n"))
        })?;
        config.service.state_dir = state_dir;
        let remote = url.is_some();
        if remote {
            if config.brokers.values().any(|broker| matches!(broker.kind, BrokerKind::Embedded)) {
                bail!("--broker: name a RabbitMQ, or leave it out for the embedded broker");
            }
            leave_nothing_behind(&mut config);
        }
        Ok(Self { config, prefix, remote })
    }

    /// The broker-side name of `meters.…`.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{}", self.prefix, name.strip_prefix(NAME).unwrap_or(name))
    }

    /// The message, addressed to this demo's exchange.
    pub(super) fn address(&self, mut message: Outgoing) -> Outgoing {
        debug_assert_eq!(message.exchange, simulate::EXCHANGE);
        message.exchange.clone_from(&self.prefix);
        message
    }
}

/// Queues that expire, exchanges that go with their last binding, no delay queues, which would stay.
fn leave_nothing_behind(config: &mut Config) {
    for queue in &mut config.queues {
        queue.expires = Some(limits::DEMO_QUEUES_EXPIRE);
    }
    for exchange in &mut config.exchanges {
        exchange.auto_delete = true;
    }
    for pipeline in &mut config.pipelines {
        pipeline.retry.attempts.values_mut().for_each(|attempts| *attempts = 1);
    }
    FAILURES.clone_into(&mut config.failures.exchange);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn the_config_passes_check_as_it_is() {
        let setup = Setup::new(None, PathBuf::from("state")).unwrap();
        assert_eq!(setup.config.pipelines.len(), 3);
        assert_eq!(setup.name("meters.dead"), "meters.dead");
    }

    #[test]
    fn on_a_rabbitmq_every_name_is_this_demos_and_every_object_goes_by_itself() {
        let setup = Setup::new(Some("amqp://127.0.0.1:5672/%2f"), PathBuf::from("state")).unwrap();
        let config = &setup.config;
        let queues = config.queues.iter().map(|queue| &queue.name);
        let exchanges = config.exchanges.iter().map(|exchange| &exchange.name);
        for name in queues.chain(exchanges) {
            assert!(name.starts_with("sluicegate.demo."), "{name}");
        }
        assert!(config.queues.iter().all(|queue| queue.expires.is_some()));
        assert!(config.exchanges.iter().all(|exchange| exchange.auto_delete));
        assert!(config.pipelines.iter().all(|p| p.retry.attempts.values().all(|n| *n == 1)));
        assert!(setup.name("meters.dead").ends_with(".meters.dead"));
    }

    #[test]
    fn an_address_that_is_none_is_told() {
        let refused = |url| Setup::new(Some(url), PathBuf::new()).err().unwrap().to_string();
        assert!(refused("localhost").contains("address"));
        assert!(refused("embedded:").contains("name a RabbitMQ"));
    }
}
