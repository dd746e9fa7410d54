//! The benchmarks' plugin without state: hands on, checks, or tells.

use bench_logic::{Encoding, Reading, Refusal, told};
use serde::Deserialize;
use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};

#[derive(Deserialize)]
#[serde(tag = "logic", rename_all = "kebab-case")]
enum Plain {
    Pass,
    CheckJson,
    CheckMessagePack,
    Route,
}

impl Plugin for Plain {
    type State = ();

    fn process(&self, message: &Message<'_>, (): &mut (), ctx: &mut Context<'_>) -> Decision {
        let encoding = match self {
            Self::Pass => return Ok(Verdict::next()),
            Self::CheckJson | Self::Route => Encoding::Json,
            Self::CheckMessagePack => Encoding::MessagePack,
        };
        let reading = Reading::check(message.body(), encoding).map_err(|refusal| match refusal {
            Refusal::Malformed => Failure::reject("malformed", "no reading"),
            Refusal::Range => Failure::reject("range", "out of range"),
        })?;
        if matches!(self, Self::Route) {
            ctx.emit("out").routing_key(reading.meter).body("application/json", &told(&reading, 0.0));
        }
        Ok(Verdict::next())
    }
}

sluicegate_sdk::export!(Plain);
