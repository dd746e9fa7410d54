//! The host as a whole: the real binary as a child process, on a real RabbitMQ.
//!
//! Each test has objects of its own names, or a node of its own, and looks at both ends from outside:
//! plain lapin on the broker, HTTP and the control socket on the host.

mod alerts;
mod archive;
mod breaker;
mod broken;
mod brokers;
mod counting;
mod crashes;
mod detection;
mod disk;
mod edited;
mod exchanges;
mod hostile;
mod keeping;
mod ladder;
mod letters;
mod outage;
mod poison;
mod priorities;
pub(crate) mod process;
mod properties;
mod readings;
mod refusals;
mod reload;
mod replay;
mod retries;
mod scaling;
mod signals;
mod swaps;
mod totals;
mod traffic;
