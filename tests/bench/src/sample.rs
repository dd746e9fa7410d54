//! The messages: readings of many meters, as long as they have to be.

use std::sync::Arc;

use bench_logic::{Encoding, Reading};
use bytes::Bytes;
use sluicegate::message::Properties;
use sluicegate::plugin::Input;

/// 2026-01-01.
const START_S: u32 = 1_767_225_600;
/// Seconds between two readings of a meter.
const INTERVAL_S: u32 = 900;

/// A message.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its key: the meter.
    pub key: Arc<str>,
    /// Its routing key.
    pub routing_key: String,
    /// Its properties.
    pub properties: Properties,
    /// Its body.
    pub body: Bytes,
}

impl Sample {
    /// As a plugin is handed it, at its first attempt, with its state in that slot.
    #[must_use]
    pub fn input(&self, slot: Option<u32>) -> Input<'_> {
        Input {
            exchange: "meters",
            routing_key: &self.routing_key,
            key: Some(&self.key),
            properties: &self.properties,
            body: &self.body,
            attempt: 1,
            seed: [7; 16],
            slot,
            row: None,
            due_us: None,
        }
    }
}

/// What messages are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// How many.
    pub messages: usize,
    /// Of how many meters, which take turns.
    pub keys: usize,
    /// How long a body is, in bytes, at the least.
    pub bytes: usize,
    /// How it is encoded.
    pub encoding: Encoding,
}

/// Makes them; the same ones each time.
///
/// # Errors
/// A reading that can't be encoded.
pub fn samples(wanted: Wanted) -> anyhow::Result<Vec<Sample>> {
    let mut random = fastrand::Rng::with_seed(7);
    let meters: Vec<String> = (0..wanted.keys).map(|n| format!("{n:x}")).collect();
    let mut samples = Vec::with_capacity(wanted.messages);
    for n in 0..wanted.messages {
        let meter = &meters[n % meters.len()];
        let turn = u32::try_from(n / meters.len()).unwrap_or(0);
        let mut note = String::new();
        let usual = 200 + 40 * (turn % 96);
        let wh = if random.u32(..1000) == 0 { usual * 30 } else { usual + random.u32(..60) };
        let at_s = START_S + turn * INTERVAL_S;
        let mut body = encode(wanted.encoding, &Reading { meter, at_s, wh, note: &note })?;
        if body.len() < wanted.bytes {
            note = "x".repeat(wanted.bytes - body.len());
            body = encode(wanted.encoding, &Reading { meter, at_s, wh, note: &note })?;
        }
        let content_type = match wanted.encoding {
            Encoding::Json => "application/json",
            Encoding::MessagePack => "application/msgpack",
        };
        samples.push(Sample {
            key: meter.as_str().into(),
            routing_key: format!("meter.{meter}.reading"),
            properties: Properties {
                content_type: Some(content_type.to_owned()),
                message_id: Some(format!("{meter}-{turn}")),
                ..Properties::default()
            },
            body: body.into(),
        });
    }
    Ok(samples)
}

fn encode(encoding: Encoding, reading: &Reading<'_>) -> anyhow::Result<Vec<u8>> {
    Ok(match encoding {
        Encoding::Json => serde_json::to_vec(reading)?,
        Encoding::MessagePack => rmp_serde::to_vec_named(reading)?,
    })
}
