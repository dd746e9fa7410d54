//! Guards a queue of orders: test orders are dropped, orders without an id are rejected, all others
//! go on to the output `orders`, the big ones tagged for headers exchanges. The smallest useful plugin.

use serde::Deserialize;
use sluicegate_sdk::{Context, Decision, Failure, Message, Plugin, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderGuard {
    big: f64,
}

#[derive(Deserialize)]
struct Order {
    id: Option<String>,
    total: f64,
}

impl Plugin for OrderGuard {
    type State = ();

    fn process(&self, message: &Message<'_>, _: &mut (), ctx: &mut Context<'_>) -> Decision {
        let order: Order = message.decode()?;
        let id = order.id.ok_or_else(|| Failure::reject("no_id", "an order needs an `id`"))?;
        if id.starts_with("test-") {
            return Ok(Verdict::drop("test order"));
        }
        ctx.forward("orders", message).header("big", order.total >= self.big);
        Ok(Verdict::done())
    }
}

sluicegate_sdk::export!(OrderGuard);

#[cfg(test)]
mod tests;
