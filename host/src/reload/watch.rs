//! Files that are followed: each change is told once, when what the file holds has settled.
//!
//! People and programs save in many ways: they write in place, truncate and write, rename another file
//! over it, swap a link somewhere on its path (as Kubernetes does with `..data`), replace its folder. So
//! nothing is concluded from events: an event says only that it is time to look, and where none comes
//! (network file systems) a slow poll looks anyhow. A look takes what the path leads to now; a change is
//! told when size, times and digest have stood still and the file is whole.

mod settle;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use self::settle::{Settling, Stamp, Step};
use crate::digest;
use crate::limits;

/// A file's content, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// This is in it now, whole.
    Content {
        /// All of it.
        bytes: Bytes,
        /// Its SHA-256 in hexadecimal.
        digest: String,
    },
    /// It changed, and isn't fit for use: gone, unreadable, too large, not whole after a while. For
    /// people.
    Trouble(String),
}

/// What is expected of a file.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Larger ones aren't read.
    pub bytes_max: u64,
    /// Whether this is all of it; why not.
    pub whole: fn(&[u8]) -> Result<(), String>,
}

/// A file that is followed, for as long as this is kept.
#[derive(Debug)]
pub struct Followed {
    changes: watch::Receiver<Option<Arc<Seen>>>,
}

/// Follows files on a thread of its own, which ends when this is dropped.
#[derive(Clone, Debug)]
pub struct Watch {
    asks: SyncSender<Ask>,
    _alive: Arc<()>,
}

#[derive(Debug)]
enum Ask {
    Follow(Box<Follow>),
    /// Something happened in a folder.
    Look,
}

#[derive(Debug)]
struct Follow {
    path: PathBuf,
    expected: Expected,
    settling: Settling,
    changes: watch::Sender<Option<Arc<Seen>>>,
    /// When to look again before the next poll.
    due: Option<Instant>,
}

struct Looker {
    asks: Receiver<Ask>,
    /// Gone with the last that may ask; the events hold a sender of their own.
    alive: Weak<()>,
    follows: Vec<Follow>,
    events: Option<RecommendedWatcher>,
    /// The folders that events come from, and which folder it was then.
    folders: HashMap<PathBuf, (u64, u64)>,
}

// === impl Watch ===

impl Watch {
    /// Starts the thread. Where the system gives no events, it polls.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start() -> io::Result<Self> {
        let (asks, inbox) = sync_channel(limits::WATCH_ASKS);
        let stir = asks.clone();
        let events = notify::recommended_watcher(move |_: notify::Result<notify::Event>| {
            // Where the channel is full a look is due already.
            let _full = stir.try_send(Ask::Look);
        });
        let events = events
            .inspect_err(|error| tracing::warn!(%error, "no file events; files are polled"))
            .ok();
        let alive = Arc::new(());
        let looker = Looker {
            asks: inbox,
            alive: Arc::downgrade(&alive),
            follows: Vec::new(),
            events,
            folders: HashMap::default(),
        };
        thread::Builder::new().name("watch".to_owned()).spawn(move || looker.run())?;
        Ok(Self { asks, _alive: alive })
    }

    /// Follows a file. `known` is the digest of what the caller has of it: other content is told even
    /// if it was there before; without one, what is there first is told too.
    #[must_use]
    pub fn follow(&self, path: &Path, known: Option<String>, expected: Expected) -> Followed {
        let (changes, changed) = watch::channel(None);
        let settling = Settling::new(known);
        let follow = Follow {
            path: path.to_owned(),
            expected,
            settling,
            changes,
            due: Some(Instant::now()),
        };
        // The thread ends with the last of its senders, and this is one.
        let _gone = self.asks.send(Ask::Follow(Box::new(follow)));
        Followed { changes: changed }
    }
}

impl Followed {
    /// Waits for the next change; several in between are one. `None` when nothing is followed any more.
    pub async fn changed(&mut self) -> Option<Arc<Seen>> {
        loop {
            self.changes.changed().await.ok()?;
            if let Some(seen) = self.changes.borrow_and_update().clone() {
                return Some(seen);
            }
        }
    }
}

// === impl Looker ===

impl Looker {
    fn run(mut self) {
        let mut poll = Instant::now();
        while self.alive.strong_count() > 0 || !self.follows.is_empty() {
            let now = Instant::now();
            let due = self.follows.iter().filter_map(|follow| follow.due).min();
            let wait = due.unwrap_or(poll).min(poll).saturating_duration_since(now);
            match self.asks.recv_timeout(wait) {
                Ok(Ask::Follow(follow)) => {
                    self.follows.push(*follow);
                    self.attend();
                    continue;
                }
                Ok(Ask::Look) => {
                    // Events come in crowds: one look a moment later is for all of them.
                    let soon = Instant::now() + limits::WATCH_GATHER;
                    for follow in &mut self.follows {
                        follow.due = Some(follow.due.map_or(soon, |due| due.min(soon)));
                    }
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.follows.retain(|follow| !follow.changes.is_closed());
            let now = Instant::now();
            let polled = now >= poll;
            if polled {
                poll = now + limits::WATCH_POLL;
                self.attend();
            }
            for follow in &mut self.follows {
                if polled || follow.due.is_some_and(|due| due <= now) {
                    follow.look(now);
                }
            }
        }
    }

    /// Has events come from every folder that a followed path leads through last.
    fn attend(&mut self) {
        let Some(events) = &mut self.events else { return };
        let mut wanted = HashMap::new();
        for follow in &self.follows {
            let real = fs::canonicalize(&follow.path).ok();
            for path in [Some(follow.path.clone()), real].into_iter().flatten() {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
                if let Ok(found) = fs::metadata(&folder) {
                    wanted.insert(folder, (found.dev(), found.ino()));
                }
            }
        }
        for (folder, _) in self.folders.extract_if(|folder, id| wanted.get(folder) != Some(id)) {
            // A folder that is gone took its watch along.
            let _gone = events.unwatch(&folder);
        }
        for (folder, id) in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match events.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder, id)),
                Err(error) => {
                    tracing::debug!(folder = %folder.display(), %error, "no events; it is polled");
                }
            }
        }
    }
}

// === impl Follow ===

impl Follow {
    fn look(&mut self, now: Instant) {
        let (path, expected) = (self.path.as_path(), self.expected);
        let step = self.settling.look(now, || stamp(path), || read(path, expected), expected.whole);
        self.due = match step {
            Step::Idle => None,
            Step::Again(after) => Some(now + after),
            Step::Settled(bytes, digest) => {
                let seen = Seen::Content { bytes: bytes.into(), digest };
                // Nobody follows it any more where this fails; it is forgotten at the next look.
                let _gone = self.changes.send(Some(Arc::new(seen)));
                None
            }
            Step::Trouble(why) => {
                let _gone = self.changes.send(Some(Arc::new(Seen::Trouble(why))));
                None
            }
        };
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let found = fs::metadata(path)?;
    Ok(Stamp {
        place: (found.dev(), found.ino()),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

fn read(path: &Path, expected: Expected) -> io::Result<(Vec<u8>, String)> {
    let found = fs::metadata(path)?;
    let refused = |why: String| Err(io::Error::other(why));
    if !found.is_file() {
        return refused("it is no regular file".to_owned());
    }
    if found.size() > expected.bytes_max {
        return refused(format!(
            "it has {} bytes where {} are allowed",
            found.size(),
            expected.bytes_max
        ));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(expected.bytes_max).read_to_end(&mut bytes)?;
    let digest = digest::sha256(&bytes);
    Ok((bytes, digest))
}

#[cfg(test)]
mod tests;
