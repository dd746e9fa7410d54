//! Bytes of a connection become whole packets, of a bounded size.
//!
//! A message whose payload is larger than what is let in must not be refused: the broker would send it
//! again for ever, and behind it nothing. So its head is kept, its payload goes to the quarantine as it
//! comes, and what is handed on is the message with an empty payload, and what is known of it.

use bytes::{Buf as _, BytesMut};

use super::quarantine::{Keeper, Keeping, Kept};
use crate::broker::BrokerError;
use crate::config::MqttVersion;
use crate::limits::{MQTT_CONTROL_BYTES, MQTT_HEAD_BYTES};

#[cfg(test)]
mod tests;

/// The kind of packet that a message is in, in the upper half of the first byte.
const PUBLISH: u8 = 3;
/// Bytes of a length on the wire.
const LENGTH_BYTES: usize = 4;

/// A whole packet.
pub(super) struct Frame {
    /// As it came, or without its payload.
    pub(super) packet: BytesMut,
    /// What became of a payload that was too large.
    pub(super) oversize: Option<Oversize>,
}

/// A payload that wasn't let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Oversize {
    /// Bytes of it; of properties too where those were too large.
    pub(super) bytes: usize,
    /// Where it is, or why it isn't.
    pub(super) kept: Result<Kept, String>,
}

/// What came of a connection and isn't taken yet.
pub(super) struct Frames {
    buffer: BytesMut,
    version: MqttVersion,
    max_payload: usize,
    keeper: Keeper,
    skipping: Option<Skipping>,
}

/// A message whose payload is being put aside.
struct Skipping {
    packet: BytesMut,
    bytes: usize,
    left: usize,
    keeping: Result<Keeping, String>,
}

/// Where the parts of a message are.
struct Parts {
    topic: usize,
    /// Of its topic and packet id.
    start: usize,
    /// Of its properties, their length included; 0 where there are none.
    properties: usize,
    payload: usize,
}

impl Frames {
    pub(super) fn new(version: MqttVersion, max_payload: usize, keeper: Keeper) -> Self {
        Self { buffer: BytesMut::new(), version, max_payload, keeper, skipping: None }
    }

    /// Takes what came.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet, if it is here.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, BrokerError> {
        if self.skipping.is_none()
            && let Some(frame) = self.whole()?
        {
            return Ok(Some(frame));
        }
        if let Some(skipping) = &mut self.skipping {
            let some = skipping.left.min(self.buffer.len());
            skipping.take(&self.buffer[..some]);
            self.buffer.advance(some);
        }
        Ok(self.skipping.take_if(|it| it.left == 0).map(Skipping::finish))
    }

    /// The next packet, if it is here and may be whole; one that may not begins to be put aside.
    fn whole(&mut self) -> Result<Option<Frame>, BrokerError> {
        let Some((header, rest)) = self.header()? else { return Ok(None) };
        let kind = self.buffer[0] >> 4;
        if kind != PUBLISH && rest > MQTT_CONTROL_BYTES {
            return Err(too_large(rest));
        }
        if kind == PUBLISH && rest > self.max_payload {
            let Some(parts) = self.parts(header, rest)? else { return Ok(None) };
            if parts.payload > self.max_payload || parts.properties > MQTT_HEAD_BYTES {
                self.put_aside(header, rest, &parts);
                return Ok(None);
            }
        }
        if self.buffer.len() < header + rest {
            return Ok(None);
        }
        Ok(Some(Frame { packet: self.buffer.split_to(header + rest), oversize: None }))
    }

    /// Bytes of the fixed header, and how many come behind it.
    fn header(&self) -> Result<Option<(usize, usize)>, BrokerError> {
        let length = self.buffer.get(1..).unwrap_or_default();
        Ok(read_length(length)?.map(|(bytes, length)| (1 + bytes, length)))
    }

    fn parts(&self, header: usize, rest: usize) -> Result<Option<Parts>, BrokerError> {
        let body = &self.buffer[header..];
        let [high, low, ..] = *body else { return Ok(None) };
        let id = if self.buffer[0] & 0b0110 == 0 { 0 } else { 2 };
        let topic = usize::from(u16::from_be_bytes([high, low]));
        let start = 2 + topic + id;
        if start > rest {
            return Err(malformed("a message shorter than its topic"));
        }
        let properties = match self.version {
            MqttVersion::V3 => 0,
            MqttVersion::V5 => {
                let Some(behind) = body.get(start..) else { return Ok(None) };
                let Some((bytes, length)) = read_length(behind)? else { return Ok(None) };
                bytes + length
            }
        };
        match rest.checked_sub(start + properties) {
            Some(payload) => Ok(Some(Parts { topic, start, properties, payload })),
            None => Err(malformed("a message shorter than its head")),
        }
    }

    /// Begins to put a payload aside, once the head is here.
    fn put_aside(&mut self, header: usize, rest: usize, parts: &Parts) {
        let bare = parts.properties > MQTT_HEAD_BYTES;
        let head = if bare { parts.start } else { parts.start + parts.properties };
        if self.buffer.len() < header + head {
            return;
        }
        let first = self.buffer[0];
        self.buffer.advance(header);
        let head = self.buffer.split_to(head);
        let no_properties: &[u8] = if bare { &[0] } else { &[] };
        let mut packet = BytesMut::from(&[first][..]);
        write_length(head.len() + no_properties.len(), &mut packet);
        packet.extend_from_slice(&head);
        packet.extend_from_slice(no_properties);
        let topic = head.get(2..2 + parts.topic).unwrap_or_default();
        let bytes = rest - head.len();
        let keeping = self.keeper.begin(&String::from_utf8_lossy(topic), bytes);
        self.skipping = Some(Skipping { packet, bytes, left: bytes, keeping });
    }
}

impl Skipping {
    fn take(&mut self, bytes: &[u8]) {
        self.left -= bytes.len();
        if let Ok(keeping) = &mut self.keeping
            && let Err(why) = keeping.write(bytes)
        {
            self.keeping = Err(why);
        }
    }

    fn finish(self) -> Frame {
        let kept = self.keeping.and_then(Keeping::finish);
        let oversize = Oversize { bytes: self.bytes, kept };
        Frame { packet: self.packet, oversize: Some(oversize) }
    }
}

/// A length as the protocol writes it, with its own bytes; `None` where more must come.
fn read_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, BrokerError> {
    let mut length = 0;
    for (place, byte) in bytes.iter().take(LENGTH_BYTES).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((place + 1, length)));
        }
    }
    if bytes.len() < LENGTH_BYTES { Ok(None) } else { Err(malformed("a length without an end")) }
}

fn write_length(mut length: usize, out: &mut BytesMut) {
    loop {
        let seven = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            return out.extend_from_slice(&[seven]);
        }
        out.extend_from_slice(&[seven | 0x80]);
    }
}

fn malformed(what: &str) -> BrokerError {
    BrokerError::ChannelClosed(format!("the broker sent {what}: what is there isn't MQTT"))
}

fn too_large(bytes: usize) -> BrokerError {
    BrokerError::ChannelClosed(format!(
        "the broker sent a packet of {bytes} bytes that is no message"
    ))
}
