//! What a dead-letter queue keeps, and what becomes of the rest.

use super::super::section::Section;
use super::super::{DeadLetter, DeadLetterTarget, PastLimit, Queue};
use super::plain;
use crate::limits;

/// Keys that are about the dead-letter queue itself.
const ABOUT_THE_QUEUE: [&str; 6] =
    ["exchange_kind", "kind", "max_length", "max_bytes", "ttl", "past_limit"];

/// What makes a dead-letter queue give up messages.
const LIMITS: [&str; 3] = ["ttl", "max_length", "max_bytes"];

/// Reads `past_limit`, and notes keys about a dead-letter queue where none is named.
pub(super) fn read(section: &Section<'_>, caught_by: Option<&str>) -> PastLimit {
    for key in ABOUT_THE_QUEUE {
        if caught_by.is_none() && section.has(key) {
            let message = format!("`{key}` is about the dead-letter queue, and none is named");
            section.notes.wrong_key(&section.at(key), message, "add `queue = \"…\"`");
        }
    }
    let archive = section.choice("past_limit", &[("drop", false), ("archive", true)]);
    let Some(queue) = caught_by.filter(|_| archive == Some(true)) else { return PastLimit::Drop };
    if !LIMITS.iter().any(|key| section.has(key)) {
        let message = "nothing is archived, for the dead-letter queue has no limit";
        let remedy = "add `ttl`, `max_length` or `max_bytes`";
        section.notes.error(&section.at("past_limit"), message, remedy);
    }
    let name = format!("{}{queue}", limits::ARCHIVE_PREFIX);
    if name.len() > limits::SHORT_STRING_BYTES {
        let message = format!("the archive's queue would be named '{name}', which is too long");
        let remedy = "shorten the name of the dead-letter queue";
        section.notes.error(&section.at("queue"), message, remedy);
    }
    PastLimit::Archive(name)
}

/// Has what the dead-letter queue keeps no longer put into its archive's queue, which is without
/// limits: what the host can't write yet must stay somewhere.
pub(super) fn archive(caught: &mut Queue, past_limit: &PastLimit) -> Option<Queue> {
    let PastLimit::Archive(name) = past_limit else { return None };
    caught.dead_letter = DeadLetter::To(DeadLetterTarget {
        broker: caught.broker.clone(),
        exchange: String::new(),
        routing_key: Some(name.clone()),
        at_least_once: false,
        nack: true,
        max_replays: 0,
        past_limit: PastLimit::Drop,
    });
    let mut archive = plain(name, &caught.broker, caught.kind);
    archive.delivery_limit = archive.delivery_limit.map(|_| limits::ARCHIVE_DELIVERY_LIMIT);
    Some(archive)
}
