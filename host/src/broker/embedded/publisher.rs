//! Publishing into the model, with the refusals that a client library makes by itself.

use std::sync::Arc;

use async_trait::async_trait;

use super::Shared;
use super::queue::parse_expiration;
use crate::broker::{Outgoing, Published, Publisher};
use crate::limits::{FRAME_BYTES, PUBLISH_BYTES, SHORT_STRING_BYTES};

/// A publisher on the embedded broker.
pub(super) struct EmbeddedPublisher {
    pub(super) shared: Arc<Shared>,
}

#[async_trait]
impl Publisher for EmbeddedPublisher {
    async fn publish(&mut self, group: &[Outgoing]) -> Vec<Published> {
        let outcomes = match self.shared.outage() {
            Some(outage) => vec![Published::Unknown(outage.to_owned()); group.len()],
            None => self.shared.with(|model, now| {
                let publish = |outgoing| match impossible(outgoing) {
                    Some(why) => Published::Impossible(why),
                    None => self.shared.told(model.publish(outgoing, now)),
                };
                group.iter().map(publish).collect()
            }),
        };
        // Confirms take a while on a real broker; here others get their turn.
        tokio::task::yield_now().await;
        outcomes
    }
}

/// Why a message could never be published, if so.
fn impossible(outgoing: &Outgoing) -> Option<String> {
    let body = outgoing.body.len();
    if body > PUBLISH_BYTES {
        return Some(format!("body of {body} bytes, {PUBLISH_BYTES} at most"));
    }
    let key = outgoing.routing_key.len();
    if key > SHORT_STRING_BYTES {
        return Some(format!("routing key of {key} bytes, {SHORT_STRING_BYTES} at most"));
    }
    let headers = outgoing.properties.headers.wire_bytes();
    if headers > FRAME_BYTES {
        return Some(format!("headers of {headers} bytes, {FRAME_BYTES} at most"));
    }
    let expiration = outgoing.properties.expiration.as_deref()?;
    match parse_expiration(expiration) {
        Some(_) => None,
        None => Some(format!("expiration '{expiration}' is no number of milliseconds")),
    }
}
