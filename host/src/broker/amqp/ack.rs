//! Which acknowledgements to write, and when: a state machine without I/O.
//!
//! Delivery tags of a channel count up from 1 without gaps, and each is settled once. Acks that are
//! contiguous from the oldest open tag become one `multiple` ack. It names a tag that the broker
//! still holds, and spans only tags that are acked with it or already off the wire: RabbitMQ
//! closes the channel for anything else. Acks behind an open tag wait for it, until there are many
//! or [`Coalescer::flush`] is called; then they are written singly. Nacks are written at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::Settlement;

#[cfg(test)]
mod tests;

/// A method to write, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// `basic.ack`
    Ack {
        /// The delivery tag.
        tag: u64,
        /// With all before it.
        multiple: bool,
    },
    /// `basic.nack` of one delivery
    Nack {
        /// The delivery tag.
        tag: u64,
        /// Back to its queue instead of dead-lettered.
        requeue: bool,
    },
}

/// The settlements of one channel that are asked for and not written yet.
#[derive(Debug)]
pub(crate) struct Coalescer {
    /// Every tag below it is written.
    next: u64,
    /// Acked behind an open tag, not written.
    waiting: BTreeSet<u64>,
    /// Written behind an open tag: first to last of each run. No more runs than open tags.
    written: BTreeMap<u64, u64>,
    /// So many waiting are too many.
    burst: usize,
}

impl Coalescer {
    /// For a channel of that prefetch.
    pub(crate) fn new(prefetch: u16) -> Self {
        Self {
            next: 1,
            waiting: BTreeSet::new(),
            written: BTreeMap::new(),
            burst: usize::from(prefetch / 4).max(1),
        }
    }

    /// Notes a settlement; a nack is written at once. `false`: the tag was settled before.
    pub(crate) fn settle(
        &mut self,
        tag: u64,
        settlement: Settlement,
        out: &mut Vec<Frame>,
    ) -> bool {
        if tag < self.next || self.waiting.contains(&tag) || self.is_written(tag) {
            return false;
        }
        match settlement {
            Settlement::Ack => {
                self.waiting.insert(tag);
            }
            Settlement::DeadLetter | Settlement::Release => {
                out.push(Frame::Nack { tag, requeue: settlement == Settlement::Release });
                self.mark_written(tag);
            }
        }
        true
    }

    /// Writes what is contiguous, and the rest too if much is waiting.
    pub(crate) fn collect(&mut self, out: &mut Vec<Frame>) {
        let mut last = None;
        let mut acks = 0;
        loop {
            if self.waiting.remove(&self.next) {
                last = Some(self.next);
                acks += 1;
                self.next += 1;
            } else if let Some(end) = self.written.remove(&self.next) {
                self.next = end + 1;
            } else {
                break;
            }
        }
        if let Some(tag) = last {
            out.push(Frame::Ack { tag, multiple: acks > 1 });
        }
        if self.waiting.len() >= self.burst {
            self.flush(out);
        }
    }

    /// Writes every ack that waits behind an open tag.
    pub(crate) fn flush(&mut self, out: &mut Vec<Frame>) {
        while let Some(tag) = self.waiting.pop_first() {
            out.push(Frame::Ack { tag, multiple: false });
            self.mark_written(tag);
        }
    }

    /// Whether acks wait behind an open tag.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn is_written(&self, tag: u64) -> bool {
        self.written.range(..=tag).next_back().is_some_and(|(_, end)| *end >= tag)
    }

    /// Adds the tag to the runs, joining its neighbours.
    fn mark_written(&mut self, tag: u64) {
        let mut start = tag;
        let mut end = tag;
        if let Some((before, before_end)) = self.written.range(..tag).next_back()
            && before_end + 1 == tag
        {
            start = *before;
        }
        if let Some(after_end) = self.written.remove(&(tag + 1)) {
            end = after_end;
        }
        self.written.insert(start, end);
    }
}
