#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use sluicegate_sdk::testing::{Input, Outcome, Tester};

use super::OrderGuard;

fn run(order: &Value) -> Outcome {
    Tester::<OrderGuard>::new(&json!({ "big": 1000 })).unwrap().run(Input::json(order))
}

#[test]
fn an_order_goes_on_with_all_its_producer_set_and_a_tag() {
    for (total, big) in [(12.5, false), (1000.0, true)] {
        let order = json!({ "id": "o-1", "total": total });
        let input = Input::json(&order).header("shop", "north").kind("order");
        let outcome = Tester::<OrderGuard>::new(&json!({ "big": 1000 })).unwrap().run(input);
        assert!(outcome.is_done());
        let [forwarded] = &outcome.emissions[..] else { unreachable!("one emission") };
        assert_eq!(forwarded.header("big").and_then(|big| big.as_bool()), Some(big));
        assert_eq!(forwarded.text_header("shop"), Some("north"));
        assert_eq!(forwarded.kind(), Some("order"));
    }
}

#[test]
fn a_test_order_is_dropped_and_one_without_id_rejected() {
    assert_eq!(run(&json!({ "id": "test-1", "total": 1 })).dropped(), Some("test order"));
    assert_eq!(run(&json!({ "total": 1 })).rejected(), Some("no_id"));
}

#[test]
fn an_operator_is_told_which_field_is_wrong() {
    let refused = |config| Tester::<OrderGuard>::new(&config).err().unwrap().to_string();
    assert_eq!(refused(json!({})), "missing field `big`");
    assert!(refused(json!({ "big": "yes" })).starts_with("`big`: invalid type: string"));
    assert!(refused(json!({ "big": 1, "bug": 1 })).contains("unknown field `bug`"));
}
