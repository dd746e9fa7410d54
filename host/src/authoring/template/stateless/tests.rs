//! Native tests, through the same encoding as in the host: `cargo test`.

use serde_json::json;
use sluicegate_sdk::testing::{Input, Tester};

use super::PluginType;

#[test]
fn what_is_too_hot_is_told() {
    let mut plugin = Tester::<PluginType>::new(&json!({ "limit": 60 })).unwrap();
    let outcome = plugin.run(Input::json(&json!({ "sensor": "s-1", "celsius": 71.5 })));
    assert!(outcome.is_next());
    assert_eq!(outcome.emissions[0].routing_key, "hot.s-1");
}

#[test]
fn what_cannot_be_is_rejected() {
    let mut plugin = Tester::<PluginType>::new(&json!({ "limit": 60 })).unwrap();
    let outcome = plugin.run(Input::json(&json!({ "sensor": "s-1", "celsius": -300 })));
    assert_eq!(outcome.rejected(), Some("impossible"));
}
