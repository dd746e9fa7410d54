//! What became of dead letters: told beside the failure reports, so that who lists failures sees which
//! are still open.

use serde::{Deserialize, Serialize};

/// `type` of a published resolution.
pub const RESOLVED_KIND: &str = "resolved";

/// Letters that somebody dealt with, in one go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolution {
    /// [`RESOLVED_KIND`].
    pub kind: String,
    /// What became of them: `replayed`, `purged`, `exported`.
    pub what: String,
    /// The run that did it; what belongs together has one.
    pub run: String,
    /// Seconds since 1970.
    pub at: u64,
    /// Who did it: `USER@HOST`.
    pub by: String,
    /// Where they went, in words, where they went anywhere.
    pub target: Option<String>,
    /// The letters.
    pub letters: Vec<ResolvedLetter>,
}

/// One letter of a [`Resolution`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResolvedLetter {
    /// Its failure report's id, where one is known.
    pub report: Option<String>,
    /// Its digest: see [`letter`](super::letter).
    pub letter: String,
    /// Its producer's identifier.
    pub message_id: Option<String>,
    /// How often it was replayed with this.
    pub replay_count: u32,
    /// Its body was mended on the way.
    pub patched: bool,
}
