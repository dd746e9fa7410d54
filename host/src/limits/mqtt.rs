//! Bounds and defaults of MQTT.

use std::time::Duration;

use super::MIB;

/// MQTT's keep-alive: the broker ends a connection that is silent for one and a half times as long.
pub const MQTT_KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Shortest keep-alive that a config may ask for; the protocol counts seconds.
pub const MQTT_KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);
/// Longest keep-alive: the protocol counts seconds in 16 bits.
pub const MQTT_KEEP_ALIVE_MAX: Duration = Duration::from_secs(65_535);
/// How long a broker keeps the session of a host that is away, and with it what comes meanwhile.
pub const MQTT_SESSION_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes of a payload; what is larger goes to the quarantine.
pub const MQTT_PAYLOAD_BYTES: usize = MIB;
/// Most bytes of a payload that a config may let in: copies of it must be publishable.
pub const MQTT_PAYLOAD_BYTES_MAX: u64 = super::PUBLISH_BYTES as u64;
/// Files of a broker's quarantine; the oldest go first.
pub const MQTT_QUARANTINE_FILES: usize = 100;
/// Most files of a quarantine that a config may ask for: the folder is listed for each.
pub const MQTT_QUARANTINE_FILES_MAX: usize = 10_000;
/// Bytes of a broker's quarantine; of a payload past that the beginning is kept.
pub const MQTT_QUARANTINE_BYTES: u64 = 64 * MIB as u64;
/// Most bytes of a quarantine that a config may ask for.
pub const MQTT_QUARANTINE_BYTES_MAX: u64 = 1 << 40;
/// Filters of one session: the broker compares each with each message.
pub const MQTT_FILTERS: usize = 256;
/// Bytes of a topic, a filter, a client's name: the protocol counts them in 16 bits.
pub const MQTT_STRING_BYTES: usize = 65_535;
/// Bytes of a message's topic and properties together; past that the properties are left out.
pub const MQTT_HEAD_BYTES: usize = 128 * 1024;
/// Bytes that are read of a connection at once.
pub const MQTT_READ_BYTES: usize = 64 * 1024;
/// Bytes of a packet that is no message: acknowledgements and the like.
pub const MQTT_CONTROL_BYTES: usize = 64 * 1024;
/// How long a broker may take to hang up on a client that said goodbye.
pub const MQTT_FAREWELL: Duration = Duration::from_secs(2);
/// Unconfirmed publishes of one connection, unless the broker allows fewer.
pub const MQTT_PUBLISH_WINDOW: u16 = 1000;
/// The folder of quarantines in the state folder, with one folder for each broker.
pub const QUARANTINE: &str = "quarantine";
