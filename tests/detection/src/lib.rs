//! What the anomaly plugin's statistics find: on the Numenta Anomaly Benchmark, and in a synthetic fleet.

pub mod fleet;
pub mod held_out;
pub mod knobs;
pub mod nab;
pub mod planted;
pub mod series;
pub mod tune;
