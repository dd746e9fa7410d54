//! A stage that hands messages on byte for byte and, where it is told to, does what they say: what the
//! chaos tests load pipelines with. What it publishes follows from the message alone, so that a message
//! that runs twice says the same twice; its state is there to be rewound.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Courier {
    /// The output that it hands messages to.
    output: String,
    /// What it obeys; anything else goes on.
    obeys: Vec<String>,
}

/// What a message says.
#[derive(Deserialize)]
struct Parcel {
    r#do: String,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Handed {
    parcels: u64,
}

impl Plugin for Courier {
    type State = Handed;

    fn process(&self, message: &Message, state: &mut Handed, ctx: &mut Context) -> Decision {
        state.parcels += 1;
        let parcel: Parcel = message.decode()?;
        let told = self.obeys.iter().find(|word| **word == parcel.r#do).map(String::as_str);
        match told {
            Some("drop") => return Ok(Verdict::drop("as told")),
            Some("reject") => return Err(Failure::reject("told", "rejected as told")),
            Some("retry") => return Err(Failure::retry("told", "again as told")),
            Some("once") if message.attempt() < 2 => {
                return Err(
                    Failure::retry("early", "once more, as told").after(Duration::from_millis(1))
                );
            }
            Some("trap") => panic!("trapped as told"),
            _ => {}
        }
        ctx.forward(&self.output, message);
        if told == Some("done") { Ok(Verdict::done()) } else { Ok(Verdict::next()) }
    }
}

sluicegate_sdk::export!(Courier);
