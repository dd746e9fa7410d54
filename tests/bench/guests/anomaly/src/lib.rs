//! The benchmarks' plugin with state: what is usual for a meter.

use bench_logic::{Encoding, Reading, Usual, told};
use serde::Deserialize;
use sluicegate_sdk::{Bytes, Context, Decision, Encoded, Failure, Message, Plugin, Verdict};

#[derive(Deserialize)]
struct Anomaly {}

#[derive(Clone, Default)]
struct State(Usual);

impl Encoded for State {
    fn to_bytes(&self) -> impl AsRef<[u8]> {
        self.0.to_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Usual::from_bytes(bytes).map(Self)
    }
}

impl Plugin for Anomaly {
    type State = Bytes<State>;

    fn process(
        &self,
        message: &Message<'_>,
        state: &mut Self::State,
        ctx: &mut Context<'_>,
    ) -> Decision {
        let reading = Reading::check(message.body(), Encoding::MessagePack)
            .map_err(|_| Failure::reject("malformed", "no reading"))?;
        if let Some(score) = state.0.0.judge(&reading) {
            let told = told(&reading, score);
            ctx.emit("out").routing_key(reading.meter).body("application/json", &told);
        }
        Ok(Verdict::next())
    }
}

sluicegate_sdk::export!(Anomaly);
