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
    /// The config is in force; the changed file of a plugin isn't fit to serve.
    KeptOld,
    /// The config is in force, but for a plugin that served in another way, failed, and was put back.
    RolledBack,
}

impl Reloaded {
    /// It came to this too; what is worse counts.
    pub fn worse(&mut self, outcome: ReloadOutcome) {
        let rank =
            |it: ReloadOutcome| ReloadOutcome::BY_WEIGHT.iter().position(|known| *known == it);
        if rank(outcome) > rank(self.outcome) {
            self.outcome = outcome;
        }
    }
}

impl ReloadOutcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = Self::BY_WEIGHT;

    /// The better first.
    const BY_WEIGHT: [Self; 6] = [
        Self::Unchanged,
        Self::Applied,
        Self::KeptOld,
        Self::RolledBack,
        Self::Failed,
        Self::Refused,
    ];

    /// Whether the config is in force, all of it or nearly.
    #[must_use]
    pub const fn is_in_force(self) -> bool {
        !matches!(self, Self::Failed | Self::Refused)
    }

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::KeptOld => "kept_old",
            Self::RolledBack => "rolled_back",
        }
    }
}
