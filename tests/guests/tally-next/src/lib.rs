//! The tally's next version: its state has another schema, and there are messages that it fails which the
//! first one doesn't.

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tally {}

#[derive(Deserialize)]
struct Order {
    id: u64,
    #[serde(default)]
    sent_us: u64,
    #[serde(default)]
    r#do: String,
}

#[derive(Serialize)]
struct Line {
    id: u64,
    n: u64,
    by: u32,
    sent_us: u64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Count {
    counted: u64,
    by: String,
}

impl Plugin for Tally {
    type State = Count;

    const STATE_VERSION: u32 = 2;

    fn process(&self, message: &Message, state: &mut Count, ctx: &mut Context) -> Decision {
        let Order { id, sent_us, r#do } = message.decode()?;
        match r#do.as_str() {
            "trap" => panic!("version 2 can't do this"),
            "reject" => return Err(Failure::reject("new", "version 2 won't do this")),
            _ => {}
        }
        state.counted += 1;
        state.by = "version 2".to_owned();
        ctx.emit("out").json(&Line { id, n: state.counted, by: 2, sent_us })?;
        Ok(Verdict::next())
    }

    fn migrate(version: u32, state: &[u8]) -> Result<Count, String> {
        if version != 1 {
            return Err(format!("version {version} is unknown"));
        }
        let counted: u64 = rmp_serde::from_slice(state).map_err(|error| error.to_string())?;
        Ok(Count { counted, by: "version 1".to_owned() })
    }
}

sluicegate_sdk::export!(Tally);
