//! A call of a plugin as a thing of its own: what went in, what came out, and all that it takes to do
//! it again elsewhere.
//!
//! A plugin is a pure function, so a [`Capsule`] is the whole story: run it in the same version with the
//! same limits, and the outcome is the same to the bit. [`Capsule::encode`] writes a file (a magic, a
//! version, MessagePack with named fields, so that a later field is absent in an older file);
//! [`Capsule::decode`] reads it as hostile input.

mod batch;
mod diff;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::batch::{OwnedBatch, OwnedInput, OwnedState};
pub use self::diff::{Difference, diff, diff_outcomes, unpacked};

use super::{CallError, Decisions, Plugin};
use crate::config::PluginLimits;
use crate::limits::{CAPSULE_BYTES, CAPSULE_DEPTH};
use crate::message::blob;

/// What a capsule's file starts with; its last two bytes are the format's version, little-endian.
const MAGIC: [u8; 6] = *b"SGCAP\0";

/// The version that this host writes; it reads it and all before it.
pub const FORMAT: u16 = 1;

/// One call, recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capsule {
    /// The format's version.
    pub format: u16,
    /// Where, when, by whom, under what.
    pub meta: Meta,
    /// What the plugin was handed.
    pub batch: OwnedBatch,
    /// What came of it.
    pub outcome: Outcome,
}

/// All of a call that isn't its batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The pipeline.
    pub pipeline: String,
    /// Which of its stages, from 0.
    pub stage: usize,
    /// The plugin's name in the config.
    pub plugin: String,
    /// What it calls itself.
    pub plugin_name: String,
    /// Its version.
    pub plugin_version: String,
    /// The SDK it was built with.
    pub sdk: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// The version of its state's schema.
    pub state_version: Option<u32>,
    /// The host's version.
    pub host_version: String,
    /// The contract's version.
    pub wit: String,
    /// What the plugin might use.
    pub limits: PluginLimits,
    /// What it was configured with: a MessagePack map. It may hold secrets.
    #[serde(with = "blob")]
    pub config: Bytes,
    /// Digests of the tables that rows came from, by name.
    pub tables: BTreeMap<String, String>,
    /// Microseconds since 1970.
    pub recorded_at_us: u64,
    /// What it was recorded for.
    pub why: Why,
    /// Which of the batch's messages it was recorded for, where it was one.
    pub message: Option<usize>,
    /// What was taken out of it.
    pub redacted: Redacted,
}

/// What a call was recorded for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It failed, or a message did.
    Failure,
    /// By chance.
    Sample,
    /// Somebody asked for it.
    #[default]
    Asked,
}

/// What was taken out of a capsule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Redacted {
    /// Nothing: it can be replayed to the bit.
    #[default]
    No,
    /// Bodies, state and rows have their shape, but not their values.
    Masked,
    /// There are no bodies, state and rows.
    Removed,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It answered.
    Decided(Decisions),
    /// It failed as a whole.
    Failed(CallError),
}

/// Why bytes are no capsule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotACapsule(String);

// === impl Capsule ===

impl Capsule {
    /// Its file's bytes.
    ///
    /// # Errors
    /// Where it can't be written, or would be larger than what can be read.
    pub fn encode(&self) -> Result<Vec<u8>, NotACapsule> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        rmp_serde::encode::write_named(&mut bytes, self)
            .map_err(|error| NotACapsule(format!("the call can't be written: {error}")))?;
        if bytes.len() > CAPSULE_BYTES {
            return Err(too_large(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads a file's bytes, whoever wrote them.
    ///
    /// # Errors
    /// Where they are no capsule, or one of a newer host.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotACapsule> {
        if bytes.len() > CAPSULE_BYTES {
            return Err(too_large(bytes.len()));
        }
        let Some((version, packed)) =
            bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_first_chunk::<2>())
        else {
            return Err(NotACapsule(
                "this is no capsule; hosts write them to state_dir/capsules".to_owned(),
            ));
        };
        let version = u16::from_le_bytes(*version);
        if version == 0 || version > FORMAT {
            return Err(NotACapsule(format!(
                "the capsule has format {version} where this sluicegate reads up to {FORMAT}; \
                 replay it with the version that wrote it"
            )));
        }
        let mut reader = rmp_serde::Deserializer::from_read_ref(packed);
        reader.set_max_depth(CAPSULE_DEPTH);
        let capsule = Self::deserialize(&mut reader)
            .map_err(|error| NotACapsule(format!("the capsule is damaged or cut off: {error}")))?;
        capsule.batch.check().map_err(NotACapsule)?;
        Ok(capsule)
    }
}

fn too_large(bytes: usize) -> NotACapsule {
    NotACapsule(format!("a capsule has {CAPSULE_BYTES} bytes at most; this one has {bytes}"))
}

// === impl Meta ===

impl Meta {
    /// What a version of a plugin says of itself, and what it runs under.
    #[must_use]
    pub fn of(plugin: &Plugin) -> Self {
        let description = plugin.description();
        Self {
            plugin: plugin.name().to_owned(),
            plugin_name: description.name.clone(),
            plugin_version: description.version.clone(),
            sdk: description.sdk.clone(),
            digest: plugin.digest().to_owned(),
            state_version: description.state_version,
            host_version: env!("CARGO_PKG_VERSION").to_owned(),
            wit: super::v0_1::GUEST.to_owned(),
            limits: plugin.limits().clone(),
            config: Bytes::copy_from_slice(plugin.config()),
            ..Self::default()
        }
    }
}

// === impl Why ===

impl Why {
    /// The name in metrics and for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Sample => "sample",
            Self::Asked => "asked",
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// A copy of what a call answered.
    #[must_use]
    pub fn of(result: Result<&Decisions, &CallError>) -> Self {
        match result {
            Ok(decisions) => Self::Decided(decisions.clone()),
            Err(error) => Self::Failed(error.clone()),
        }
    }
}

impl From<Result<Decisions, CallError>> for Outcome {
    fn from(result: Result<Decisions, CallError>) -> Self {
        match result {
            Ok(decisions) => Self::Decided(decisions),
            Err(error) => Self::Failed(error),
        }
    }
}
