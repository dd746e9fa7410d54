//! When what a file holds has settled: a state machine without a clock or a file system of its own.

use std::io;
use std::time::{Duration, Instant};

use crate::limits::{WATCH_PATIENCE, WATCH_SETTLE};

/// What tells a file from its former self without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Device and inode.
    pub(super) place: (u64, u64),
    /// In bytes.
    pub(super) size: u64,
    /// When its content was written, seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    /// When anything of it was.
    pub(super) changed: (i64, i64),
}

/// How far a file is.
#[derive(Debug)]
pub(super) struct Settling {
    /// The digest of what was told last.
    known: Option<String>,
    /// What the file looked like when nothing more was to be found out about it; the inner `None` is
    /// a file that wasn't there.
    done: Option<Option<Stamp>>,
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    stamp: Option<Stamp>,
    /// Of its content, once it was read.
    digest: Option<String>,
    /// When the first change was seen that nothing was told of yet.
    since: Instant,
}

/// What a look led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is new.
    Idle,
    /// Look again after that time.
    Again(Duration),
    /// This is in it now; its digest.
    Settled(Vec<u8>, String),
    /// It isn't getting fit for use.
    Trouble(String),
}

impl Settling {
    pub(super) fn new(known: Option<String>) -> Self {
        Self { known, done: None, last: None }
    }

    /// Looks at the file as it is now.
    pub(super) fn look(
        &mut self,
        now: Instant,
        stamp: impl Fn() -> io::Result<Stamp>,
        read: impl FnOnce() -> io::Result<(Vec<u8>, String)>,
        whole: fn(&[u8]) -> Result<(), String>,
    ) -> Step {
        let found = stamp();
        let seen = found.as_ref().ok().copied();
        if self.done == Some(seen) {
            self.last = None;
            return Step::Idle;
        }
        let since = self.last.as_ref().map_or(now, |last| last.since);
        let Some(last) = self.last.as_mut().filter(|last| last.stamp == seen) else {
            self.last = Some(Last { stamp: seen, digest: None, since });
            return self.again(now, since, seen, || "it doesn't come to rest".to_owned());
        };
        if let Err(error) = found {
            return self.again(now, since, seen, || format!("it can't be read: {error}"));
        }
        let (bytes, digest) = match read() {
            Ok(read) => read,
            Err(error) => return self.again(now, since, seen, || error.to_string()),
        };
        if stamp().ok() != seen {
            return Step::Again(WATCH_SETTLE);
        }
        if self.known.as_ref() == Some(&digest) {
            self.rest(seen);
            return Step::Idle;
        }
        if last.digest.as_ref() != Some(&digest) {
            last.digest = Some(digest);
            return Step::Again(WATCH_SETTLE);
        }
        if let Err(why) = whole(&bytes) {
            return self.again(now, since, seen, || format!("it isn't whole: {why}"));
        }
        self.known = Some(digest.clone());
        self.rest(seen);
        Step::Settled(bytes, digest)
    }

    /// It isn't fit yet: looked at again for a while, then it is told why.
    fn again(
        &mut self,
        now: Instant,
        since: Instant,
        seen: Option<Stamp>,
        why: impl FnOnce() -> String,
    ) -> Step {
        if now.saturating_duration_since(since) < WATCH_PATIENCE {
            return Step::Again(WATCH_SETTLE);
        }
        // What it holds now is nothing that was told, so that the former content is news again.
        self.known = None;
        self.rest(seen);
        Step::Trouble(why())
    }

    fn rest(&mut self, seen: Option<Stamp>) {
        self.done = Some(seen);
        self.last = None;
    }
}

#[cfg(test)]
mod tests;
