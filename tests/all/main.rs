//! Whole-system tests; see `all/`.
//!
//! Most call the library. What only a process can show (signals, exit codes, a kill, what is printed) is
//! in `service`, which runs the host's own `main`: this package builds it as a binary of its own, so that
//! cargo makes it with the tests and tells them where it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what went wrong by panicking"
)]

mod admin;
mod amqp;
mod authors;
mod chaos;
mod config;
mod contract;
mod demo;
mod docs;
mod guests;
mod meters;
mod mosquitto;
mod mqtt;
mod pipeline;
mod planted;
mod publish;
mod rabbit;
mod sandbox;
mod service;
mod tidy;
mod topology;
