//! What one connection has handed over and isn't acknowledged: a state machine without I/O.
//!
//! Messages are handed out in the order in which they came, one that was released again in its old place.
//! Acknowledgements are written in that order too, as MQTT wants them (3.1.1, 4.6): one that is settled
//! behind one that isn't waits. What waits when the connection ends is remembered, so that the same
//! process doesn't run it a second time when the broker sends it again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::wire::Published;
use crate::broker::{Settlement, Unfit};

#[cfg(test)]
mod tests;

/// Messages by packet id that were settled and whose acknowledgement was never written.
pub(super) type Settled = HashMap<u16, [u8; 32]>;

/// A message that is here.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) message: Arc<Published>,
    pub(super) unfit: Option<Unfit>,
    /// It was handed out before.
    pub(super) redelivered: bool,
}

/// One that the broker waits to hear of.
struct Unheard {
    tag: u64,
    packet_id: u16,
    message: Arc<Published>,
    settled: bool,
}

/// What one connection has handed over and isn't acknowledged.
pub(super) struct Window {
    prefetch: usize,
    last_tag: u64,
    /// By tag, lowest first.
    ready: BTreeMap<u64, Held>,
    out: BTreeMap<u64, Held>,
    unheard: VecDeque<Unheard>,
    /// What the connection before this one left.
    settled: Settled,
    cancelled: bool,
}

impl Window {
    pub(super) fn new(prefetch: u16, settled: Settled) -> Self {
        Self {
            prefetch: usize::from(prefetch.max(1)),
            last_tag: 0,
            ready: BTreeMap::new(),
            out: BTreeMap::new(),
            unheard: VecDeque::new(),
            settled,
            cancelled: false,
        }
    }

    /// Whether another message may be taken off the connection: what waits for its acknowledgement to be
    /// due is held too.
    pub(super) fn wants_more(&self) -> bool {
        let held = (self.ready.len() + self.out.len()).max(self.unheard.len());
        !self.cancelled && held < self.prefetch
    }

    /// Takes a message that came. Whether there is one to hand out.
    pub(super) fn arrived(&mut self, message: Published, unfit: Option<Unfit>) -> bool {
        self.last_tag += 1;
        let tag = self.last_tag;
        let message = Arc::new(message);
        if let Some(packet_id) = message.packet_id {
            let before = self.settled.remove(&packet_id);
            let settled = message.duplicate && before == Some(digest(&message));
            let message = Arc::clone(&message);
            self.unheard.push_back(Unheard { tag, packet_id, message, settled });
            if settled {
                return false;
            }
        }
        if !self.cancelled {
            let redelivered = message.duplicate;
            self.ready.insert(tag, Held { message, unfit, redelivered });
        }
        true
    }

    /// The next message to hand out, with its tag.
    pub(super) fn take(&mut self) -> Option<(u64, Held)> {
        if self.out.len() >= self.prefetch {
            return None;
        }
        let (tag, held) = self.ready.pop_first()?;
        self.out.insert(tag, held.clone());
        Some((tag, held))
    }

    /// Notes how a message was settled; gives one that is condemned, which isn't acknowledged before it is
    /// safe elsewhere: with another settlement.
    pub(super) fn settle(&mut self, tag: u64, settlement: Settlement) -> Option<Held> {
        match settlement {
            Settlement::DeadLetter => return self.out.get(&tag).cloned(),
            Settlement::Release => {
                if let Some(mut held) = self.out.remove(&tag)
                    && !self.cancelled
                {
                    held.redelivered = true;
                    self.ready.insert(tag, held);
                }
            }
            Settlement::Ack => {
                if self.out.remove(&tag).is_some()
                    && let Ok(place) = self.unheard.binary_search_by_key(&tag, |it| it.tag)
                {
                    self.unheard[place].settled = true;
                }
            }
        }
        None
    }

    /// The packet to acknowledge next, if it is time.
    pub(super) fn due(&mut self) -> Option<u16> {
        self.unheard.pop_front_if(|it| it.settled).map(|it| it.packet_id)
    }

    /// Hands out no more.
    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
        self.ready.clear();
    }

    /// What the connection after this one should know.
    pub(super) fn take_settled(&mut self) -> Settled {
        let unheard = self.unheard.drain(..).filter(|it| it.settled);
        let mut settled = std::mem::take(&mut self.settled);
        settled.extend(unheard.map(|it| (it.packet_id, digest(&it.message))));
        settled
    }
}

/// Tells messages apart that have one packet id.
fn digest(message: &Published) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(message.topic.as_bytes()).update(&[0]).update(&message.payload);
    *hasher.finalize().as_bytes()
}
