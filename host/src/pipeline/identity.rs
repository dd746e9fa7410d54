//! Which message this is, so that one that was settled isn't processed again when the broker brings
//! it back.
//!
//! An identity is the message's id with its key and the digest of its body: producers count from 1, each for
//! itself, so the same id of another key, or with another body, is another message. Identities of settled messages are remembered for a time, up to a number.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use super::headers::History;
use crate::config::IdWindow;
use crate::maps::HashMap;
use crate::state::Remembered;

/// A message's identity at one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Digest of the id and the key, the same on every host. Those that share one by chance are told apart by
    /// the rest.
    pub id: u64,
    /// Digest of id, key, body, attempt and replays.
    pub whole: [u8; 16],
}

/// What is known of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Never,
    /// It was settled: its outputs are safe.
    Settled,
    /// It was dead-lettered, and that is told.
    DeadLettered,
    /// Its id was settled with another body or at an earlier attempt.
    OtherBody,
}

/// The identities that were settled lately.
#[derive(Debug)]
pub struct Window {
    limits: IdWindow,
    ids: HashMap<u64, Ends>,
    order: VecDeque<(Instant, Remembered)>,
    /// Those past the limits, of which the store needn't know any more.
    forgotten: Vec<Remembered>,
}

/// How messages of one id ended: the last one, and what is rare, others with another body or history.
#[derive(Debug)]
struct Ends {
    last: Ended,
    #[expect(clippy::box_collection, reason = "mostly there are none: a word instead of three")]
    others: Option<Box<Vec<Ended>>>,
}

/// The rest of an identity, and how it ended.
type Ended = ([u8; 16], End);

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Settled,
    DeadLettered,
    /// Dead-lettered, and brought back since.
    Reopened,
}

impl Identity {
    /// The identity of a message with that id, key and body. A retried or replayed message is a new
    /// delivery of the same message: its history keeps the copy apart from what led to it.
    #[must_use]
    pub fn new(id: &[u8], key: Option<&str>, body: &[u8], history: &History) -> Self {
        let mut whose = DefaultHasher::new();
        (id, key).hash(&mut whose);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(id.len() as u64).to_le_bytes()).update(id);
        if let Some(key) = key {
            hasher.update(&(key.len() as u64).to_le_bytes()).update(key.as_bytes());
        }
        hasher.update(&history.attempt.to_le_bytes());
        hasher.update(&history.replay_count.to_le_bytes()).update(body);
        Self { id: whose.finish(), whole: short(&hasher) }
    }
}

/// The first half of a digest.
pub(super) fn short(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    half
}

impl Window {
    /// An empty window of these limits.
    #[must_use]
    pub fn new(limits: IdWindow) -> Self {
        Self { limits, ids: HashMap::default(), order: VecDeque::new(), forgotten: Vec::new() }
    }

    /// The same under other limits, which count from the next that is remembered.
    #[must_use]
    pub fn within(self, limits: IdWindow) -> Self {
        Self { limits, ..self }
    }

    /// How many are remembered.
    #[must_use]
    pub fn size(&self) -> usize {
        self.order.len()
    }

    /// What all of these remember, dealt out anew: to so many windows of these limits, each identity to the one
    /// that `of` gives for its partition.
    #[must_use]
    pub fn deal(
        all: impl IntoIterator<Item = Self>,
        limits: IdWindow,
        (windows, of): (usize, impl Fn(usize) -> usize),
    ) -> Vec<Self> {
        let mut dealt: Vec<Vec<(Instant, Remembered, End)>> = vec![Vec::new(); windows];
        let mut made: Vec<Self> = dealt.iter().map(|_| Self::new(limits)).collect();
        let place =
            |one: &Remembered| of(usize::from(one.partition)).min(windows.saturating_sub(1));
        for Self { ids, order, forgotten, .. } in all {
            for (at, one) in order {
                let end = ids.get(&one.id).and_then(|ends| ends.get(&one.whole));
                dealt[place(&one)].extend(end.map(|end| (at, one, end)));
            }
            forgotten.into_iter().for_each(|one| made[place(&one)].forgotten.push(one));
        }
        for (window, mut known) in made.iter_mut().zip(dealt) {
            known.sort_by_key(|(at, ..)| *at);
            known.into_iter().for_each(|(at, one, end)| window.put(one, end, at));
        }
        made
    }

    /// What is known of this identity.
    #[must_use]
    pub fn seen(&self, identity: &Identity) -> Seen {
        let Some(ends) = self.ids.get(&identity.id) else { return Seen::Never };
        match ends.get(&identity.whole) {
            Some(End::Settled) => Seen::Settled,
            Some(End::DeadLettered) => Seen::DeadLettered,
            Some(End::Reopened) => Seen::Never,
            None if ends.all().any(|(_, end)| *end == End::Settled) => Seen::OtherBody,
            None => Seen::Never,
        }
    }

    /// Remembers a settled message, and forgets those past the limits.
    pub fn settle(&mut self, one: Remembered, now: Instant) {
        let end = if one.dead { End::DeadLettered } else { End::Settled };
        self.put(one, end, now);
        while self.order.len() > self.limits.entries
            || self.order.front().is_some_and(|(at, _)| self.is_old(*at, now))
        {
            self.forget_oldest();
        }
    }

    fn put(&mut self, one: Remembered, end: End, at: Instant) {
        let new = match self.ids.get_mut(&one.id) {
            Some(ends) => ends.set(one.whole, end),
            None => {
                self.ids.insert(one.id, Ends { last: (one.whole, end), others: None });
                true
            }
        };
        if new {
            self.order.push_back((at, one));
        }
    }

    /// Takes up what another host settled that long ago.
    pub fn recall(&mut self, one: Remembered, age: Duration, at: Instant) {
        if age > self.limits.age {
            self.forgotten.push(one);
        } else {
            self.settle(one, at);
        }
    }

    /// What was forgotten since it was last asked.
    pub fn take_forgotten(&mut self) -> Vec<Remembered> {
        std::mem::take(&mut self.forgotten)
    }

    /// A dead letter was brought back: it is to run again.
    pub fn reopen(&mut self, identity: &Identity) {
        if let Some(ends) = self.ids.get_mut(&identity.id)
            && ends.get(&identity.whole).is_some()
        {
            ends.set(identity.whole, End::Reopened);
        }
    }

    fn is_old(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) > self.limits.age.max(Duration::from_millis(1))
    }

    fn forget_oldest(&mut self) {
        if let Some((_, one)) = self.order.pop_front() {
            if self.ids.get_mut(&one.id).is_some_and(|ends| ends.forget(&one.whole)) {
                self.ids.remove(&one.id);
            }
            self.forgotten.push(one);
        }
    }
}

// === impl Ends ===

impl Ends {
    fn all(&self) -> impl Iterator<Item = &([u8; 16], End)> {
        std::iter::once(&self.last).chain(self.others.iter().flat_map(|others| others.iter()))
    }

    fn get(&self, whole: &[u8; 16]) -> Option<End> {
        self.all().find(|(known, _)| known == whole).map(|(_, end)| *end)
    }

    /// Whether that one is new.
    fn set(&mut self, whole: [u8; 16], end: End) -> bool {
        let others = self.others.iter_mut().flat_map(|others| others.iter_mut());
        let mut all = std::iter::once(&mut self.last).chain(others);
        if let Some(known) = all.find(|(known, _)| *known == whole) {
            known.1 = end;
            return false;
        }
        let before = std::mem::replace(&mut self.last, (whole, end));
        self.others.get_or_insert_default().push(before);
        true
    }

    /// Whether none is left.
    fn forget(&mut self, whole: &[u8; 16]) -> bool {
        let others = self.others.as_deref_mut();
        if self.last.0 == *whole {
            let Some(next) = others.and_then(Vec::pop) else { return true };
            self.last = next;
        } else if let Some(others) = others {
            others.retain(|(known, _)| known != whole);
        }
        self.others.take_if(|others| others.is_empty());
        false
    }
}

#[cfg(test)]
mod tests;
