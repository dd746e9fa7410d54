//! Counts the messages of each key and tells what it counted, and that it is version 1. It reads version 2's
//! state, so that the two can take turns. Its config must be empty.

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{Context, Decision, Message, Plugin, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tally {}

#[derive(Deserialize)]
struct Order {
    id: u64,
    #[serde(default)]
    sent_us: u64,
}

#[derive(Serialize)]
struct Line {
    id: u64,
    n: u64,
    by: u32,
    sent_us: u64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Next {
    counted: u64,
    by: String,
}

impl Plugin for Tally {
    type State = u64;

    fn process(&self, message: &Message, state: &mut u64, ctx: &mut Context) -> Decision {
        let Order { id, sent_us } = message.decode()?;
        *state += 1;
        ctx.emit("out").json(&Line { id, n: *state, by: 1, sent_us })?;
        Ok(Verdict::next())
    }

    fn migrate(version: u32, state: &[u8]) -> Result<u64, String> {
        if version != 2 {
            return Err(format!("version {version} is unknown"));
        }
        let next: Next = rmp_serde::from_slice(state).map_err(|error| error.to_string())?;
        Ok(next.counted)
    }
}

sluicegate_sdk::export!(Tally);
