//! A real RabbitMQ for the tests, as the host and as plain lapin see it.
//!
//! [`node`] is shared by a test process; a test that stops, kills or throttles its broker takes one
//! for itself with [`RabbitNode::start_fresh`].

mod raw;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
pub(crate) use rabbit_node::tls_folder;
use sluicegate::broker::amqp::AmqpBroker;
use sluicegate::broker::{Broker as _, Version};
use sluicegate::config::{Amqp, Credentials, Tls};
use sluicegate::limits::HEARTBEAT;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

pub(crate) use self::raw::Raw;

/// How often it is asked for what it may not be yet.
const POLL: Duration = Duration::from_millis(50);

/// A RabbitMQ node that belongs to this process.
pub(crate) struct RabbitNode {
    node: Arc<rabbit_node::Node>,
}

/// The node that this process's tests share. The first caller waits for it to start.
pub(crate) fn node() -> &'static RabbitNode {
    static NODE: OnceLock<RabbitNode> = OnceLock::new();
    NODE.get_or_init(RabbitNode::start_fresh)
}

/// A node that one test at a time may disturb: break its connections, throttle it, kill it. The test
/// leaves it running and at peace.
pub(crate) async fn disturbed() -> Disturbed {
    static NODE: OnceLock<RabbitNode> = OnceLock::new();
    static TURN: AsyncMutex<()> = AsyncMutex::const_new(());
    let turn = TURN.lock().await;
    Disturbed { node: NODE.get_or_init(RabbitNode::start_fresh), _turn: turn }
}

/// A test's turn on the node that may be disturbed.
pub(crate) struct Disturbed {
    node: &'static RabbitNode,
    _turn: AsyncMutexGuard<'static, ()>,
}

/// A name that no other test of this process has.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

// === impl RabbitNode ===

impl RabbitNode {
    /// A node for one test alone. Ends when dropped.
    pub(crate) fn start_fresh() -> Self {
        Self { node: Arc::new(rabbit_node::Node::start()) }
    }

    /// One whose MQTT plugin is on.
    pub(crate) fn with_mqtt() -> Self {
        Self { node: Arc::new(rabbit_node::Node::start_with("rabbitmq_mqtt")) }
    }

    /// How the host is told of it.
    pub(crate) fn config(&self) -> Amqp {
        Amqp {
            urls: vec![self.bare_url()],
            credentials: Credentials::Default,
            tls: Tls::default(),
            heartbeat: HEARTBEAT,
            version: None,
            management: None,
            definitions: None,
        }
    }

    /// [`rabbit_node::Node::ctl`], while the test's connections stay alive.
    pub(crate) async fn ctl_alongside(&self, args: &[&str]) -> String {
        let node = Arc::clone(&self.node);
        let words: Vec<String> = args.iter().map(|&word| word.to_owned()).collect();
        let ran = tokio::task::spawn_blocking(move || {
            node.ctl(&words.iter().map(String::as_str).collect::<Vec<_>>())
        });
        ran.await.unwrap_or_else(|e| panic!("rabbitmqctl {args:?}: {e}"))
    }

    /// Whether a late acknowledgement costs the consumer; before 4.3 it costs its channel.
    pub(crate) async fn cancels_late_consumers(&self) -> bool {
        let server = AmqpBroker::new("version", self.config()).server().await;
        let version = server.unwrap_or_else(|e| panic!("the test node's version: {e}")).version;
        version >= Version { major: 4, minor: 3, patch: 0 }
    }

    /// A plain lapin connection and channel.
    pub(crate) async fn raw(&self) -> Raw {
        let connection = Connection::connect(&self.url(), ConnectionProperties::default())
            .await
            .unwrap_or_else(|e| panic!("plain connection to the test node: {e}"));
        let channel = connection
            .create_channel()
            .await
            .unwrap_or_else(|e| panic!("channel on the test node: {e}"));
        Raw { connection, channel }
    }
}

impl std::ops::Deref for RabbitNode {
    type Target = rabbit_node::Node;

    fn deref(&self) -> &rabbit_node::Node {
        &self.node
    }
}

impl std::ops::Deref for Disturbed {
    type Target = RabbitNode;

    fn deref(&self) -> &RabbitNode {
        self.node
    }
}
