//! Which messages of a group the broker returned.
//!
//! With several publishes in flight the client library hands a return to whichever confirm is
//! resolved next, so a return says nothing about the publish it came with. It carries the whole
//! message, though: exchange, routing key, properties and body find its place in the group. Where
//! several places fit equally well the messages are the same, and so it doesn't matter which.

use std::collections::HashMap;

use lapin::message::BasicReturnMessage;

use super::fields::from_properties;
use crate::broker::Outgoing;
use crate::message::Properties;

#[cfg(test)]
mod tests;

/// What a group's returns mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Returned {
    /// By position in the group.
    pub(super) places: Vec<usize>,
    /// Returns that belong to no message of the group.
    pub(super) strays: usize,
}

/// Finds the place in `group`, among `open`, of each return.
pub(super) fn places(
    group: &[Outgoing],
    open: &[usize],
    returns: &[BasicReturnMessage],
) -> Returned {
    let mut returned = Returned::default();
    if returns.is_empty() {
        return returned;
    }
    let mut candidates: HashMap<Identity<'_>, Vec<usize>> = HashMap::new();
    // Backwards, so that the first candidate is taken from the end.
    for &place in open.iter().rev() {
        candidates.entry(Identity::sent(&group[place])).or_default().push(place);
    }
    for message in returns {
        let places = candidates.get_mut(&Identity::came(message)).filter(|p| !p.is_empty());
        let Some(places) = places else {
            returned.strays += 1;
            continue;
        };
        let at = if places.len() == 1 { 0 } else { best(group, places, message) };
        returned.places.push(places.remove(at));
    }
    returned
}

/// What usually tells one message from another.
#[derive(PartialEq, Eq, Hash)]
struct Identity<'a> {
    exchange: &'a str,
    routing_key: &'a str,
    message_id: Option<&'a str>,
}

impl<'a> Identity<'a> {
    fn sent(message: &'a Outgoing) -> Self {
        Self {
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            message_id: message.properties.message_id.as_deref(),
        }
    }

    fn came(message: &'a BasicReturnMessage) -> Self {
        Self {
            exchange: message.exchange.as_str(),
            routing_key: message.routing_key.as_str(),
            message_id: message.properties.message_id().as_ref().map(|id| id.as_str()),
        }
    }
}

/// The candidate that is most like what came back: headers may have decided its route.
fn best(group: &[Outgoing], places: &[usize], message: &BasicReturnMessage) -> usize {
    let came = comparable(from_properties(&message.properties));
    let likeness = |place: usize| {
        let sent = &group[place];
        let same_properties = comparable(sent.properties.clone()) == came;
        (same_properties, sent.body == message.data)
    };
    (0..places.len()).max_by_key(|&at| likeness(places[at])).unwrap_or(0)
}

/// Without what is filled in or taken out on the way.
fn comparable(mut properties: Properties) -> Properties {
    properties.delivery_mode = None;
    properties.user_id = None;
    properties.headers.remove("BCC");
    properties.headers.0.sort_by(|a, b| a.0.cmp(&b.0));
    properties
}
