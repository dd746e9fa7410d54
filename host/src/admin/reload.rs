//! What is told of a reload while it is done, and what it came to.

use serde::{Deserialize, Serialize};

/// A line of a reload that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reload", rename_all = "snake_case")]
pub enum ReloadLine {
    /// A step is done, or about to be.
    Step {
        /// For people.
        text: String,
    },
    /// The last line.
    Ended(Reloaded),
}

/// What a reload came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reloaded {
    /// In a word.
    pub outcome: ReloadOutcome,
    /// What was done, a line each.
    pub done: Vec<String>,
    /// What should be known about it.
    pub warnings: Vec<String>,
    /// Why it wasn't done, a text each; of a config, as `check` prints them.
    pub problems: Vec<String>,
}

/// What a reload came to, in a word. A closed set: metrics label by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// What differs was applied.
    Applied,
    /// Nothing differs.
    #[default]
    Unchanged,
    /// The config is wrong; nothing was touched.
    Refused,
    /// The config is right and can't be applied now: a broker is away, a plugin can't be loaded. Nothing
    /// was touched.
    Failed,
}

impl ReloadOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Applied, Self::Unchanged, Self::Refused, Self::Failed];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
