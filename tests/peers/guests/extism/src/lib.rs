//! The benchmark's logic as an Extism plugin.

use std::cell::RefCell;
use std::collections::HashMap;

use bench_logic::{Encoding, Reading, Refusal, Usual, told};
use extism_pdk::{Error, FnResult, config, plugin_fn, var};
use peer_contract::{Decision, Message, Told};

#[derive(Clone, Copy, PartialEq)]
enum Logic {
    Pass,
    Check(Encoding),
    Route,
    /// With what is usual in Extism's variables, which the host keeps.
    Anomaly,
    /// With what is usual in the plugin's memory, which is gone with its instance.
    Remembered,
}

thread_local! {
    static LOGIC: RefCell<Option<Logic>> = const { RefCell::new(None) };
    static USUAL: RefCell<HashMap<String, Usual>> = RefCell::new(HashMap::new());
}

/// Many messages a call.
#[plugin_fn]
pub fn batch(input: Vec<u8>) -> FnResult<Vec<u8>> {
    let logic = logic()?;
    let messages: Vec<Message<'_>> = rmp_serde::from_slice(&input)?;
    let mut decisions = Vec::with_capacity(messages.len());
    for message in &messages {
        decisions.push(decide(logic, message.key, message.body)?);
    }
    Ok(rmp_serde::to_vec(&decisions)?)
}

/// One message a call, its body alone, and nothing else of it.
#[plugin_fn]
pub fn one(body: Vec<u8>) -> FnResult<Vec<u8>> {
    Ok(rmp_serde::to_vec(&decide(logic()?, "", &body)?)?)
}

fn logic() -> Result<Logic, Error> {
    if let Some(logic) = LOGIC.with_borrow(|it| *it) {
        return Ok(logic);
    }
    let logic = match config::get("logic")?.unwrap_or_default().as_str() {
        "check-json" => Logic::Check(Encoding::Json),
        "check-message-pack" => Logic::Check(Encoding::MessagePack),
        "route" => Logic::Route,
        "anomaly" => Logic::Anomaly,
        "remembered" => Logic::Remembered,
        _ => Logic::Pass,
    };
    LOGIC.set(Some(logic));
    Ok(logic)
}

fn decide<'b>(logic: Logic, key: &str, body: &'b [u8]) -> Result<Decision<'b>, Error> {
    let encoding = match logic {
        Logic::Pass => return Ok(Decision { refused: None, told: None }),
        Logic::Check(encoding) => encoding,
        Logic::Route => Encoding::Json,
        Logic::Anomaly | Logic::Remembered => Encoding::MessagePack,
    };
    let reading = match Reading::check(body, encoding) {
        Ok(reading) => reading,
        Err(Refusal::Malformed) => return Ok(Decision { refused: Some("malformed"), told: None }),
        Err(Refusal::Range) => return Ok(Decision { refused: Some("range"), told: None }),
    };
    let key = if key.is_empty() { reading.meter } else { key };
    let score = match logic {
        Logic::Route => Some(0.0),
        Logic::Anomaly => {
            let known: Option<Vec<u8>> = var::get(key)?;
            let mut usual = known.and_then(|it| Usual::from_bytes(&it)).unwrap_or_default();
            let score = usual.judge(&reading);
            var::set(key, &usual.to_bytes()[..])?;
            score
        }
        Logic::Remembered => USUAL.with_borrow_mut(|all| match all.get_mut(key) {
            Some(usual) => usual.judge(&reading),
            None => all.entry(key.to_owned()).or_default().judge(&reading),
        }),
        Logic::Pass | Logic::Check(_) => None,
    };
    let told = score.map(|score| Told {
        output: "out",
        routing_key: reading.meter,
        body: told(&reading, score),
    });
    Ok(Decision { refused: None, told })
}
