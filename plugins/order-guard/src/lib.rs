//! Guards a queue of orders: test orders are dropped, orders without an id are rejected, big ones
//! are tagged for the stages behind it and for headers exchanges. The smallest useful plugin.

use serde::Deserialize;
use sluicegate_sdk::{Change, Context, Decision, Failure, Message, Plugin, Verdict};

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

    fn process(&self, message: &Message<'_>, _: &mut (), _: &mut Context<'_>) -> Decision {
        let order: Order = message.decode()?;
        match order.id {
            None => Err(Failure::reject("no_id", "an order needs an `id`")),
            Some(id) if id.starts_with("test-") => Ok(Verdict::drop("test order")),
            Some(_) if order.total < self.big => Ok(Verdict::next()),
            Some(_) => Ok(Verdict::next_with(Change::new().header("big", true))),
        }
    }
}

sluicegate_sdk::export!(OrderGuard);

#[cfg(test)]
mod tests;
