//! MQTT's topics and filters beside AMQP's routing keys and patterns.
//!
//! | MQTT | AMQP | |
//! |---|---|---|
//! | `/` between levels | `.` between words | RabbitMQ's MQTT plugin has the same rule |
//! | `+`, one level | `*`, one word | in filters |
//! | `#`, this level and all below | `#`, any number of words | in filters |
//!
//! A dot within a level stays a dot, so two topics may have one routing key: the whole topic is in the
//! header [`TOPIC`], and the way back takes it from there. A routing key has 255 bytes at most; of a
//! longer one the leading words are kept, and a digest of the topic tells it from others. Nothing is
//! normalised: `İ` of one code point and `İ` of two are different topics, as they are for brokers.

use crate::limits::{MQTT_STRING_BYTES, SHORT_STRING_BYTES};

/// The header that has the whole topic of a message that came by MQTT.
pub const TOPIC: &str = "mqtt-topic";

/// What a shared subscription's filter begins with.
const SHARED: &str = "$share/";

/// Bytes of the digest at the end of a routing key that was cut.
const DIGEST_BYTES: usize = 16;

/// Why a text is no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Empty, longer than the protocol can say, or with a NUL.
    #[error("a filter has 1 to 65535 bytes, and no NUL")]
    Text,
    /// A wildcard that isn't a whole level.
    #[error("a wildcard stands for a whole level: write `a/+/b`, not `a/b+`")]
    Wildcard,
    /// `#` before the end.
    #[error("`#` stands for all that is left, so it comes last")]
    Hash,
    /// `$share/` without a name or a filter behind it.
    #[error("a shared subscription is `$share/NAME/FILTER`, its name without wildcards")]
    Share,
}

/// Whether the text is a topic filter; of a shared subscription too.
///
/// # Errors
/// Why it isn't.
pub fn check_filter(filter: &str) -> Result<(), FilterError> {
    if filter.is_empty() || filter.len() > MQTT_STRING_BYTES || filter.contains('\0') {
        return Err(FilterError::Text);
    }
    if let Some(shared) = filter.strip_prefix(SHARED) {
        let named = |(group, rest): (&str, &str)| {
            !group.is_empty() && !group.contains(['+', '#']) && !rest.is_empty()
        };
        if !shared.split_once('/').is_some_and(named) {
            return Err(FilterError::Share);
        }
    }
    let levels = own_part(filter).split('/');
    let last = levels.clone().count() - 1;
    for (place, level) in levels.enumerate() {
        match level {
            "#" if place < last => return Err(FilterError::Hash),
            "+" | "#" => {}
            _ if level.contains(['+', '#']) => return Err(FilterError::Wildcard),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a filter is of a shared subscription.
#[must_use]
pub fn is_shared(filter: &str) -> bool {
    filter.starts_with(SHARED)
}

/// The filter without what makes it a shared one.
#[must_use]
pub fn own_part(filter: &str) -> &str {
    let shared = filter.strip_prefix(SHARED).and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, filter)| filter)
}

/// A filter as the pattern of a binding to `amq.topic`.
#[must_use]
pub fn pattern_of(filter: &str) -> String {
    let word = |level| if level == "+" { "*" } else { level };
    own_part(filter).split('/').map(word).collect::<Vec<_>>().join(".")
}

/// The routing key of a topic whose levels are separated so: at most 255 bytes.
#[must_use]
pub fn routing_key_of(topic: &str, separator: char) -> String {
    let whole = topic.replace(separator, ".");
    if whole.len() <= SHORT_STRING_BYTES {
        return whole;
    }
    let digest = blake3::hash(topic.as_bytes()).to_hex();
    let end = format!("~{}", &digest[..DIGEST_BYTES]);
    // Whole words as far as they go, so that patterns that begin like the topic still match.
    let room = whole.floor_char_boundary(SHORT_STRING_BYTES - end.len() - 1);
    let kept = whole[..room].rfind('.').unwrap_or(0);
    if kept == 0 { end } else { format!("{}.{end}", &whole[..kept]) }
}

/// The topic to publish to under that routing key: the one that the message came by, where the key is
/// still that topic's, or else the key with its words as levels. A key with slashes is a topic already, as
/// where an answer is expected by MQTT.
#[must_use]
pub fn topic_of(routing_key: &str, came_by: Option<&str>, separator: char) -> String {
    match came_by {
        Some(topic) if routing_key_of(topic, separator) == routing_key => topic.to_owned(),
        _ if routing_key.contains('/') => routing_key.to_owned(),
        _ => routing_key.replace('.', "/"),
    }
}

/// The level of a topic at that place, from 0.
#[must_use]
pub fn level(topic: &str, separator: char, place: usize) -> Option<&str> {
    topic.split(separator).nth(place)
}

#[cfg(test)]
mod tests;
