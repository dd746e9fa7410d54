//! What a broker's packets say, in both versions.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{Packet, Property, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, PubackReasonCode, SubackReasonCode,
    SubackReturnCode,
};

use super::{Published, Said, Welcome};
use crate::broker::{BrokerError, Published as Outcome};

/// What a packet says, where the broker lets the client go on.
pub(super) fn understood(packet: Packet) -> Result<Said, BrokerError> {
    Ok(match packet {
        Packet::V3_1_1Connack(packet) => match packet.return_code() {
            ConnectReturnCode::Accepted => Said::Welcome(Welcome {
                session_present: packet.session_present(),
                ..Welcome::default()
            }),
            code => return Err(turned_away(&code.to_string(), is_no_entry_v3(code))),
        },
        Packet::V5_0Connack(packet) => match packet.reason_code() {
            ConnectReasonCode::Success => Said::Welcome(Welcome {
                session_present: packet.session_present(),
                keep_alive: packet.props().iter().find_map(|property| match property {
                    Property::ServerKeepAlive(seconds) => Some(seconds.val()),
                    _ => None,
                }),
                receive_maximum: packet.props().iter().find_map(|property| match property {
                    Property::ReceiveMaximum(most) => Some(most.val()),
                    _ => None,
                }),
            }),
            code => return Err(turned_away(&code.to_string(), is_no_entry_v5(code))),
        },
        Packet::V3_1_1Suback(packet) => {
            Said::Subscribed(packet.return_codes().into_iter().map(granted_v3).collect())
        }
        Packet::V5_0Suback(packet) => {
            Said::Subscribed(packet.reason_codes().into_iter().map(granted_v5).collect())
        }
        Packet::V3_1_1Unsuback(_) | Packet::V5_0Unsuback(_) => Said::Unsubscribed,
        Packet::V3_1_1Publish(packet) => Said::Published(Published {
            topic: packet.topic_name().to_owned(),
            packet_id: packet.packet_id(),
            duplicate: packet.dup(),
            retained: packet.retain(),
            payload: Bytes::copy_from_slice(packet.payload().as_slice()),
            ..Published::default()
        }),
        Packet::V5_0Publish(packet) => Said::Published(published(&packet)),
        Packet::V3_1_1Puback(packet) => Said::Acknowledged(packet.packet_id(), Outcome::Confirmed),
        Packet::V5_0Puback(packet) => {
            Said::Acknowledged(packet.packet_id(), outcome(packet.reason_code()))
        }
        Packet::V5_0Disconnect(packet) => {
            let code = packet.reason_code().unwrap_or(DisconnectReasonCode::NormalDisconnection);
            Said::Goodbye(match code {
                DisconnectReasonCode::SessionTakenOver => "another client took this session over: \
                    each host needs a `client_id` of its own"
                    .to_owned(),
                code => format!("the broker hung up: {code}"),
            })
        }
        _ => Said::Alive,
    })
}

/// What an acknowledgement says of the message.
fn outcome(code: Option<PubackReasonCode>) -> Outcome {
    match code {
        None | Some(PubackReasonCode::Success) => Outcome::Confirmed,
        Some(PubackReasonCode::NoMatchingSubscribers) => Outcome::Unroutable,
        Some(code @ (PubackReasonCode::NotAuthorized | PubackReasonCode::TopicNameInvalid)) => {
            Outcome::NoTarget(code.to_string())
        }
        Some(code @ PubackReasonCode::PayloadFormatInvalid) => {
            Outcome::Impossible(code.to_string())
        }
        Some(code) => Outcome::Refused(code.to_string()),
    }
}

fn published(packet: &v5_0::Publish) -> Published {
    let mut published = Published {
        topic: packet.topic_name().to_owned(),
        packet_id: packet.packet_id(),
        duplicate: packet.dup(),
        retained: packet.retain(),
        payload: Bytes::copy_from_slice(packet.payload().as_slice()),
        ..Published::default()
    };
    for property in packet.props() {
        match property {
            Property::ContentType(text) => published.content_type = Some(text.val().to_owned()),
            Property::ResponseTopic(text) => published.response_topic = Some(text.val().to_owned()),
            Property::CorrelationData(data) => {
                published.correlation = Some(Bytes::copy_from_slice(data.val()));
            }
            Property::MessageExpiryInterval(seconds) => published.expiry = Some(seconds.val()),
            Property::UserProperty(pair) => {
                published.user.push((pair.key().to_owned(), pair.val().to_owned()));
            }
            _ => {}
        }
    }
    published
}

fn is_no_entry_v3(code: ConnectReturnCode) -> bool {
    matches!(code, ConnectReturnCode::BadUserNameOrPassword | ConnectReturnCode::NotAuthorized)
}

fn is_no_entry_v5(code: ConnectReasonCode) -> bool {
    matches!(
        code,
        ConnectReasonCode::BadUserNameOrPassword
            | ConnectReasonCode::NotAuthorized
            | ConnectReasonCode::Banned
            | ConnectReasonCode::BadAuthenticationMethod
    )
}

fn turned_away(code: &str, no_entry: bool) -> BrokerError {
    if no_entry {
        BrokerError::Refused(format!("{code}; check user and password (`credentials`)"))
    } else {
        BrokerError::Unreachable(format!("the broker lets nobody in: {code}"))
    }
}

fn granted_v3(code: SubackReturnCode) -> Result<u8, String> {
    match code {
        SubackReturnCode::SuccessMaximumQos0 => Ok(0),
        SubackReturnCode::SuccessMaximumQos1 => Ok(1),
        SubackReturnCode::SuccessMaximumQos2 => Ok(2),
        SubackReturnCode::Failure => Err("the broker doesn't say why".to_owned()),
    }
}

fn granted_v5(code: SubackReasonCode) -> Result<u8, String> {
    match code {
        SubackReasonCode::GrantedQos0 => Ok(0),
        SubackReasonCode::GrantedQos1 => Ok(1),
        SubackReasonCode::GrantedQos2 => Ok(2),
        code => Err(code.to_string()),
    }
}
