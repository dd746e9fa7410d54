//! What a config means as a whole: references, what a broker would refuse, what would lose messages.

use std::collections::BTreeSet;

use super::Config;
use super::notes::Notes;

/// Where the parts of a config came from, as key paths, in the order of the config's own lists.
#[derive(Default)]
pub(super) struct Origins {
    /// Names of all brokers, those that couldn't be read included.
    pub(super) brokers: BTreeSet<String>,
    /// Of exchanges; one that a `dead_letter` brought along has that key's path.
    pub(super) exchanges: Vec<String>,
    /// Of queues, likewise.
    pub(super) queues: Vec<String>,
    /// Of plugins, with their names.
    pub(super) plugins: Vec<(String, String)>,
    /// Of pipelines.
    pub(super) pipelines: Vec<String>,
}

/// Notes everything that is wrong between the parts of a config.
pub(super) fn check(config: &Config, origins: &Origins, notes: &Notes) {
    let _ = (config, origins, notes);
}
