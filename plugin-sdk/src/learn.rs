//! The SDK concept by concept. Each example is compiled, and run by `cargo test`.
//!
//! # A message
//!
//! [`Message`](crate::Message) is read in place: nothing is copied or decoded before it is asked for. Every
//! attempt sees the same message, as it was first published.
//!
//! ```
//! use sluicegate_sdk::{Failure, Message};
//!
//! fn site<'a>(message: &Message<'a>) -> Result<&'a str, Failure> {
//!     let _where: (&str, &str) = (message.exchange(), message.routing_key());
//!     let _kind: Option<&str> = message.kind(); // AMQP's property `type`
//!     message.text_header("site").ok_or_else(|| Failure::reject("no_site", "set the header `site`"))
//! }
//! ```
//!
//! # A body as your own type
//!
//! `decode` goes by the content type: JSON or MessagePack. What can't be decoded is rejected by the `?`, with
//! a code and a text that says where it went wrong.
//!
//! ```
//! use sluicegate_sdk::{DecodeError, Message};
//!
//! #[derive(serde::Deserialize)]
//! struct Reading<'a> {
//!     meter: &'a str, // borrowed from the body
//!     kwh: f64,
//! }
//!
//! fn energy(message: &Message) -> Result<f64, DecodeError> {
//!     Ok(message.decode::<Reading>()?.kwh)
//! }
//! ```
//!
//! # Keys and state
//!
//! The operator says what a message's key is. Messages of one key come in order, and each sees the
//! [`State`](crate::Plugin::State) that the one before left: a type of your own, `Default` at first, kept by
//! the host, never by the plugin. A state that equals its default is forgotten: that is how it is cleared.
//!
//! ```
//! use sluicegate_sdk::testing::{Input, Tester};
//! use sluicegate_sdk::{Context, Decision, Message, Plugin, Verdict};
//!
//! #[derive(serde::Deserialize)]
//! struct Sums {}
//!
//! #[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
//! struct Sum {
//!     total: u64,
//! }
//!
//! impl Plugin for Sums {
//!     type State = Sum;
//!
//!     fn process(&self, message: &Message, sum: &mut Sum, ctx: &mut Context) -> Decision {
//!         match message.kind() {
//!             Some("close") => {
//!                 ctx.emit("sums").json(&sum.total)?;
//!                 *sum = Sum::default(); // cleared: nothing is kept of this key
//!             }
//!             _ => sum.total += message.decode::<u64>()?,
//!         }
//!         Ok(Verdict::done())
//!     }
//! }
//!
//! let mut sums = Tester::<Sums>::new(&serde_json::json!({})).unwrap();
//! sums.run(Input::json(&2).key("a"));
//! sums.run(Input::json(&40).key("a"));
//! assert_eq!(sums.run(Input::new().kind("close").key("a")).emissions[0].json(), 42);
//! assert!(sums.state("a").is_none());
//! ```
//!
//! # Answers
//!
//! `Ok` says what becomes of the message: [`Verdict::next`](crate::Verdict::next) (on to the next stage),
//! [`next_with`](crate::Verdict::next_with) (changed), [`done`](crate::Verdict::done),
//! [`drop`](crate::Verdict::drop). `Err` says why it failed; a failing message leaves no trace: its emissions
//! are dropped, and state and timers are what they were.
//!
//! ```
//! use std::time::Duration;
//!
//! use sluicegate_sdk::{Change, Decision, Failure, Message, Verdict};
//!
//! fn judge(message: &Message, load: f64) -> Decision {
//!     match load {
//!         load if load.is_nan() => Err(Failure::reject("no_load", "the load is no number")),
//!         // Tried again, as the pipeline's `retry` says; the delay is a wish.
//!         load if load < 0.0 && message.attempt() < 3 => {
//!             Err(Failure::retry("not_yet", "no load yet").after(Duration::from_secs(30)))
//!         }
//!         load if load < 0.0 => Ok(Verdict::drop("never had a load")),
//!         load => Ok(Verdict::next_with(Change::new().header("load", load))),
//!     }
//! }
//! ```
//!
//! A code is one of a few short words, for metrics count by it; the text is for people.
//!
//! # Emissions and their ids
//!
//! A plugin emits to outputs that the operator names; none leaves before the last stage has succeeded. The
//! same message can be processed twice, so an id that others deduplicate by is derived from the message.
//!
//! ```
//! use sluicegate_sdk::{Context, EncodeError, Message};
//!
//! fn alert(message: &Message, score: f64, ctx: &mut Context) -> Result<(), EncodeError> {
//!     let id = message.derived_id(0); // the same at every attempt
//!     ctx.emit("alerts").routing_key("alert.load").message_id(&id).priority(5).json(&score)?;
//!     ctx.forward("copies", message); // with its headers and properties
//!     Ok(())
//! }
//! ```
//!
//! # Configuration
//!
//! The plugin's fields are what the operator writes as `config`; `prepare` checks what a type can't say and
//! works out what is derived. What is wrong is shown with the field's name, before any message comes.
//!
//! ```
//! use sluicegate_sdk::testing::Tester;
//! use sluicegate_sdk::{ConfigError, Context, Decision, Message, Plugin, Verdict};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)] // a misspelt key is an error, not ignored
//! struct Band {
//!     low: f64,
//!     high: f64,
//!     #[serde(skip)]
//!     middle: f64,
//! }
//!
//! impl Plugin for Band {
//!     type State = ();
//!
//!     fn prepare(&mut self) -> Result<(), ConfigError> {
//!         if self.low >= self.high {
//!             return Err(ConfigError::new("low", "must be below `high`"));
//!         }
//!         self.middle = f64::midpoint(self.low, self.high);
//!         Ok(())
//!     }
//!
//!     fn process(&self, _: &Message, (): &mut (), _: &mut Context) -> Decision {
//!         Ok(Verdict::next())
//!     }
//! }
//!
//! let refused = Tester::<Band>::new(&serde_json::json!({ "low": 2, "high": 1 })).err().unwrap();
//! assert_eq!(refused.to_string(), "`low`: must be below `high`");
//! ```
//!
//! # State whose type changes
//!
//! Raise [`STATE_VERSION`](crate::Plugin::STATE_VERSION) and turn the old state into the new one: the host
//! calls [`migrate`](crate::Plugin::migrate) for a key when it next needs it.
//!
//! ```
//! use sluicegate_sdk::{Context, Decision, Message, Plugin, Verdict, old_state};
//!
//! #[derive(serde::Deserialize)]
//! struct Counter {}
//!
//! impl Plugin for Counter {
//!     type State = (u64, u64); // it was a u64 in version 1
//!     const STATE_VERSION: u32 = 2;
//!
//!     fn process(&self, _: &Message, (seen, _): &mut (u64, u64), _: &mut Context) -> Decision {
//!         *seen += 1;
//!         Ok(Verdict::next())
//!     }
//!
//!     fn migrate(version: u32, state: &[u8]) -> Result<(u64, u64), String> {
//!         match version {
//!             1 => Ok((old_state(state)?, 0)),
//!             other => Err(format!("version {other} is none of mine")),
//!         }
//!     }
//! }
//! # let old = rmp_serde::to_vec(&7_u64).unwrap();
//! # assert_eq!(Counter::migrate(1, &old), Ok((7, 0)));
//! ```
//!
//! # Time
//!
//! There is one clock, the batch's: [`Message::now`](crate::Message::now). A plugin that is to act later sets
//! a timer: [`Timer`](crate::Timer) shows how. Reference data comes with the message:
//! [`Message::row`](crate::Message::row).
//!
//! # Tests
//!
//! [`testing`](crate::testing) drives a plugin in plain `cargo test`, through the same encoding as in the
//! host, with state, rows and a clock of its own. `sluicegate plugin test` runs a crate's `cases/` in the
//! sandbox itself.
