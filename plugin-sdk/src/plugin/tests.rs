#![allow(clippy::unwrap_used, reason = "tests")]

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::Verdict;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(default)]
    per_region: std::collections::BTreeMap<String, u32>,
    max: f64,
}

impl Plugin for Limits {
    type State = ();

    fn prepare(&mut self) -> Result<(), ConfigError> {
        if self.max > 0.0 && self.per_region.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::new("max", "must be above 0"))
        }
    }

    fn process(&self, _: &Message<'_>, (): &mut (), _: &mut Context<'_>) -> Decision {
        Ok(Verdict::next())
    }
}

fn refused(config: &Value) -> String {
    configure::<Limits>(&rmp_serde::to_vec(config).unwrap()).unwrap_err().to_string()
}

#[test]
fn an_integer_does_for_a_number_with_a_point() {
    let config = rmp_serde::to_vec(&json!({ "max": 3 })).unwrap();
    assert_eq!(configure::<Limits>(&config).unwrap().max, 3.0);
}

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    assert_eq!(refused(&json!({})), "missing field `max`");
    assert_eq!(refused(&json!({ "max": "x" })), "`max`: invalid type: string \"x\", expected f64");
    let nested = refused(&json!({ "max": 1, "per_region": { "north": -1 } }));
    assert!(nested.starts_with("`per_region.north`: invalid value: integer `-1`"), "{nested}");
    assert!(refused(&json!({ "max": 1, "mix": 2 })).contains("unknown field `mix`"));
    assert_eq!(refused(&json!({ "max": 0 })), "`max`: must be above 0");
    assert_eq!(configure::<Limits>(&[]).unwrap_err().to_string(), "missing field `max`");
    let broken = configure::<Limits>(&[0xc1]).unwrap_err().to_string();
    assert!(broken.starts_with("not a MessagePack map"), "{broken}");
}

#[test]
fn state_of_another_version_is_refused_unless_migrated() {
    let refused = Limits::migrate(7, &[]).unwrap_err();
    assert_eq!(refused, "can't read state of version 7, only of 1");
}
