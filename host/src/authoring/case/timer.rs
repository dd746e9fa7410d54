//! Timers in a case: due ones, and those that are set.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Expected, is_first};

/// A timer that is due, and what is expected of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DueTimer {
    /// The name that it was set under.
    pub name: String,
    /// Whose it is.
    pub key: String,
    /// Where time passes: how long after its beginning it comes, if that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How late it is: `5m`; usually not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
    /// Its attempt, from 1.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u32,
    /// As a message's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// As a message's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub row: Map<String, Value>,
    /// As a message's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub headers: Map<String, Value>,
    /// What is expected; left out, only that the call succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
}

/// A timer of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetTimer {
    /// Whose.
    pub key: String,
    /// Its name.
    pub name: String,
    /// How long after the call it is due; left out, it isn't set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

fn first() -> u32 {
    1
}
