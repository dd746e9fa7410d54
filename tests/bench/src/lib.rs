//! What sluicegate costs, beside what else one could run.
//!
//! | file | what |
//! |---|---|
//! | [`method`] | how contenders are compared: alternating, with a control, medians with spread |
//! | [`sample`] | the messages |
//! | [`report`] | tables and JSON |
//! | [`dispatch`] | calls of plugins, in process |
//! | [`anomaly`] | the anomaly plugin: what it costs, what it finds |
//! | [`reload`] | other versions of plugins |
//! | [`amqp`] | a RabbitMQ, and consumers as processes of their own |
//! | [`end_to_end`] | whole processes on a RabbitMQ |
//! | [`latency`] | how long a message takes there |
//! | [`storms`] | what failures cost there |
//! | [`treadmill`] | a broker without a network |
//! | [`host`] | a whole host on it |
//! | [`counting`] | an allocator that counts |
//! | [`guard`] | what a message costs, counted, and compared with what is kept |
//! | [`start`] | from the command to the first message settled |

pub mod amqp;
pub mod anomaly;
pub mod counting;
pub mod dispatch;
pub mod end_to_end;
pub mod guard;
pub mod host;
pub mod latency;
pub mod method;
pub mod reload;
pub mod report;
pub mod sample;
pub mod start;
pub mod storms;
pub mod treadmill;

/// The benchmarks' plugins, compiled.
pub mod guests {
    include!(concat!(env!("OUT_DIR"), "/guests.rs"));
}
