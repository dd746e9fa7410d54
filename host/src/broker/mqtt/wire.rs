//! One connection's packets, 3.1.1 or 5: the only place where the protocol's library is known.
//!
//! Sans-I/O: bytes that came go in, what they say comes out, and what is to be sent is appended to the
//! caller's buffer. The library keeps packet ids and the rules of a connection; acknowledgements are the
//! caller's.

mod build;
mod said;

use bytes::Bytes;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Connection, Event};
use mqtt_protocol_core::mqtt::packet::{
    GenericPacketTrait as _, Packet, RetainHandling, SubEntry, SubOpts, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt_protocol_core::mqtt::{Version, role};

use self::build::{connect_v3, connect_v5, publish_v3, publish_v5, qos_of};
use self::said::understood;
use crate::broker::{BrokerError, Published as Outcome};
use crate::config::{Login, MqttVersion, Will};

/// What a client says when it connects.
pub(super) struct Hello<'h> {
    /// Its name; empty lets the broker choose one.
    pub(super) client_id: &'h str,
    /// Forget what there is of that name.
    pub(super) clean: bool,
    /// User and password, where there are some.
    pub(super) login: Option<&'h Login>,
    /// Seconds.
    pub(super) keep_alive: u16,
    /// Seconds; version 5 alone.
    pub(super) session_expiry: u32,
    /// Unacknowledged messages that it takes; version 5 alone.
    pub(super) receive_maximum: Option<u16>,
    /// What is published for it if it goes without a word.
    pub(super) will: Option<&'h Will>,
}

/// What a broker said.
#[derive(Debug)]
pub(super) enum Said {
    /// The client is in.
    Welcome(Welcome),
    /// What it subscribed to, in order: the QoS granted, or why not.
    Subscribed(Vec<Result<u8, String>>),
    /// It is subscribed no more to what it named.
    Unsubscribed,
    /// A message.
    Published(Published),
    /// What became of a message of the client's own.
    Acknowledged(u16, Outcome),
    /// Goodbye, with the reason.
    Goodbye(String),
    /// Anything else: it lives.
    Alive,
}

/// What a broker says to a client that it lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Welcome {
    /// It knew the client, with what it was subscribed to and what it didn't acknowledge.
    pub(super) session_present: bool,
    /// Seconds, where the broker wants another keep-alive.
    pub(super) keep_alive: Option<u16>,
    /// Publishes that may be under way, where it says so.
    pub(super) receive_maximum: Option<u16>,
}

/// A message to publish with QoS 1.
pub(super) struct ToPublish<'p> {
    pub(super) topic: &'p str,
    pub(super) payload: &'p Bytes,
    pub(super) retain: bool,
    // What follows is of version 5 alone.
    pub(super) content_type: Option<&'p str>,
    pub(super) correlation: Option<&'p str>,
    pub(super) response_topic: Option<&'p str>,
    /// Seconds.
    pub(super) expiry: Option<u32>,
    pub(super) user: Vec<(&'p str, String)>,
}

/// A message as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) topic: String,
    /// With QoS 1 alone.
    pub(super) packet_id: Option<u16>,
    pub(super) duplicate: bool,
    pub(super) retained: bool,
    pub(super) payload: Bytes,
    pub(super) content_type: Option<String>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Bytes>,
    /// Seconds.
    pub(super) expiry: Option<u32>,
    /// In their order.
    pub(super) user: Vec<(String, String)>,
}

/// A connection's packets.
pub(super) struct Wire {
    connection: Connection<role::Client>,
    version: MqttVersion,
}

impl Wire {
    /// Of a connection that has just been opened.
    pub(super) fn new(version: MqttVersion) -> Self {
        let level = match version {
            MqttVersion::V3 => Version::V3_1_1,
            MqttVersion::V5 => Version::V5_0,
        };
        Self { connection: Connection::new(level), version }
    }

    /// Introduces the client.
    pub(super) fn connect(
        &mut self,
        hello: &Hello<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), BrokerError> {
        let packet = |hello: &Hello<'_>| {
            let packet = match self.version {
                MqttVersion::V3 => connect_v3(hello).map(Packet::V3_1_1Connect),
                MqttVersion::V5 => connect_v5(hello).map(Packet::V5_0Connect),
            };
            packet.map_err(|error| broken(&error))
        };
        out.extend_from_slice(&packet(hello)?.to_continuous_buffer());
        // Mosquitto sends all that was under way again, whatever the receive maximum is now: the library
        // isn't told, or it would hang up. More than that isn't read before there is room.
        let unbounded = packet(&Hello { receive_maximum: None, ..*hello })?;
        self.send(unbounded, &mut Vec::new())
    }

    /// Subscribes to filters, each with its QoS.
    pub(super) fn subscribe(
        &mut self,
        filters: &[(String, u8)],
        out: &mut Vec<u8>,
    ) -> Result<(), BrokerError> {
        let entry = |(filter, qos): &(String, u8)| {
            let mut options = SubOpts::new().set_qos(qos_of(*qos));
            if self.version == MqttVersion::V5 {
                // What is retained comes with a new subscription, and not again with each connection.
                options = options.set_rh(RetainHandling::SendRetainedIfNotExists).set_rap(true);
            }
            SubEntry::new(filter.as_str(), options)
        };
        let entries = filters.iter().map(entry).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| broken(&error))?;
        let id = self.connection.acquire_packet_id().map_err(|error| broken(&error))?;
        let packet = match self.version {
            MqttVersion::V3 => v3_1_1::Subscribe::builder()
                .packet_id(id)
                .entries(entries)
                .build()
                .map(Packet::V3_1_1Subscribe),
            MqttVersion::V5 => v5_0::Subscribe::builder()
                .packet_id(id)
                .entries(entries)
                .build()
                .map(Packet::V5_0Subscribe),
        };
        self.send(packet.map_err(|error| broken(&error))?, out)
    }

    /// Ends subscriptions to filters.
    pub(super) fn unsubscribe(
        &mut self,
        filters: &[String],
        out: &mut Vec<u8>,
    ) -> Result<(), BrokerError> {
        let id = self.connection.acquire_packet_id().map_err(|error| broken(&error))?;
        let entries: Vec<&str> = filters.iter().map(String::as_str).collect();
        let packet = match self.version {
            MqttVersion::V3 => v3_1_1::Unsubscribe::builder()
                .packet_id(id)
                .entries(entries)
                .and_then(|it| it.build())
                .map(Packet::V3_1_1Unsubscribe),
            MqttVersion::V5 => v5_0::Unsubscribe::builder()
                .packet_id(id)
                .entries(entries)
                .and_then(|it| it.build())
                .map(Packet::V5_0Unsubscribe),
        };
        self.send(packet.map_err(|error| broken(&error))?, out)
    }

    /// Acknowledges a message.
    pub(super) fn acknowledge(&mut self, id: u16, out: &mut Vec<u8>) -> Result<(), BrokerError> {
        let packet = match self.version {
            MqttVersion::V3 => {
                v3_1_1::Puback::builder().packet_id(id).build().map(Packet::V3_1_1Puback)
            }
            MqttVersion::V5 => {
                v5_0::Puback::builder().packet_id(id).build().map(Packet::V5_0Puback)
            }
        };
        self.send(packet.map_err(|error| broken(&error))?, out)
    }

    /// Publishes a message, and says under which packet id; why it can't be, where it never can.
    pub(super) fn publish(
        &mut self,
        what: &ToPublish<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Result<u16, String>, BrokerError> {
        let id = self.connection.acquire_packet_id().map_err(|error| broken(&error))?;
        let packet = match self.version {
            MqttVersion::V3 => publish_v3(what, id).map(Packet::V3_1_1Publish),
            MqttVersion::V5 => publish_v5(what, id).map(Packet::V5_0Publish),
        };
        let refused = match packet {
            Ok(packet) => {
                let events = self.connection.send(packet);
                let too_large = events
                    .iter()
                    .any(|event| matches!(event, Event::NotifyError(MqttError::PacketTooLarge)));
                if !too_large {
                    return self.follow(events, out).map(|_| Ok(id));
                }
                MqttError::PacketTooLarge
            }
            Err(error) => error,
        };
        self.connection.release_packet_id(id);
        Ok(Err(refused.to_string()))
    }

    /// Gives a sign of life.
    pub(super) fn ping(&mut self, out: &mut Vec<u8>) -> Result<(), BrokerError> {
        let packet = match self.version {
            MqttVersion::V3 => v3_1_1::Pingreq::builder().build().map(Packet::V3_1_1Pingreq),
            MqttVersion::V5 => v5_0::Pingreq::builder().build().map(Packet::V5_0Pingreq),
        };
        self.send(packet.map_err(|error| broken(&error))?, out)
    }

    /// Says goodbye: no will is published.
    pub(super) fn goodbye(&mut self, out: &mut Vec<u8>) -> Result<(), BrokerError> {
        let packet = match self.version {
            MqttVersion::V3 => v3_1_1::Disconnect::builder().build().map(Packet::V3_1_1Disconnect),
            MqttVersion::V5 => v5_0::Disconnect::builder().build().map(Packet::V5_0Disconnect),
        };
        self.send(packet.map_err(|error| broken(&error))?, out)
    }

    /// Takes one whole packet.
    pub(super) fn receive(
        &mut self,
        packet: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Said>, BrokerError> {
        let events = self.connection.recv(&mut Cursor::new(packet));
        self.follow(events, out)
    }

    fn send(&mut self, packet: Packet, out: &mut Vec<u8>) -> Result<(), BrokerError> {
        let events = self.connection.send(packet);
        self.follow(events, out).map(|_| ())
    }

    /// Does what the library asks for. Its timers are the session's own.
    fn follow(&self, events: Vec<Event>, out: &mut Vec<u8>) -> Result<Option<Said>, BrokerError> {
        let mut said = None;
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    out.extend_from_slice(&packet.to_continuous_buffer());
                }
                Event::NotifyPacketReceived(packet) => said = Some(understood(packet)?),
                Event::NotifyError(error) => return Err(broken(&error)),
                Event::NotifyPacketIdReleased(_)
                | Event::RequestTimerReset { .. }
                | Event::RequestTimerCancel(_)
                | Event::RequestClose => {}
            }
        }
        Ok(said)
    }
}

/// The connection is of no more use.
fn broken(error: &MqttError) -> BrokerError {
    BrokerError::ChannelClosed(format!("MQTT: {error}"))
}
