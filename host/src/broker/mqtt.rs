//! A broker that speaks MQTT, 3.1.1 or 5, by way of a library that knows the protocol and does no I/O.
//!
//! A queue is a session here: a client id that the broker remembers, and the filters that it is subscribed
//! to. Each consumer has a connection of its own. A message is acknowledged when its receipt is settled,
//! in the order in which it came; one that is released is handed out again by the same consumer, or sent
//! again by the broker when the session is next connected. What MQTT has no word for is unsupported:
//! exchanges, bindings, looking into queues.
//!
//! | file | what it does |
//! |---|---|
//! | `access`, `dial` | connecting, and what is known of it; where and as whom |
//! | `wire` | packets of both versions; only there is the library known |
//! | `frames`, `quarantine` | whole packets of a bounded size; where what is too large goes |
//! | `session`, `window` | one connection; what it has handed over, and which acknowledgement is due |
//! | `consumer`, `publisher`, `message` | deliveries; publishes; a message in AMQP's words |

mod access;
mod consumer;
mod dial;
mod frames;
mod message;
mod publisher;
mod quarantine;
mod session;
mod window;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::time::timeout;

use self::access::{Access, Guest, Past};
use self::consumer::{MqttConsumer, SessionSettler};
use self::publisher::MqttPublisher;
use self::session::{Session, Shared};
use self::window::{Settled, Window};
use self::wire::Said;
use super::{
    Broker, BrokerError, CLIENT_ID, ConsumeRequest, Consumer, Declaration, Declared, Depth,
    LinkState, Publisher, QOS, Server, Version,
};
use crate::config::{Mqtt, MqttVersion};
use crate::limits::CONNECT_TIMEOUT;
use crate::message::FieldValue;
use crate::topic::topic_of;

/// A broker that speaks MQTT.
pub struct MqttBroker {
    access: Arc<Access>,
    dropped: Arc<AtomicU64>,
}

/// What a request says of a session.
struct Wanted {
    client_id: String,
    filters: Vec<(String, u8)>,
}

impl MqttBroker {
    /// A broker of that name, not connected yet.
    #[must_use]
    pub fn new(name: &str, config: Mqtt) -> Arc<Self> {
        Arc::new(Self { access: Arc::new(Access::new(name, config)), dropped: Arc::default() })
    }

    /// Connects a session and has it subscribed to what it should be. What comes meanwhile is taken in.
    async fn open(
        &self,
        name: &str,
        wanted: &Wanted,
        prefetch: u16,
    ) -> Result<Session, BrokerError> {
        let guest = Guest::Session(&wanted.client_id, prefetch);
        let (line, welcome) = self.access.connect(&guest).await?;
        let past = self.access.book().pasts.remove(&wanted.client_id).unwrap_or_default();
        let known = welcome.session_present && past.filters == wanted.filters;
        let gone = past.filters.into_iter().map(|(filter, _)| filter);
        let gone: Vec<String> = gone
            .filter(|filter| {
                welcome.session_present && wanted.filters.iter().all(|it| it.0 != *filter)
            })
            .collect();
        let settled = if welcome.session_present { past.settled } else { Settled::new() };
        let mut session = Session {
            line,
            shared: Shared::new(Window::new(prefetch, settled)),
            keeper: self.access.keeper(),
            max_payload: self.access.config.max_payload,
            name: name.to_owned(),
        };
        // Subscribing again would bring what is retained again, before version 5.
        if !known {
            let subscribing = async {
                self.subscribe(&mut session, wanted).await?;
                Self::unsubscribe(&mut session, &gone).await
            };
            match timeout(CONNECT_TIMEOUT, subscribing).await {
                Ok(subscribed) => subscribed?,
                Err(_) => {
                    let why = format!("no subscription within {CONNECT_TIMEOUT:?}");
                    return Err(BrokerError::Unreachable(why));
                }
            }
        }
        Ok(session)
    }

    /// Ends what this process had the session subscribed to and its config names no more.
    async fn unsubscribe(session: &mut Session, filters: &[String]) -> Result<(), BrokerError> {
        if filters.is_empty() {
            return Ok(());
        }
        session.line.say(|wire, out| wire.unsubscribe(filters, out)).await?;
        loop {
            let (said, frame) = session.line.hear().await?;
            if matches!(said, Said::Unsubscribed) {
                return Ok(());
            }
            session.understand(said, frame)?;
        }
    }

    async fn subscribe(&self, session: &mut Session, wanted: &Wanted) -> Result<(), BrokerError> {
        session.line.say(|wire, out| wire.subscribe(&wanted.filters, out)).await?;
        loop {
            let (said, frame) = session.line.hear().await?;
            let Said::Subscribed(answers) = said else {
                session.understand(said, frame)?;
                continue;
            };
            for ((filter, qos), answer) in wanted.filters.iter().zip(answers) {
                match answer {
                    Ok(granted) if granted < *qos => tracing::warn!(
                        broker = self.access.name,
                        session = session.name,
                        filter,
                        granted,
                        "the broker grants less than was asked for: messages may be lost"
                    ),
                    Ok(_) => {}
                    Err(why) => {
                        return Err(BrokerError::Forbidden(format!(
                            "subscribing session '{}' to '{filter}': {why}",
                            session.name
                        )));
                    }
                }
            }
            return Ok(());
        }
    }
}

#[async_trait]
impl Broker for MqttBroker {
    async fn server(&self) -> Result<Server, BrokerError> {
        let (line, _) = self.access.connect(&Guest::Passing).await?;
        // It was reached, which is all that was asked.
        let _gone = line.leave().await;
        let version = match self.access.config.version {
            MqttVersion::V3 => Version { major: 3, minor: 1, patch: 1 },
            MqttVersion::V5 => Version { major: 5, minor: 0, patch: 0 },
        };
        Ok(Server { product: "MQTT".to_owned(), version })
    }

    async fn declare(&self, object: &Declaration) -> Result<Declared, BrokerError> {
        let Declaration::Queue(queue) = object else {
            return Err(unsupported(&format!("declaring {object}")));
        };
        let wanted = Wanted::of(&queue.name, std::slice::from_ref(object));
        let session = self.open(&queue.name, &wanted, 1).await?;
        let settled = session.shared.book().window.take_settled();
        let left = session.line.leave().await;
        self.access.ended(wanted, settled, &left);
        left.map(|()| Declared { name: queue.name.clone(), messages: 0 })
    }

    async fn exists(&self, object: &Declaration) -> Result<bool, BrokerError> {
        Err(unsupported(&format!("asking for {object}")))
    }

    async fn depth(&self, queue: &str) -> Result<Depth, BrokerError> {
        Err(unsupported(&format!("looking into session '{queue}'")))
    }

    async fn consume(&self, request: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError> {
        let wanted = Wanted::of(&request.queue, &request.declare);
        let session = self.open(&request.queue, &wanted, request.prefetch.max(1)).await?;
        let shared = Arc::clone(&session.shared);
        let settler = Arc::new(SessionSettler {
            shared: Arc::clone(&shared),
            name: request.queue.clone(),
            dropped: Arc::clone(&self.dropped),
        });
        let access = Arc::clone(&self.access);
        access.sessions.fetch_add(1, Ordering::AcqRel);
        let book = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let ended = session.run().await;
            let settled = book.book().window.take_settled();
            access.sessions.fetch_sub(1, Ordering::AcqRel);
            access.ended(wanted, settled, &ended);
            ended
        });
        Ok(Box::new(MqttConsumer {
            name: request.queue,
            shared,
            settler,
            separator: self.access.config.separator,
            task: Some(task),
        }))
    }

    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError> {
        Ok(Box::new(MqttPublisher::open(Arc::clone(&self.access)).await?))
    }

    fn link(&self) -> LinkState {
        let book = self.access.book();
        LinkState {
            consume: self.access.sessions.load(Ordering::Acquire) > 0,
            publish: self.access.publishers.load(Ordering::Acquire) > 0,
            broken: book.broken,
            blocked: None,
            last_error: book.last_error.clone(),
            receipts_dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    async fn close(&self) {}
}

impl Access {
    /// Notes a session's end.
    fn ended(&self, wanted: Wanted, settled: Settled, ended: &Result<(), BrokerError>) {
        let mut book = self.book();
        if let Err(error) = ended {
            (book.broken, book.last_error) = (true, Some(error.to_string()));
        }
        book.pasts.insert(wanted.client_id, Past { filters: wanted.filters, settled });
    }
}

impl Wanted {
    /// What is declared of a session; one that isn't is called as its queue, and subscribed to the topic
    /// that has its name for a routing key.
    fn of(queue: &str, declared: &[Declaration]) -> Self {
        let mut client_id = queue.to_owned();
        let mut filters = Vec::new();
        for object in declared {
            match object {
                Declaration::Queue(queue) => {
                    if let Some(text) = queue.arguments.text(CLIENT_ID) {
                        text.clone_into(&mut client_id);
                    }
                }
                Declaration::Binding(binding) => {
                    let qos = binding.arguments.get(QOS).and_then(FieldValue::as_i64);
                    filters.push((binding.key.clone(), u8::from(qos != Some(0))));
                }
                Declaration::Exchange(_) => {}
            }
        }
        if filters.is_empty() {
            filters.push((topic_of(queue, None, '/'), 1));
        }
        Self { client_id, filters }
    }
}

fn unsupported(what: &str) -> BrokerError {
    BrokerError::Unsupported(format!("{what}: MQTT has no word for it"))
}
