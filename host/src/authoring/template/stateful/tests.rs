//! Native tests, through the same encoding as in the host: `cargo test`.

use serde_json::json;
use sluicegate_sdk::testing::{Input, Tester};

use super::PluginType;

fn plugin() -> Tester<PluginType> {
    Tester::new(&json!({ "limit": 60, "readings": 2 })).unwrap()
}

fn reading(celsius: f64) -> Input {
    Input::json(&json!({ "sensor": "s-1", "celsius": celsius })).key("s-1")
}

#[test]
fn the_second_hot_reading_in_a_row_is_told() {
    let mut plugin = plugin();
    assert!(plugin.run(reading(71.5)).emissions.is_empty());
    assert_eq!(plugin.run(reading(72.0)).emissions[0].routing_key, "hot.s-1");
}

#[test]
fn a_cool_reading_starts_the_row_anew() {
    let mut plugin = plugin();
    plugin.run(reading(71.5));
    plugin.run(reading(20.0));
    assert!(plugin.run(reading(71.5)).emissions.is_empty());
}
