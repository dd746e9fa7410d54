//! A well-behaved plugin that counts the messages of each key and has itself woken when they say: what it tells
//! then is how late that was.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{Context, Decision, Message, Plugin, Timer, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waker {}

#[derive(Deserialize)]
struct Order {
    /// When, microseconds since 1970.
    due_us: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    due_us: u128,
    late_us: u128,
    /// Messages of the key so far.
    counted: u64,
}

impl Plugin for Waker {
    type State = u64;

    fn process(&self, message: &Message, counted: &mut u64, ctx: &mut Context) -> Decision {
        let Order { due_us } = message.decode()?;
        *counted += 1;
        ctx.set_timer_at("wake", Duration::from_micros(due_us));
        Ok(Verdict::done())
    }

    fn on_timer(&self, timer: &Timer, counted: &mut u64, ctx: &mut Context) -> Decision {
        let (due_us, late_us) = (timer.due().as_micros(), timer.late().as_micros());
        let key = timer.key();
        ctx.emit("out").json(&Line { key, due_us, late_us, counted: *counted })?;
        Ok(Verdict::done())
    }
}

sluicegate_sdk::export!(Waker);
