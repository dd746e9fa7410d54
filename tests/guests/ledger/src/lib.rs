//! A well-behaved plugin that counts the messages of each key, tells what it counted, and then does
//! what the message says: what the tests of the pipeline measure promises with.

use std::hint::black_box;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sluicegate_sdk::{Change, Context, Decision, Failure, Message, Plugin, Verdict};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ledger {
    /// What messages call this stage.
    name: String,
    /// The output that it tells its counts on.
    output: String,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { name: String::new(), output: "out".to_owned() }
    }
}

/// What a message asks for. It is done at the stage named `at`; the others count and pass on.
#[derive(Deserialize)]
struct Order {
    id: u64,
    #[serde(default)]
    r#do: String,
    #[serde(default)]
    at: String,
}

/// What is told of a message.
#[derive(Serialize)]
struct Line<'a> {
    id: u64,
    n: u64,
    stage: &'a str,
    attempt: u32,
    deaths: Vec<String>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Account {
    n: u64,
}

impl Plugin for Ledger {
    type State = Account;

    fn process(&self, message: &Message, state: &mut Account, ctx: &mut Context) -> Decision {
        state.n += 1;
        self.obey(message, state.n, ctx)
    }

    fn process_keyless(&self, message: &Message, ctx: &mut Context) -> Decision {
        self.obey(message, 0, ctx)
    }
}

impl Ledger {
    fn obey(&self, message: &Message, n: u64, ctx: &mut Context) -> Decision {
        let order: Order = message.decode()?;
        let deaths = message.deaths().map(|death| death.reason.to_owned()).collect();
        let line = Line { id: order.id, n, stage: &self.name, attempt: message.attempt(), deaths };
        ctx.emit(&self.output).json(&line)?;
        if order.at != self.name {
            return Ok(Verdict::next());
        }
        let (word, argument) = order.r#do.split_once(':').unwrap_or((&order.r#do, ""));
        let number: u32 = argument.parse().unwrap_or(0);
        match word {
            "done" => return Ok(Verdict::done()),
            "drop" => return Ok(Verdict::drop("as told")),
            "reject" => return Err(Failure::reject("told", "rejected as told")),
            "retry" => return Err(Failure::retry("told", "again as told")),
            "retry_until" if message.attempt() < number => {
                return Err(
                    Failure::retry("early", "too early, as told").after(Duration::from_millis(1))
                );
            }
            "trap" => panic!("trapped as told"),
            "loop" => loop {
                black_box(());
            },
            "emit" => {
                for _ in 1..number {
                    ctx.emit(&self.output).json(&line)?;
                }
            }
            "unknown_output" => drop(ctx.emit("nowhere")),
            "unroutable" => drop(ctx.emit("void").json(&line)?),
            "change" => {
                let change = Change::new().header("changed-by", self.name.as_str());
                return Ok(Verdict::next_with(change));
            }
            _ => {}
        }
        Ok(Verdict::next())
    }
}

sluicegate_sdk::export!(Ledger);
