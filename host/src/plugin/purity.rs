//! Whether a plugin is the pure function that it has to be: a call is run again on a fresh instance, and
//! must be answered the same.
//!
//! What makes the difference is what is kept between calls and isn't the key's state (a static counter, a
//! cache that changes answers), or the order of a map that is seeded by where it lies.

use std::sync::Arc;

use super::capsule::{Difference, Outcome, OwnedBatch, diff_outcomes};
use super::{CallError, Plugin};
use crate::verdict::FailureClass;

/// What running a call again showed.
#[derive(Clone, Debug, PartialEq)]
pub enum Purity {
    /// The same answer.
    Same,
    /// Another answer: the plugin is impure.
    Impure(Vec<Difference>),
    /// Time or memory ran out in one of the two runs, which says nothing.
    Unknown,
}

/// Runs a call again on a fresh instance, which logs nothing, and compares.
#[must_use]
pub fn check(plugin: &Arc<Plugin>, batch: &OwnedBatch, was: &Outcome) -> Purity {
    if by_chance(was) {
        return Purity::Unknown;
    }
    let again = plugin.instantiate_unheard().and_then(|mut instance| batch.run(&mut instance));
    let is = Outcome::from(again);
    if by_chance(&is) {
        return Purity::Unknown;
    }
    let differences = diff_outcomes(was, &is);
    if differences.is_empty() { Purity::Same } else { Purity::Impure(differences) }
}

/// Whether the outcome depends on the machine, or on what the instance did before.
fn by_chance(outcome: &Outcome) -> bool {
    let classes = [FailureClass::Deadline, FailureClass::Memory];
    matches!(outcome, Outcome::Failed(CallError { class, .. }) if classes.contains(class))
}
