//! What only RabbitMQ can show: connections that break, channels that the broker closes, arguments
//! that it refuses.

use crate::rabbit::RabbitNode;

#[tokio::test]
async fn a_node_of_ones_own_stops_dies_and_comes_back() {
    let own = RabbitNode::start_fresh();
    own.raw().await;
    own.stop();
    own.restart();
    own.raw().await;
    own.kill9();
    own.restart();
    own.raw().await;
}
