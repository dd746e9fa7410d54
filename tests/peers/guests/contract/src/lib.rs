//! What the Extism plugin is handed and answers, for its host and itself.
//!
//! Extism moves bytes; what they mean is everybody's own. MessagePack as arrays, with bodies that are borrowed
//! from it, is the leanest of what its own conversions offer.

use serde::{Deserialize, Serialize};

/// A message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message<'m> {
    /// Its exchange.
    pub exchange: &'m str,
    /// Its routing key.
    pub routing_key: &'m str,
    /// Its key: the meter.
    pub key: &'m str,
    /// Its body.
    #[serde(with = "serde_bytes")]
    pub body: &'m [u8],
}

/// What becomes of a message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Decision<'d> {
    /// Why it is refused, if it is.
    pub refused: Option<&'d str>,
    /// What is told of it.
    pub told: Option<Told<'d>>,
}

/// Something told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told<'d> {
    /// Where to.
    pub output: &'d str,
    /// With which routing key.
    pub routing_key: &'d str,
    /// Its body.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}
