//! Packets that a client sends, in both versions.

use mqtt_protocol_core::mqtt::packet::{
    ContentType, CorrelationData, MessageExpiryInterval, Property, Qos, ReceiveMaximum,
    ResponseTopic, SessionExpiryInterval, UserProperty, WillDelayInterval, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::MqttError;

use super::{Hello, ToPublish};

pub(super) fn connect_v3(hello: &Hello<'_>) -> Result<v3_1_1::Connect, MqttError> {
    let mut builder = v3_1_1::Connect::builder()
        .client_id(hello.client_id)?
        .clean_session(hello.clean)
        .keep_alive(hello.keep_alive);
    if let Some(login) = hello.login {
        builder = builder.user_name(login.user.as_str())?.password(login.password.as_str())?;
    }
    if let Some(will) = hello.will {
        let payload = will.payload.as_str();
        builder =
            builder.will_message(will.topic.as_str(), payload, qos_of(will.qos), will.retain)?;
    }
    builder.build()
}

pub(super) fn connect_v5(hello: &Hello<'_>) -> Result<v5_0::Connect, MqttError> {
    let mut properties = Vec::new();
    if let Some(most) = hello.receive_maximum {
        properties.push(Property::ReceiveMaximum(ReceiveMaximum::new(most.max(1))?));
    }
    if !hello.clean {
        let expiry = SessionExpiryInterval::new(hello.session_expiry)?;
        properties.push(Property::SessionExpiryInterval(expiry));
    }
    let mut builder = v5_0::Connect::builder()
        .client_id(hello.client_id)?
        .clean_start(hello.clean)
        .keep_alive(hello.keep_alive);
    if let Some(login) = hello.login {
        builder = builder.user_name(login.user.as_str())?.password(login.password.as_str())?;
    }
    if let Some(will) = hello.will {
        let payload = will.payload.as_str();
        builder =
            builder.will_message(will.topic.as_str(), payload, qos_of(will.qos), will.retain)?;
        let delay = u32::try_from(will.delay.as_secs()).unwrap_or(u32::MAX);
        if delay > 0 {
            let delay = WillDelayInterval::new(delay)?;
            builder = builder.will_props(vec![Property::WillDelayInterval(delay)]);
        }
    }
    builder.props(properties).build()
}

pub(super) fn publish_v3(what: &ToPublish<'_>, id: u16) -> Result<v3_1_1::Publish, MqttError> {
    v3_1_1::Publish::builder()
        .topic_name(what.topic)?
        .qos(Qos::AtLeastOnce)
        .retain(what.retain)
        .packet_id(id)
        .payload(what.payload.to_vec())
        .build()
}

pub(super) fn publish_v5(what: &ToPublish<'_>, id: u16) -> Result<v5_0::Publish, MqttError> {
    let mut properties = Vec::new();
    if let Some(text) = what.content_type {
        properties.push(Property::ContentType(ContentType::new(text)?));
    }
    if let Some(text) = what.correlation {
        properties.push(Property::CorrelationData(CorrelationData::new(text)?));
    }
    if let Some(topic) = what.response_topic.filter(|it| !it.contains(['+', '#'])) {
        properties.push(Property::ResponseTopic(ResponseTopic::new(topic)?));
    }
    if let Some(seconds) = what.expiry {
        properties.push(Property::MessageExpiryInterval(MessageExpiryInterval::new(seconds)?));
    }
    for (name, value) in &what.user {
        properties.push(Property::UserProperty(UserProperty::new(*name, value.as_str())?));
    }
    v5_0::Publish::builder()
        .topic_name(what.topic)?
        .qos(Qos::AtLeastOnce)
        .retain(what.retain)
        .packet_id(id)
        .props(properties)
        .payload(what.payload.to_vec())
        .build()
}

pub(super) fn qos_of(qos: u8) -> Qos {
    if qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce }
}
