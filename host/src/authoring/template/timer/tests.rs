//! Native tests, through the same encoding as in the host: `cargo test`.

use std::time::Duration;

use serde_json::json;
use sluicegate_sdk::testing::{Input, Tester};

use super::PluginType;

#[test]
fn silence_is_told_once_and_a_message_breaks_it() {
    let mut plugin = Tester::<PluginType>::new(&json!({ "silent_s": 60 })).unwrap();
    plugin.run(Input::new().key("s-1"));
    assert!(plugin.pass(Duration::from_secs(59)).is_empty());
    plugin.run(Input::new().key("s-1"));
    assert!(plugin.pass(Duration::from_secs(59)).is_empty());
    let told = plugin.pass(Duration::from_secs(1));
    assert_eq!(told[0].emissions[0].json(), json!({ "silent": "s-1" }));
    assert!(plugin.pass(Duration::from_secs(600)).is_empty());
}
