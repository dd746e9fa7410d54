//! Failures that have one cause, together.

use std::collections::HashMap;

use serde::Serialize;

use super::ledger::Entry;

/// Failures of one fingerprint.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// What they have in common.
    pub fingerprint: String,
    /// How many.
    pub count: usize,
    /// Seconds since 1970, of the oldest.
    pub first_seen: u64,
    /// Seconds since 1970, of the newest.
    pub last_seen: u64,
    /// The pipeline.
    pub pipeline: String,
    /// Kind of cause.
    pub class: String,
    /// Reason.
    pub code: String,
    /// The plugin to blame, where one is.
    pub plugin: Option<String>,
    /// Versions of that plugin, by the beginning of their digests.
    pub plugin_digests: Vec<String>,
    /// The newest one's text.
    pub text: String,
    /// The newest one's id.
    pub example: String,
    /// How many of them were replayed before they failed again.
    pub replayed_before: usize,
}

/// Characters of a digest that tell one version from another.
const DIGEST_CHARS: usize = 12;

/// The groups, largest first; of equal ones the one seen last.
pub fn groups<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<Group> {
    let mut by_fingerprint: HashMap<&str, Group> = HashMap::new();
    for Entry { report, .. } in entries {
        let group = by_fingerprint.entry(&report.fingerprint).or_insert_with(|| Group {
            fingerprint: report.fingerprint.clone(),
            count: 0,
            first_seen: report.failed_at,
            last_seen: 0,
            pipeline: report.pipeline.clone(),
            class: report.class.clone(),
            code: report.code.clone(),
            plugin: report.plugin.clone(),
            plugin_digests: Vec::new(),
            text: String::new(),
            example: String::new(),
            replayed_before: 0,
        });
        group.count += 1;
        group.first_seen = group.first_seen.min(report.failed_at);
        group.replayed_before += usize::from(report.replay_count > 0);
        if report.failed_at >= group.last_seen {
            group.last_seen = report.failed_at;
            group.text.clone_from(&report.text);
            group.example.clone_from(&report.id);
        }
        if let Some(digest) = &report.plugin_digest {
            let digest = &digest[..digest.floor_char_boundary(DIGEST_CHARS)];
            if !group.plugin_digests.iter().any(|known| known == digest) {
                group.plugin_digests.push(digest.to_owned());
            }
        }
    }
    let mut groups: Vec<Group> = by_fingerprint.into_values().collect();
    let order = |group: &Group| (group.count, group.last_seen, group.fingerprint.clone());
    groups.sort_by_key(|group| std::cmp::Reverse(order(group)));
    groups
}
