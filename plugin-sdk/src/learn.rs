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
//! # State as bytes
//!
//! State is encoded field by field, as MessagePack. Where that costs too much a type says itself how it becomes
//! bytes: [`Encoded`](crate::Encoded), inside of [`Bytes`](crate::Bytes).
//!
//! ```
//! use sluicegate_sdk::{Bytes, Encoded};
//!
//! #[derive(Clone, Copy, Debug, Default, PartialEq)]
//! struct Last(f64, f64);
//!
//! impl Encoded for Last {
//!     fn to_bytes(&self) -> impl AsRef<[u8]> {
//!         [self.0, self.1].map(f64::to_le_bytes).concat()
//!     }
//!
//!     fn from_bytes(bytes: &[u8]) -> Option<Self> {
//!         let (numbers, []) = bytes.as_chunks() else { return None };
//!         let [first, second] = numbers else { return None };
//!         Some(Self(f64::from_le_bytes(*first), f64::from_le_bytes(*second)))
//!     }
//! }
//!
//! let state: Bytes<Last> = Bytes(Last(1.0, 2.0)); // a plugin's `State`
//! assert_eq!(state.1, 2.0); // used as what is inside of it
//! assert_eq!(Last::from_bytes(state.to_bytes().as_ref()), Some(*state));
//! ```
//!
//! # Time
//!
//! There is one clock, the batch's: [`Message::now`](crate::Message::now). A plugin that is to act later sets
//! a timer, which belongs to the message's key as state does. It is kept with the state, so it outlives
//! restarts; what fell due while the host was down comes late, and [`Timer::late`](crate::Timer::late) says so.
//!
//! ```
//! use std::time::Duration;
//!
//! use sluicegate_sdk::testing::{Input, Tester};
//! use sluicegate_sdk::{Context, Decision, Message, Plugin, Timer, Verdict};
//!
//! #[derive(serde::Deserialize)]
//! struct Remind {}
//!
//! impl Plugin for Remind {
//!     type State = u32; // how often this key was reminded
//!
//!     fn process(&self, message: &Message, _: &mut u32, ctx: &mut Context) -> Decision {
//!         match message.kind() {
//!             Some("paid") => ctx.cancel_timer("remind"),
//!             _ => ctx.set_timer("remind", Duration::from_secs(3600)),
//!         }
//!         Ok(Verdict::done())
//!     }
//!
//!     fn on_timer(&self, timer: &Timer, reminded: &mut u32, ctx: &mut Context) -> Decision {
//!         *reminded += 1;
//!         ctx.emit("reminders").json(&(timer.key(), *reminded))?;
//!         if *reminded < 3 {
//!             ctx.set_timer("remind", Duration::from_secs(3600));
//!         }
//!         Ok(Verdict::done())
//!     }
//! }
//!
//! let mut remind = Tester::<Remind>::new(&serde_json::json!({})).unwrap();
//! remind.run_batch(&[Input::new().key("a"), Input::new().key("b")]);
//! remind.run(Input::new().key("a").kind("paid"));
//! let reminded = remind.pass(Duration::from_secs(10 * 3600)); // the test's clock goes on
//! assert_eq!(reminded.len(), 3);
//! assert_eq!(reminded[2].emissions[0].json(), serde_json::json!(["b", 3]));
//! ```
//!
//! # Windows
//!
//! What happened in each quarter of an hour, by the time that the messages say, and not by when they came:
//! [`Tumbling`](crate::Tumbling) finds a message's window and its aggregate, and a timer hands each window over once it
//! has closed. Messages out of order are no matter up to the lateness; what is later is `late`.
//!
//! ```
//! use std::time::Duration;
//!
//! use sluicegate_sdk::testing::{Input, Tester};
//! use sluicegate_sdk::{Context, Decision, Message, Outside, Plugin, Timer, Tumbling, Verdict, Windows};
//!
//! const QUARTERS: Tumbling =
//!     Tumbling::of(Duration::from_secs(900)).lateness(Duration::from_secs(120));
//!
//! #[derive(serde::Deserialize)]
//! struct Loads {}
//!
//! impl Plugin for Loads {
//!     type State = Windows<f64>; // the highest load of each quarter
//!
//!     fn process(&self, message: &Message, loads: &mut Windows<f64>, ctx: &mut Context) -> Decision {
//!         let (at_s, load): (u64, f64) = message.decode()?;
//!         match QUARTERS.open(loads, Duration::from_secs(at_s), ctx) {
//!             Ok(highest) => *highest = highest.max(load),
//!             Err(Outside::Late) => drop(ctx.emit("late")), // yours to say; `?` would reject it
//!             Err(ahead) => return Err(ahead.into()),
//!         }
//!         Ok(Verdict::done())
//!     }
//!
//!     fn on_timer(&self, timer: &Timer, loads: &mut Windows<f64>, ctx: &mut Context) -> Decision {
//!         for (quarter, highest) in QUARTERS.close(loads, timer, ctx) {
//!             ctx.emit("quarters").json(&(quarter.start.as_secs(), highest))?;
//!         }
//!         Ok(Verdict::done())
//!     }
//! }
//!
//! let mut loads = Tester::<Loads>::new(&serde_json::json!({})).unwrap();
//! let noon = loads.now().as_secs();
//! let load = |after_s: u64, load: f64| Input::json(&(noon + after_s, load)).key("meter-7");
//! loads = loads.at(Duration::from_secs(noon + 905));
//! loads.run_batch(&[load(10, 3.0), load(901, 5.0), load(20, 4.0)]); // out of order
//! assert!(loads.pass(Duration::from_secs(60)).is_empty());
//! let closed = loads.pass(Duration::from_secs(60)); // the lateness has passed
//! assert_eq!(closed[0].emissions[0].json(), serde_json::json!([noon, 4.0]));
//! assert_eq!(loads.run(load(30, 9.0)).emissions[0].output, "late");
//! ```
//!
//! # Absence
//!
//! A key of which nothing comes any more: [`Absence`](crate::Absence) tells when that begins and when it ends, once
//! each, and doesn't take a host that was down for a thousand devices that are.
//!
//! ```
//! use std::time::Duration;
//!
//! use sluicegate_sdk::testing::{Input, Tester};
//! use sluicegate_sdk::{Absence, Context, Decision, Message, Plugin, Presence, Timer, Verdict};
//!
//! const ABSENCE: Absence = Absence::after(Duration::from_secs(900));
//!
//! #[derive(serde::Deserialize)]
//! struct Watch {}
//!
//! impl Plugin for Watch {
//!     type State = Presence;
//!
//!     fn process(&self, message: &Message, key: &mut Presence, ctx: &mut Context) -> Decision {
//!         if let Some(silence) = ABSENCE.heard(key, message.now(), ctx) {
//!             ctx.emit("back").json(&(message.now() - silence.since).as_secs())?;
//!         }
//!         Ok(Verdict::next())
//!     }
//!
//!     fn on_timer(&self, timer: &Timer, key: &mut Presence, ctx: &mut Context) -> Decision {
//!         if ABSENCE.silent(key, timer, ctx).is_some() {
//!             ctx.emit("silent").json(&timer.key())?;
//!         }
//!         Ok(Verdict::done())
//!     }
//! }
//!
//! let mut watch = Tester::<Watch>::new(&serde_json::json!({})).unwrap();
//! watch.run(Input::new().key("meter-7"));
//! let told = watch.pass(Duration::from_secs(1000));
//! assert_eq!((told.len(), told[0].emissions[0].json()), (1, "meter-7".into()));
//! assert_eq!(watch.run(Input::new().key("meter-7")).emissions[0].json(), 1000);
//! ```
//!
//! # Tables
//!
//! Reference data, such as a meter's rated power, comes with the message: the operator names files, and each message has
//! its key's row of each. A column of a CSV file is text.
//!
//! ```
//! use sluicegate_sdk::testing::{Input, Tester};
//! use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};
//!
//! #[derive(serde::Deserialize)]
//! struct Meter<'a> {
//!     site: &'a str,
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct BySite {}
//!
//! impl Plugin for BySite {
//!     type State = ();
//!
//!     fn process(&self, message: &Message, (): &mut (), ctx: &mut Context) -> Decision {
//!         let meter: Option<Meter> = message.row("meters")?;
//!         let meter = meter.ok_or_else(|| Failure::reject("unknown_meter", "in no row of `meters`"))?;
//!         ctx.forward("sites", message).routing_key(meter.site);
//!         Ok(Verdict::done())
//!     }
//! }
//!
//! let row = serde_json::json!({ "site": "north" });
//! let by_site = Tester::<BySite>::new(&serde_json::json!({})).unwrap();
//! let mut by_site = by_site.row("meters", "7", &row);
//! assert_eq!(by_site.run(Input::new().key("7")).emissions[0].routing_key, "north");
//! assert_eq!(by_site.run(Input::new().key("8")).rejected(), Some("unknown_meter"));
//! ```
//!
//! # Tests
//!
//! [`testing`](crate::testing) drives a plugin in plain `cargo test`, through the same encoding as in the
//! host, with state, rows and a clock of its own. `sluicegate plugin test` runs a crate's `cases/` in the
//! sandbox itself.
