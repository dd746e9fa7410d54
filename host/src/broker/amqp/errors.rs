//! What RabbitMQ says when it refuses, in our words.
//!
//! A reply's text is cut at 255 bytes by the protocol, so what is read from it is never required.

use lapin::ErrorKind;

use crate::broker::BrokerError;

#[cfg(test)]
mod tests;

/// The code and text of a reply that closed a channel or connection; `None` where none did.
pub(super) fn reply(error: &lapin::Error) -> Option<(u16, &str)> {
    match error.kind() {
        ErrorKind::ProtocolError(e) => Some((e.get_id(), e.get_message().as_str())),
        _ => None,
    }
}

/// An error of an operation on a channel; `what` names the object.
pub(super) fn of_channel(error: &lapin::Error, what: &str) -> BrokerError {
    match (reply(error), error.kind()) {
        (Some((code, text)), _) => of_reply(code, text, what),
        (None, ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidChannel(_)) => {
            BrokerError::ChannelClosed(format!("{what}: {error}"))
        }
        (None, _) => BrokerError::Unreachable(format!("{what}: {error}")),
    }
}

/// An error of connecting to `address`.
pub(super) fn of_connect(error: &lapin::Error, address: &str) -> BrokerError {
    match reply(error) {
        Some((403, text)) => BrokerError::Refused(format!(
            "{address}: {text}; check user and password (`credentials`), and that the user may \
             connect from here: `guest` only from the broker's own machine"
        )),
        Some((530, text)) => BrokerError::Refused(format!(
            "{address}: {text}; check the virtual host at the end of the URL (`%2f` is the default \
             one) and the user's permissions on it"
        )),
        Some((_, text)) => BrokerError::Unreachable(format!("{address}: {text}")),
        None => BrokerError::Unreachable(format!("{address}: {}", innermost(error))),
    }
}

/// Whether the exchange of a refused publish is to blame, and which: `None` where the text was cut.
pub(super) fn publish_target(text: &str) -> Option<PublishTarget<'_>> {
    // NOT_FOUND - no exchange 'x' in vhost '/'
    // ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'u'
    // ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost '/'
    // ACCESS_REFUSED - access to topic 'k' in exchange 'x' in vhost '/' refused for user 'u'
    let (before, rest) = text.split_once("exchange '")?;
    let (exchange, _) = rest.split_once("' in vhost")?;
    let routing_key = before
        .split_once("access to topic '")
        .and_then(|(_, rest)| rest.rsplit_once("' in "))
        .map(|(key, _)| key);
    Some(PublishTarget { exchange, routing_key })
}

/// What a refused publish was aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PublishTarget<'a> {
    /// The exchange.
    pub(super) exchange: &'a str,
    /// The routing key, where topics are permitted one by one.
    pub(super) routing_key: Option<&'a str>,
}

fn of_reply(code: u16, text: &str, what: &str) -> BrokerError {
    let said = format!("{what}: {text}");
    match code {
        // Somebody else's exclusive consumer or queue is no question of permissions.
        403 if text.contains("in exclusive use") => BrokerError::Locked(said),
        403 => BrokerError::Forbidden(said),
        404 => BrokerError::NotFound(said),
        405 => BrokerError::Locked(said),
        406 => mismatch(text).unwrap_or_else(|| {
            if text.contains("invalid arg") || text.contains("invalid property") {
                BrokerError::Unsupported(said)
            } else {
                BrokerError::ChannelClosed(said)
            }
        }),
        503 | 540 => BrokerError::Unsupported(said),
        530 => BrokerError::Forbidden(said),
        311..=313 => BrokerError::ChannelClosed(said),
        _ => BrokerError::Unreachable(said),
    }
}

/// `inequivalent arg 'A' for queue 'q' in vhost '/': received X but current is Y`
fn mismatch(text: &str) -> Option<BrokerError> {
    let (_, rest) = text.split_once("inequivalent arg '")?;
    let (argument, rest) = rest.split_once("' for ")?;
    let (object, rest) = rest.split_once(" in vhost ").unwrap_or((rest, ""));
    let (wanted, found) = rest
        .split_once(": received ")
        .map(|(_, values)| values.split_once(" but current is ").unwrap_or((values, "")))
        .unwrap_or_default();
    Some(BrokerError::Mismatch {
        object: object.to_owned(),
        argument: argument.to_owned(),
        wanted: plain(wanted).unwrap_or("something else").to_owned(),
        found: plain(found).unwrap_or("something else").to_owned(),
    })
}

/// `none`, `'true'` and `the value '5' of type 'signedint'` as their values.
fn plain(value: &str) -> Option<&str> {
    let value = value.trim();
    let value = value.strip_prefix("the value ").unwrap_or(value);
    let value = value.split_once(" of type ").map_or(value, |(value, _)| value);
    let value = value.strip_prefix('\'').unwrap_or(value);
    let value = value.strip_suffix('\'').unwrap_or(value);
    (!value.is_empty()).then_some(value)
}

/// The error below the library's own wrapping.
fn innermost(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::IOError(e) => e.to_string(),
        _ => error.to_string(),
    }
}
