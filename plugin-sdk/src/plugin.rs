//! The one trait that an author implements.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::message::Message;
use crate::timer::Timer;
use crate::verdict::{Decision, Failure};

/// A plugin: its fields are its configuration, decoded from what the operator wrote; `process` is
/// what it does.
///
/// Whatever a plugin keeps besides [`Plugin::State`] is lost whenever the host likes; the host may
/// drop an instance between any two calls.
pub trait Plugin: DeserializeOwned + 'static {
    /// What is remembered per key: an author's own type, or `()` for nothing. A state that equals
    /// its default is forgotten, so `*state = Default::default()` clears it. It stays decoded between
    /// calls where there is room; what serde skips of it is lost whenever there isn't.
    type State: Default + Clone + Serialize + DeserializeOwned;

    /// Version of the state's schema; raise it when older states no longer decode.
    const STATE_VERSION: u32 = 1;

    /// Whether it sets timers, which belong to keys as state does. A plugin without state that sets some
    /// says so: `const TIMERS: bool = true;`
    const TIMERS: bool = size_of::<Self::State>() > 0;

    /// Called once after the configuration was decoded: check ranges, work out what is derived
    /// (fields with `#[serde(skip)]`).
    ///
    /// # Errors
    /// What the operator should change, naming the field.
    fn prepare(&mut self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Decides about one message. Messages of one key come in order, each seeing what those before
    /// it did to `state`.
    ///
    /// # Errors
    /// Why the message failed: it is rejected or tried again, its emissions are dropped and `state`
    /// is what it was before.
    fn process(
        &self,
        message: &Message<'_>,
        state: &mut Self::State,
        ctx: &mut Context<'_>,
    ) -> Decision;

    /// Decides about a message without a key, where this plugin has state. Unless overridden it is
    /// rejected as `no_key`.
    ///
    /// # Errors
    /// As with [`Plugin::process`].
    fn process_keyless(&self, message: &Message<'_>, ctx: &mut Context<'_>) -> Decision {
        let _ = (message, ctx);
        Err(Failure::reject("no_key", "this plugin keeps state, and the message has no key"))
    }

    /// Decides about a timer that is due: one that this plugin set with
    /// [`Context::set_timer`] and didn't cancel. It is no longer set, may emit, change `state` and set
    /// timers again; it has no next stage, so that [`Verdict::next`](crate::Verdict::next) is the same as
    /// `done` here. Timers and messages of a key come in order. Unless overridden it is rejected as
    /// `no_timer_handler`.
    ///
    /// # Errors
    /// Why it failed: it is tried again, or reported and dropped; `state` is what it was before.
    fn on_timer(
        &self,
        timer: &Timer<'_>,
        state: &mut Self::State,
        ctx: &mut Context<'_>,
    ) -> Decision {
        let _ = (state, ctx);
        let text = format!("timer '{}' is due, and this plugin has no `on_timer`", timer.name());
        Err(Failure::reject("no_timer_handler", text))
    }

    /// Turns state of an older schema version into today's.
    ///
    /// # Errors
    /// Why it can't; the host then keeps the older plugin.
    fn migrate(version: u32, state: &[u8]) -> Result<Self::State, String> {
        let _ = state;
        Err(format!("can't read state of version {version}, only of {}", Self::STATE_VERSION))
    }
}

/// What is wrong with a plugin's configuration. Shown to the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// `field` should be as `text` says: `ConfigError::new("threshold", "must be above 0")`.
    #[must_use]
    pub fn new(field: &str, text: &str) -> Self {
        Self(format!("`{field}`: {text}"))
    }
}

/// Decodes and prepares a plugin from the operator's configuration, a MessagePack map.
pub(crate) fn configure<P: Plugin>(config: &[u8]) -> Result<P, ConfigError> {
    let empty_map = [0x80];
    let config = if config.is_empty() { &empty_map } else { config };
    // By way of JSON's values, whose errors say what was found and what was expected.
    let config: serde_json::Value = rmp_serde::from_slice(config)
        .map_err(|error| ConfigError(format!("not a MessagePack map: {error}")))?;
    let mut plugin: P = serde_path_to_error::deserialize(config).map_err(|error| {
        let field = error.path().to_string();
        match field.as_str() {
            "." => ConfigError(error.into_inner().to_string()),
            field => ConfigError::new(field, &error.inner().to_string()),
        }
    })?;
    plugin.prepare()?;
    Ok(plugin)
}

#[cfg(test)]
mod tests;
