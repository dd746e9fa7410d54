//! What sluicegate costs, beside what else one could run.
//!
//! | file | what |
//! |---|---|
//! | [`method`] | how contenders are compared: alternating, with a control, medians with spread |
//! | [`sample`] | the messages |
//! | [`report`] | tables and JSON |
//! | [`dispatch`] | calls of plugins, in process |
//! | [`reload`] | other versions of plugins |

pub mod dispatch;
pub mod method;
pub mod reload;
pub mod report;
pub mod sample;

/// The benchmarks' plugins, compiled.
pub mod guests {
    include!(concat!(env!("OUT_DIR"), "/guests.rs"));
}
