//! Publishing to MQTT with QoS 1: what the broker acknowledges is confirmed.
//!
//! There are no exchanges, so the exchange is the default one, and the routing key says the topic: the one
//! that the message came by, where the key is still that topic's, else the key with `/` for `.`. Version 5
//! says when nobody is subscribed; before it, whatever is acknowledged counts as confirmed.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::access::{Access, Guest};
use super::session::Line;
use super::wire::{Said, ToPublish};
use crate::broker::{BrokerError, Outgoing, Published, Publisher};
use crate::limits::{BROKER_ANSWER, CONFIRM_TIMEOUT, MQTT_PUBLISH_WINDOW, MQTT_STRING_BYTES};
use crate::message::{FieldValue, Properties};
use crate::topic::{TOPIC, topic_of};

/// The header that has a message kept for those who subscribe later.
const RETAIN: &str = "mqtt-retain";
/// Headers that aren't for anybody outside.
const OWN: [&str; 2] = ["mqtt-", "sluicegate-"];

/// Publishes on a connection of its own.
pub(super) struct MqttPublisher {
    access: Arc<Access>,
    open: Shared,
    /// Gives signs of life while nothing is published.
    alive: JoinHandle<()>,
}

/// Whoever holds it may use the connection; there is none after an error, until the next group.
type Shared = Arc<Mutex<Option<Open>>>;

/// A connection, and how many publishes may be under way on it.
struct Open {
    line: Line,
    window: usize,
    access: Arc<Access>,
}

impl MqttPublisher {
    pub(super) async fn open(access: Arc<Access>) -> Result<Self, BrokerError> {
        let open = Arc::new(Mutex::new(Some(Open::new(&access).await?)));
        let alive = tokio::spawn(stay_alive(Arc::clone(&access), Arc::downgrade(&open)));
        Ok(Self { access, open, alive })
    }

    /// Publishes what can be, and notes what becomes of each.
    async fn try_publish(
        &self,
        group: &[Outgoing],
        outcomes: &mut [Option<Published>],
    ) -> Result<(), BrokerError> {
        let mut shared = self.open.lock().await;
        let mut open = match shared.take() {
            Some(open) => open,
            None => Open::new(&self.access).await?,
        };
        let mut under_way: HashMap<u16, usize> = HashMap::new();
        for (place, outgoing) in group.iter().enumerate() {
            let topic = match self.topic(outgoing) {
                Ok(topic) => topic,
                Err(outcome) => {
                    outcomes[place] = Some(outcome);
                    continue;
                }
            };
            while under_way.len() >= open.window {
                open.hear(&mut under_way, outcomes).await?;
            }
            let what = to_publish(&topic, outgoing);
            match open.line.publish(&what).await? {
                Ok(id) => drop(under_way.insert(id, place)),
                Err(why) => outcomes[place] = Some(Published::Impossible(why)),
            }
        }
        while !under_way.is_empty() {
            open.hear(&mut under_way, outcomes).await?;
        }
        *shared = Some(open);
        Ok(())
    }

    fn topic(&self, outgoing: &Outgoing) -> Result<String, Published> {
        if !outgoing.exchange.is_empty() {
            let name = &outgoing.exchange;
            return Err(Published::NoTarget(format!("MQTT has no exchange '{name}'")));
        }
        let came_by = outgoing.properties.headers.text(TOPIC);
        let topic = topic_of(&outgoing.routing_key, came_by, self.access.config.separator);
        if topic.is_empty() || topic.len() > MQTT_STRING_BYTES || topic.contains(['+', '#', '\0']) {
            let why = format!("'{topic}' is no topic to publish to");
            return Err(Published::Impossible(why));
        }
        Ok(topic)
    }
}

/// Keeps an idle connection from being taken for a dead one, by the broker and by what is in between. What turns out
/// to be dead is opened anew with the next group.
async fn stay_alive(access: Arc<Access>, open: Weak<Mutex<Option<Open>>>) {
    let pause = access.config.keep_alive;
    loop {
        let Some(shared) = open.upgrade() else { return };
        let mut now = shared.lock().await;
        if let Some(line) = now.as_mut().filter(|open| open.is_silent())
            && let Err(error) = line.show_life().await
        {
            *now = None;
            let mut book = access.book();
            (book.broken, book.last_error) = (true, Some(error.to_string()));
        }
        let due = now.as_ref().and_then(|open| open.line.next_ping());
        drop(now);
        drop(shared);
        sleep_until(due.unwrap_or_else(|| Instant::now() + pause)).await;
    }
}

#[async_trait]
impl Publisher for MqttPublisher {
    async fn publish(&mut self, group: &[Outgoing]) -> Vec<Published> {
        let mut outcomes = vec![None; group.len()];
        let deadline = Instant::now() + CONFIRM_TIMEOUT;
        let tried = timeout_at(deadline, self.try_publish(group, &mut outcomes)).await;
        let why = match tried {
            Ok(Ok(())) => String::new(),
            Ok(Err(error)) => {
                let mut book = self.access.book();
                (book.broken, book.last_error) = (true, Some(error.to_string()));
                error.to_string()
            }
            Err(_) => format!("no acknowledgement within {CONFIRM_TIMEOUT:?}"),
        };
        outcomes
            .into_iter()
            .map(|it| it.unwrap_or_else(|| Published::Unknown(why.clone())))
            .collect()
    }
}

impl Open {
    async fn new(access: &Arc<Access>) -> Result<Self, BrokerError> {
        let (line, welcome) = access.connect(&Guest::Publisher).await?;
        let allowed = welcome.receive_maximum.unwrap_or(u16::MAX);
        access.publishers.fetch_add(1, Ordering::AcqRel);
        Ok(Self {
            line,
            window: usize::from(allowed.clamp(1, MQTT_PUBLISH_WINDOW)),
            access: Arc::clone(access),
        })
    }

    /// Whether the broker must hear something.
    fn is_silent(&self) -> bool {
        self.line.next_ping().is_some_and(|due| due <= Instant::now())
    }

    /// Says something, and waits until the broker does.
    async fn show_life(&mut self) -> Result<(), BrokerError> {
        self.line.say(|wire, out| wire.ping(out)).await?;
        match timeout(BROKER_ANSWER, self.line.hear()).await {
            Ok(Ok((Said::Goodbye(why), _))) => Err(BrokerError::Unreachable(why)),
            Ok(heard) => heard.map(|_| ()),
            Err(_) => Err(BrokerError::Unreachable(format!("no answer within {BROKER_ANSWER:?}"))),
        }
    }

    /// Waits for an acknowledgement.
    async fn hear(
        &mut self,
        under_way: &mut HashMap<u16, usize>,
        outcomes: &mut [Option<Published>],
    ) -> Result<(), BrokerError> {
        match self.line.hear().await?.0 {
            Said::Acknowledged(id, outcome) => {
                if let Some(place) = under_way.remove(&id) {
                    outcomes[place] = Some(outcome);
                }
                Ok(())
            }
            Said::Goodbye(why) => Err(BrokerError::Unreachable(why)),
            _ => Ok(()),
        }
    }
}

impl Drop for MqttPublisher {
    fn drop(&mut self) {
        self.alive.abort();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.access.publishers.fetch_sub(1, Ordering::AcqRel);
    }
}

fn to_publish<'o>(topic: &'o str, outgoing: &'o Outgoing) -> ToPublish<'o> {
    let properties = &outgoing.properties;
    let Properties { content_type, correlation_id, reply_to, expiration, .. } = properties;
    let in_ms: Option<u64> = expiration.as_deref().and_then(|it| it.parse().ok());
    let named = [
        ("message-id", &properties.message_id),
        ("content-encoding", &properties.content_encoding),
        ("type", &properties.kind),
        ("priority", &properties.priority.map(|it| it.to_string())),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let is_own = |name: &str| OWN.iter().any(|own| name.starts_with(own));
    let headers = properties.headers.iter().filter(|(name, _)| !is_own(name));
    let headers = headers.filter_map(|(name, value)| Some((name, said(value)?)));
    ToPublish {
        topic,
        payload: &outgoing.body,
        retain: properties.headers.get(RETAIN) == Some(&FieldValue::Bool(true)),
        content_type: content_type.as_deref(),
        correlation: correlation_id.as_deref(),
        response_topic: reply_to.as_deref(),
        expiry: in_ms.and_then(|it| u32::try_from(it.div_ceil(1000)).ok()),
        user: named.chain(headers).collect(),
    }
}

/// A header's value as text, where it is a scalar.
fn said(value: &FieldValue) -> Option<String> {
    match value {
        FieldValue::Bool(it) => Some(it.to_string()),
        FieldValue::F32(it) => Some(it.to_string()),
        FieldValue::F64(it) => Some(it.to_string()),
        FieldValue::Timestamp(it) => Some(it.to_string()),
        _ => value.as_text().map(str::to_owned).or_else(|| Some(value.as_i64()?.to_string())),
    }
}
