//! What became of another version of a plugin, and what is told on the way there.

use serde::{Deserialize, Serialize};

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The other version serves.
    Reloaded {
        /// SHA-256 of the version that served.
        from: String,
        /// And of the one that serves now.
        to: String,
        /// What it was tested with.
        text: String,
    },
    /// The version that served goes on: the other one never decided anything.
    KeptOld {
        /// Why.
        text: String,
    },
    /// The other version served for a while and was taken out again; no update of state is lost.
    RolledBack {
        /// Why.
        text: String,
    },
    /// What is asked for serves already.
    Unchanged,
}

/// One line of what a reload tells while it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The plugin's name in the config.
    pub plugin: String,
    /// What is told of it.
    #[serde(flatten)]
    pub what: What,
    /// Milliseconds since the reload began.
    pub ms: u64,
}

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum What {
    /// The end.
    Done(Outcome),
    /// A step that was passed.
    Step {
        /// `file`, `compile`, `trial`, `swap`, `probation`.
        step: String,
        /// What was found.
        text: String,
    },
}

// === impl Outcome ===

impl Outcome {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Reloaded { .. } => "reloaded",
            Self::KeptOld { .. } => "kept_old",
            Self::RolledBack { .. } => "rolled_back",
            Self::Unchanged => "unchanged",
        }
    }

    /// Whether what was asked for serves.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Reloaded { .. } | Self::Unchanged)
    }

    /// Why, or with what: for people.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Reloaded { text, .. } | Self::KeptOld { text } | Self::RolledBack { text } => {
                text
            }
            Self::Unchanged => "this version serves already",
        }
    }
}
