//! Write plugins for sluicegate, the stream processing host for RabbitMQ.
//!
//! A plugin is a pure function: from a message, with the state of its key, to a decision. It has no
//! I/O, no clock of its own, no randomness; that is why the host can run it again, replay it,
//! replace it while it runs. A whole plugin:
//!
//! ```
//! use sluicegate_sdk::{Context, Decision, Message, Plugin, Verdict};
//!
//! #[derive(serde::Deserialize)]
//! struct Hello {
//!     greeting: String, // from the operator's config
//! }
//!
//! impl Plugin for Hello {
//!     type State = (); // nothing is remembered
//!
//!     fn process(&self, message: &Message, _: &mut (), ctx: &mut Context) -> Decision {
//!         ctx.emit("greetings").header("hello", &self.greeting).routing_key(message.exchange());
//!         Ok(Verdict::next())
//!     }
//! }
//!
//! sluicegate_sdk::export!(Hello);
//! ```
//!
//! `sluicegate plugin new NAME` makes a crate around it, `sluicegate plugin build` a component of that.
//!
//! | want | see |
//! |---|---|
//! | headers, properties, body, key | [`Message`], [`Value`] |
//! | a body as your own type | [`Message::decode`] |
//! | pass on, finish, drop | [`Verdict`] |
//! | pass on changed | [`Change`] |
//! | dead-letter, try again later | [`Failure`] |
//! | publish something | [`Context::emit`], [`Emission`] |
//! | remember something per key | [`Plugin::State`] |
//! | be called later: reminders, timeouts, silence | [`Context::set_timer`], [`Plugin::on_timer`], [`Timer`] |
//! | what happened in each hour | [`Tumbling`], [`Windows`] |
//! | who fell silent | [`Absence`], [`Presence`] |
//! | state as bytes of your own making | [`Bytes`], [`Encoded`] |
//! | reference data of a key | [`Message::row`] |
//! | a hash map in state or elsewhere | [`Map`] |
//! | test it with plain `cargo test` | [`testing`] |
//!
//! [`learn`] goes through all of it, one example each.
//!
//! The guide for authors is `docs/plugins.md`; the crates in `plugins/` are examples.

mod absence;
mod bytes;
mod context;
mod death;
mod decode;
mod downtime;
mod emission;
mod kept;
mod layout;
mod message;
mod plugin;
mod properties;
mod run;
mod table;
mod timer;
mod value;
mod verdict;
mod window;

#[cfg(any(doc, doctest))]
pub mod learn;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod abi;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

pub use absence::{Absence, Presence, Silence};
pub use bytes::{Bytes, Encoded};
pub use context::{Context, Level};
pub use death::Death;
pub use decode::{DecodeError, EncodeError, old_state};
pub use emission::Emission;
pub use message::Message;
pub use plugin::{ConfigError, Plugin};
pub use table::{List, Table};
pub use timer::Timer;
pub use value::{Array, Fields, Value};
pub use verdict::{Change, Decision, Failure, Verdict};
pub use window::{Outside, Tumbling, Window, Windows};

/// A hash map whose order depends on its history alone: std's own starts from a random seed, and a
/// plugin has no randomness.
pub type Map<K, V> = HashMap<K, V, FixedHash>;

/// The hasher of [`Map`].
pub type FixedHash = BuildHasherDefault<DefaultHasher>;

/// The guide's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/plugins.md")]
struct Guide;

/// So does that of the page about timers.
#[cfg(doctest)]
#[doc = include_str!("../../docs/timers.md")]
struct TimersGuide;

/// Makes a type that implements [`Plugin`] the plugin of this crate. Once per crate.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;
            impl $crate::abi::Component for Component {
                type Plugin = $plugin;
                const NAME: &'static str = env!("CARGO_PKG_NAME");
                const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            }
    $crate::abi::export_component!(Component with_types_in $crate::abi);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::testing::is_plugin::<$plugin>();
    };
}
