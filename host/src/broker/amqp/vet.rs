//! What can be known about a message before it is written: whether the broker would take it.
//!
//! RabbitMQ answers a message that it can't take by closing the channel or the whole connection, and
//! the client library panics on some, so these are sorted out here.

use lapin::types::ShortString;
use lapin::{BasicProperties, Connection};

use super::fields::{TooLong, header_frame_bytes, short, to_properties};
use crate::broker::{Outgoing, Published};
use crate::limits::PUBLISH_BYTES;
use crate::message::Properties;

#[cfg(test)]
mod tests;

/// Persistent, AMQP's `delivery_mode`.
const PERSISTENT: u8 = 2;

/// A message as the client library takes it.
pub(super) struct Encoded {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
}

/// Encodes the open messages at those places; what can't be published is judged instead.
pub(super) fn vet(
    group: &[Outgoing],
    open: &[usize],
    fates: &mut [Option<Published>],
    connection: &Connection,
) -> Vec<(usize, Encoded)> {
    let frame_max = usize::try_from(connection.configuration().frame_max()).unwrap_or(usize::MAX);
    let user = connection.status().username();
    let mut encoded = Vec::with_capacity(open.len());
    for &at in open {
        match encode(&group[at], frame_max, &user) {
            Ok(message) => encoded.push((at, message)),
            Err(why) => fates[at] = Some(Published::Impossible(why)),
        }
    }
    encoded
}

/// Encodes a message for a connection of that user and frame size.
fn encode(message: &Outgoing, frame_max: usize, user: &str) -> Result<Encoded, String> {
    let body = message.body.len();
    if body > PUBLISH_BYTES {
        return Err(format!("the body has {body} bytes; {PUBLISH_BYTES} are allowed"));
    }
    let header_frame = header_frame_bytes(&message.properties);
    if header_frame > frame_max {
        return Err(format!(
            "headers and properties have {header_frame} bytes; the broker's frame_max is \
             {frame_max}"
        ));
    }
    // RabbitMQ closes the channel for anything but a number of milliseconds.
    if let Some(expiration) = &message.properties.expiration
        && expiration.parse::<u32>().is_err()
    {
        return Err(format!("the expiration {expiration:?} is no number of milliseconds"));
    }
    let too_long = |error: TooLong| error.to_string();
    let mut properties = match &message.properties.user_id {
        // Another user's name closes the channel.
        Some(foreign) if foreign != user => {
            to_properties(&Properties { user_id: None, ..message.properties.clone() })
        }
        _ => to_properties(&message.properties),
    }
    .map_err(too_long)?;
    if properties.delivery_mode().is_none() {
        properties = properties.with_delivery_mode(PERSISTENT);
    }
    Ok(Encoded {
        exchange: short("the exchange's name", &message.exchange).map_err(too_long)?,
        routing_key: short("the routing key", &message.routing_key).map_err(too_long)?,
        properties,
    })
}
