//! sluicegate: a stream processing host for RabbitMQ that runs sandboxed WebAssembly plugins.
//!
//! The command `sluicegate` is [`cli`] and little else; this library is for it and for tests.
//! [`service::Service::start`] is where a config becomes a running host, and `ARCHITECTURE.md` tells a
//! message's way through it.
//!
//! The rooms, floor by floor from the ground up; a room uses only those on the floors below it.
//!
//! | rooms | what happens there |
//! |---|---|
//! | [`message`], [`limits`], [`clock`], [`digest`], [`maps`], [`fault`] | plain words that everyone speaks; every bound and default; what time it is; SHA-256 and hexadecimal; maps that hash fast; where a test may have the process die |
//! | [`verdict`], [`route`], [`topic`], [`state`] | what plugins decide; topic and header matching; MQTT's topics beside routing keys; state by key |
//! | [`report`] | what is told of a message that failed |
//! | [`notice`] | what people may have to be told of |
//! | [`config`], [`telemetry`] | text → what the operator means; metrics and log events |
//! | [`broker`], [`plugin`], [`builtin`], [`reference`] | RabbitMQ and the embedded broker behind one trait; components compiled, sandboxed, called; those that this binary carries; tables of reference data |
//! | [`topology`], [`authoring`] | what a config needs on its brokers; test cases of plugins, the SDK that this binary carries |
//! | [`pipeline`] | a queue's life: intake, shard, judge, publish, settle |
//! | [`alert`], [`deadletter`], [`recorder`], [`reload`] | who is told of failures and conditions; dead letters explained, replayed, exported, archived; calls kept as capsules, a live look at them; files followed, plugins swapped |
//! | [`admin`] | HTTP, metrics, control socket |
//! | [`service`] | the only wiring |
//! | [`publish`], [`simulate`] | files to an exchange; a simulated fleet for the demo |
//! | [`cli`] | one verb a file |
//!
//! [`reference`]: mod@reference

pub mod admin;
pub mod alert;
pub mod authoring;
pub mod broker;
pub mod builtin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deadletter;
pub mod digest;
pub mod fault;
pub mod limits;
pub mod maps;
pub mod message;
pub mod notice;
pub mod pipeline;
pub mod plugin;
pub mod publish;
pub mod recorder;
pub mod reference;
pub mod reload;
pub mod report;
pub mod route;
pub mod service;
pub mod simulate;
pub mod state;
pub mod telemetry;
pub mod topic;
pub mod topology;
pub mod verdict;
