//! Whole-system tests; see `all/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what went wrong by panicking"
)]

mod admin;
mod amqp;
mod config;
mod contract;
mod demo;
mod docs;
mod guests;
mod pipeline;
mod publish;
mod rabbit;
mod service;
mod tidy;
mod topology;
