//! AMQP's basic properties as one blob: flags, then the values of those that are set.

use bytes::Bytes;

use super::table;
use super::wire::{Broken, Budget, Reader};
use crate::message::Properties;

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const KIND: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;
/// The two lowest bits are AMQP's continuation of the flags, which basic doesn't use.
const UNUSED: u16 = 0b11;

/// Appends the blob.
pub(super) fn encode(properties: &Properties, to: &mut Vec<u8>) -> Result<(), Broken> {
    let p = properties;
    let start = to.len();
    to.extend_from_slice(&[0; 2]);
    let mut flags = 0;

    let mut short = |flag: u16, value: &Option<String>, to: &mut Vec<u8>| match value {
        Some(value) => {
            flags |= flag;
            table::encode_short(value, to)
        }
        None => Ok(()),
    };
    short(CONTENT_TYPE, &p.content_type, to)?;
    short(CONTENT_ENCODING, &p.content_encoding, to)?;
    if !p.headers.is_empty() {
        table::encode(&p.headers, to)?;
    }
    to.extend(p.delivery_mode);
    to.extend(p.priority);
    short(CORRELATION_ID, &p.correlation_id, to)?;
    short(REPLY_TO, &p.reply_to, to)?;
    short(EXPIRATION, &p.expiration, to)?;
    short(MESSAGE_ID, &p.message_id, to)?;
    if let Some(timestamp) = p.timestamp {
        to.extend_from_slice(&timestamp.to_be_bytes());
    }
    short(KIND, &p.kind, to)?;
    short(USER_ID, &p.user_id, to)?;
    short(APP_ID, &p.app_id, to)?;
    short(CLUSTER_ID, &p.cluster_id, to)?;

    for (flag, set) in [
        (HEADERS, !p.headers.is_empty()),
        (DELIVERY_MODE, p.delivery_mode.is_some()),
        (PRIORITY, p.priority.is_some()),
        (TIMESTAMP, p.timestamp.is_some()),
    ] {
        if set {
            flags |= flag;
        }
    }
    if let Some(slot) = to.get_mut(start..start + 2) {
        slot.copy_from_slice(&flags.to_be_bytes());
    }
    Ok(())
}

/// Reads a blob that is the whole of `bytes`.
pub(super) fn decode(bytes: &Bytes, budget: &mut Budget) -> Result<Properties, Broken> {
    budget.take(bytes.len())?;
    let mut reader = Reader::new(bytes);
    let flags = u16::from_be_bytes(reader.array()?);
    if flags & UNUSED != 0 {
        return Err(Broken::new("property flags that AMQP doesn't have"));
    }
    let has = |flag: u16| flags & flag != 0;
    let short = |flag: u16, name: &str, reader: &mut Reader<'_>| {
        has(flag)
            .then(|| reader.short_text().map(str::to_owned).map_err(|broken| broken.at(name)))
            .transpose()
    };
    let properties = Properties {
        content_type: short(CONTENT_TYPE, "content-type", &mut reader)?,
        content_encoding: short(CONTENT_ENCODING, "content-encoding", &mut reader)?,
        headers: if has(HEADERS) {
            table::read(&mut reader, budget).map_err(|broken| broken.at("headers"))?
        } else {
            Default::default()
        },
        delivery_mode: has(DELIVERY_MODE).then(|| reader.u8()).transpose()?,
        priority: has(PRIORITY).then(|| reader.u8()).transpose()?,
        correlation_id: short(CORRELATION_ID, "correlation-id", &mut reader)?,
        reply_to: short(REPLY_TO, "reply-to", &mut reader)?,
        expiration: short(EXPIRATION, "expiration", &mut reader)?,
        message_id: short(MESSAGE_ID, "message-id", &mut reader)?,
        timestamp: has(TIMESTAMP).then(|| reader.array().map(u64::from_be_bytes)).transpose()?,
        kind: short(KIND, "type", &mut reader)?,
        user_id: short(USER_ID, "user-id", &mut reader)?,
        app_id: short(APP_ID, "app-id", &mut reader)?,
        cluster_id: short(CLUSTER_ID, "cluster-id", &mut reader)?,
    };
    if reader.is_empty() {
        Ok(properties)
    } else {
        Err(Broken::new(format!("{} bytes follow the last property", reader.left())))
    }
}

#[cfg(test)]
mod tests;
