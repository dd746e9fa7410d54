//! A plain client, which blocks: what others see of a broker.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Connection, Event};
use mqtt_protocol_core::mqtt::packet::v3_1_1;
use mqtt_protocol_core::mqtt::packet::{
    GenericPacketTrait as _, Packet, Property, Qos, SessionExpiryInterval, SubEntry, SubOpts,
    UserProperty, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;
use mqtt_protocol_core::mqtt::{Version, role};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Publishes that are under way at once: what Mosquitto allows.
const WINDOW: usize = 20;

/// A client, version 5.
pub(crate) struct Client {
    stream: TcpStream,
    connection: Connection<role::Client>,
    buffer: VecDeque<u8>,
    came: VecDeque<Packet>,
    under_way: usize,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retained: bool,
}

impl Client {
    /// Connects; a clean one leaves nothing behind.
    pub(crate) fn connect(port: u16, name: &str, clean: bool) -> Self {
        Self::connect_as(port, name, clean, None)
    }

    /// The same with user and password.
    pub(crate) fn connect_as(
        port: u16,
        name: &str,
        clean: bool,
        login: Option<(&str, &str)>,
    ) -> Self {
        let mut client = Self::open(port, Version::V5_0);
        let mut connect =
            v5_0::Connect::builder().client_id(name).unwrap().clean_start(clean).keep_alive(0);
        if let Some((user, password)) = login {
            connect = connect.user_name(user).unwrap().password(password).unwrap();
        }
        if !clean {
            let expiry = SessionExpiryInterval::new(3600).unwrap();
            connect = connect.props(vec![Property::SessionExpiryInterval(expiry)]);
        }
        client.send(Packet::V5_0Connect(connect.build().unwrap()));
        match client.next() {
            Packet::V5_0Connack(connack) => {
                assert_eq!(connack.reason_code(), ConnectReasonCode::Success);
            }
            other => panic!("{other}"),
        }
        client
    }

    /// Connects with 3.1.1, which is all that RabbitMQ's plugin speaks before 3.13.
    pub(crate) fn connect_v3(port: u16, name: &str, login: (&str, &str)) -> Self {
        let connect = v3_1_1::Connect::builder()
            .client_id(name)
            .unwrap()
            .clean_session(true)
            .keep_alive(0)
            .user_name(login.0)
            .unwrap()
            .password(login.1)
            .unwrap();
        let mut client = Self::open(port, Version::V3_1_1);
        client.send(Packet::V3_1_1Connect(connect.build().unwrap()));
        assert!(matches!(client.next(), Packet::V3_1_1Connack(_)));
        client
    }

    fn open(port: u16, version: Version) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            connection: Connection::new(version),
            buffer: VecDeque::new(),
            came: VecDeque::new(),
            under_way: 0,
        }
    }

    /// Publishes with QoS 1 and waits until all so far is acknowledged.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.begin(topic, payload, &[], false);
        self.settle();
    }

    /// The same with user properties.
    pub(crate) fn publish_with(&mut self, topic: &str, payload: &[u8], user: &[(&str, &str)]) {
        self.begin(topic, payload, user, false);
        self.settle();
    }

    /// The same, kept for those who subscribe later.
    pub(crate) fn retain(&mut self, topic: &str, payload: &[u8]) {
        self.begin(topic, payload, &[], true);
        self.settle();
    }

    /// Publishes many with QoS 1, and waits until all are acknowledged.
    pub(crate) fn publish_all(&mut self, messages: impl Iterator<Item = (String, Vec<u8>)>) {
        for (topic, payload) in messages {
            self.begin(&topic, &payload, &[], false);
            while self.under_way >= WINDOW {
                self.acknowledged();
            }
        }
        self.settle();
    }

    /// Subscribes with QoS 1.
    pub(crate) fn subscribe(&mut self, filter: &str) {
        let id = self.connection.acquire_packet_id().unwrap();
        let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
        if self.is_v3() {
            let entries = vec![SubEntry::new(filter, options).unwrap()];
            let subscribe = v3_1_1::Subscribe::builder().packet_id(id).entries(entries);
            self.send(Packet::V3_1_1Subscribe(subscribe.build().unwrap()));
        } else {
            let entries = vec![SubEntry::new(filter, options.set_rap(true)).unwrap()];
            let subscribe = v5_0::Subscribe::builder().packet_id(id).entries(entries);
            self.send(Packet::V5_0Subscribe(subscribe.build().unwrap()));
        }
        loop {
            match self.next() {
                Packet::V3_1_1Suback(_) => return,
                Packet::V5_0Suback(suback) => {
                    assert!(suback.reason_codes().iter().all(|code| code.is_success()), "{suback}");
                    return;
                }
                other => self.came.push_back(other),
            }
        }
    }

    /// The next message that came, acknowledged.
    pub(crate) fn receive(&mut self) -> Came {
        loop {
            let packet = self.came.pop_front().unwrap_or_else(|| self.next());
            if let Packet::V3_1_1Publish(publish) = packet {
                if let Some(id) = publish.packet_id() {
                    let puback = v3_1_1::Puback::builder().packet_id(id).build().unwrap();
                    self.send(Packet::V3_1_1Puback(puback));
                }
                return Came {
                    topic: publish.topic_name().to_owned(),
                    payload: publish.payload().as_slice().to_vec(),
                    retained: publish.retain(),
                };
            }
            let Packet::V5_0Publish(publish) = packet else { continue };
            if let Some(id) = publish.packet_id() {
                let puback = v5_0::Puback::builder().packet_id(id).build().unwrap();
                self.send(Packet::V5_0Puback(puback));
            }
            return Came {
                topic: publish.topic_name().to_owned(),
                payload: publish.payload().as_slice().to_vec(),
                retained: publish.retain(),
            };
        }
    }

    fn begin(&mut self, topic: &str, payload: &[u8], user: &[(&str, &str)], retain: bool) {
        let id = self.connection.acquire_packet_id().unwrap();
        self.under_way += 1;
        if self.is_v3() {
            let publish = v3_1_1::Publish::builder()
                .topic_name(topic)
                .unwrap()
                .qos(Qos::AtLeastOnce)
                .retain(retain)
                .packet_id(id)
                .payload(payload.to_vec());
            return self.send(Packet::V3_1_1Publish(publish.build().unwrap()));
        }
        let user = user
            .iter()
            .map(|(name, value)| Property::UserProperty(UserProperty::new(*name, *value).unwrap()));
        let publish = v5_0::Publish::builder()
            .topic_name(topic)
            .unwrap()
            .qos(Qos::AtLeastOnce)
            .retain(retain)
            .packet_id(id)
            .props(user.collect::<Vec<_>>())
            .payload(payload.to_vec())
            .build()
            .unwrap();
        self.send(Packet::V5_0Publish(publish));
    }

    fn is_v3(&self) -> bool {
        self.connection.get_protocol_version() == Version::V3_1_1
    }

    fn settle(&mut self) {
        while self.under_way > 0 {
            self.acknowledged();
        }
    }

    fn acknowledged(&mut self) {
        match self.next() {
            Packet::V3_1_1Puback(_) => self.under_way -= 1,
            Packet::V5_0Puback(puback) => {
                let good = puback.reason_code().is_none_or(|code| code.is_success());
                assert!(good, "{puback}");
                self.under_way -= 1;
            }
            other => self.came.push_back(other),
        }
    }

    fn send(&mut self, packet: Packet) {
        for event in self.connection.send(packet) {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.stream.write_all(&packet.to_continuous_buffer()).unwrap();
                }
                Event::NotifyError(error) => panic!("{error}"),
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Packet {
        let mut chunk = [0; 16 * 1024];
        loop {
            let bytes = self.buffer.make_contiguous();
            let mut cursor = Cursor::new(&*bytes);
            let events = self.connection.recv(&mut cursor);
            let taken = usize::try_from(cursor.position()).unwrap();
            self.buffer.drain(..taken);
            for event in events {
                match event {
                    Event::NotifyPacketReceived(packet) => return packet,
                    Event::NotifyError(error) => panic!("{error}"),
                    _ => {}
                }
            }
            if !self.buffer.is_empty() {
                continue;
            }
            let read = self.stream.read(&mut chunk).expect("an answer in time");
            assert!(read > 0, "the broker hung up");
            self.buffer.extend(&chunk[..read]);
        }
    }
}
