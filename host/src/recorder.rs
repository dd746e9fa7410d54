//! Calls that are kept: capsules of what failed, of a sample, of what somebody asked for; and a live
//! look at what plugins are handed and decide.
//!
//! | file | what |
//! |---|---|
//! | `recorder` | looks on while plugins are called, and decides what is worth a copy |
//! | `causes` | so many capsules of one cause in a minute, no more |
//! | `tap` | messages and decisions, sampled and rate-limited, as lines for whoever looks on |
//! | `shelf` | capsules as files: a thread of their own, bounded by number, size and age |
//! | `rerun` | a capsule run again, here |
//! | `redact` | what is taken out of a capsule that may not hold bodies |
//!
//! All that a shard's thread does here is to look at a call and, where it is worth it, to copy it. The
//! copies wait in a bounded queue; what finds no room is lost and counted.

mod causes;
pub mod redact;
pub mod rerun;
pub mod shelf;
mod tap;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use self::causes::Causes;
use self::shelf::{Shelf, Waiting};
use self::tap::Tapped;
pub use self::tap::{Ear, TapSettings};
use crate::config::{Pipeline, Record};
use crate::limits::CAPSULE_RECORDED_BYTES;
use crate::pipeline::observe::{Called, Observer};
use crate::plugin::Decisions;
use crate::plugin::capsule::{Capsule, FORMAT, Meta, Outcome, OwnedBatch, Redacted, Why};
use crate::reference::digests;
use crate::telemetry::{RecorderMetrics, Telemetry};
use crate::verdict::Verdict;

/// Records calls of all pipelines of a host.
pub struct Recorder {
    books: RwLock<BTreeMap<String, Arc<Book>>>,
    shelf: Shelf,
    folder: PathBuf,
    telemetry: Telemetry,
}

/// One pipeline's settings, and who looks at it.
struct Book {
    record: Record,
    causes: Mutex<Causes>,
    taps: Arc<Taps>,
    metrics: RecorderMetrics,
}

/// Those who look at one pipeline. They stay where its settings change.
#[derive(Default)]
struct Taps {
    count: AtomicUsize,
    list: Mutex<Vec<Tapped>>,
}

impl Recorder {
    /// Records into a folder of the state folder, which is created with the first capsule.
    ///
    /// # Errors
    /// Where the system has no thread to give.
    pub fn start(
        state_dir: &Path,
        pipelines: &[Pipeline],
        telemetry: &Telemetry,
    ) -> std::io::Result<Arc<Self>> {
        let shelf = Shelf::open(state_dir)?;
        let books = RwLock::default();
        let (folder, telemetry) = (shelf::folder(state_dir), telemetry.clone());
        let recorder = Arc::new(Self { books, shelf, folder, telemetry });
        recorder.follow(pipelines);
        Ok(recorder)
    }

    /// These are the pipelines from now on. Who looks at one that stays goes on looking.
    pub fn follow(&self, pipelines: &[Pipeline]) {
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *books);
        for pipeline in pipelines {
            let known = before.remove(&pipeline.name);
            if let Some(book) = known.as_ref().filter(|book| book.record == pipeline.record) {
                books.insert(pipeline.name.clone(), Arc::clone(book));
                continue;
            }
            let book = Book {
                record: pipeline.record.clone(),
                causes: Mutex::default(),
                taps: known.map(|book| Arc::clone(&book.taps)).unwrap_or_default(),
                metrics: self.telemetry.recorder(&pipeline.name),
            };
            books.insert(pipeline.name.clone(), Arc::new(book));
        }
        let bounds = books.iter().map(|(name, book)| (name.clone(), book.record.clone()));
        self.shelf.bounds(bounds.collect());
        for gone in before.values() {
            // Their lines end: dropping the sending end is how they hear of it.
            gone.taps.lock().clear();
        }
    }

    /// Lets somebody look at a pipeline until the ear is deaf.
    ///
    /// # Errors
    /// There is no such pipeline.
    pub fn tap(&self, pipeline: &str, settings: TapSettings, ear: Ear) -> Result<(), String> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        let Some(book) = books.get(pipeline) else {
            let names: Vec<&str> = books.keys().map(String::as_str).collect();
            return Err(format!(
                "there is no pipeline '{pipeline}'; there are: {}",
                names.join(", ")
            ));
        };
        let mut list = book.taps.lock();
        // Whoever has gone leaves at the latest when the next one comes.
        list.retain(|tap| !tap.deaf());
        list.push(Tapped::new(settings, ear));
        book.taps.count.store(list.len(), Ordering::Release);
        Ok(())
    }

    /// The newest calls of a plugin that were recorded as they were, with a bound; reads files.
    #[must_use]
    pub fn recorded(&self, plugin: &str) -> Vec<Capsule> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        let pipelines: Vec<String> = books.keys().cloned().collect();
        drop(books);
        let whole = |it: &Capsule| it.meta.plugin == plugin && it.meta.redacted == Redacted::No;
        shelf::newest(&self.folder, &pipelines, whole)
    }

    /// Waits until what was recorded so far is on disk.
    pub fn flush(&self) {
        self.shelf.flush();
    }

    fn book(&self, pipeline: &str) -> Option<Arc<Book>> {
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        books.get(pipeline).map(Arc::clone)
    }

    fn keep(&self, call: &Called<'_>, book: &Book, why: Why, message: Option<usize>) {
        if OwnedBatch::bytes_of(call.batch) > CAPSULE_RECORDED_BYTES {
            book.metrics.lost("too_large");
            return;
        }
        let meta = Meta {
            pipeline: call.pipeline.to_owned(),
            stage: call.stage,
            recorded_at_us: call.batch.now_us,
            why,
            message,
            tables: digests(call.tables),
            ..Meta::of(call.plugin)
        };
        let batch = OwnedBatch::of(call.batch);
        let capsule = Capsule { format: FORMAT, meta, batch, outcome: Outcome::of(call.result) };
        let metrics = book.metrics.clone();
        let waiting = Waiting { capsule, bodies: book.record.bodies, metrics };
        if !self.shelf.put(waiting) {
            book.metrics.lost("busy");
        }
    }
}

impl Observer for Recorder {
    fn called(&self, call: &Called<'_>) {
        let Some(book) = self.book(call.pipeline) else { return };
        let mut asked = false;
        if book.taps.count.load(Ordering::Acquire) > 0 {
            asked = book.taps.tell(call);
        }
        match (book.worth(call), asked) {
            (Some((why, message)), _) => self.keep(call, &book, why, message),
            (None, true) => self.keep(call, &book, Why::Asked, None),
            (None, false) => {}
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

// === impl Book ===

impl Book {
    /// What a call is to be kept for, and which of its messages it is about.
    fn worth(&self, call: &Called<'_>) -> Option<(Why, Option<usize>)> {
        if self.record.failures {
            match call.result {
                // A batch that failed runs again message by message: the call that then fails alone is
                // the one to keep.
                Err(error) if call.batch.messages.len() == 1 => {
                    let frame = error.backtrace.first().map_or("", String::as_str);
                    if self.causes().failed(call.stage, error.class, frame) {
                        return Some((Why::Failure, Some(0)));
                    }
                }
                Err(_) => {}
                Ok(decisions) => {
                    if let Some(message) = self.refused(call.stage, decisions) {
                        return Some((Why::Failure, Some(message)));
                    }
                }
            }
        }
        let chance = self.record.sample * call.batch.messages.len() as f64;
        (chance > 0.0 && fastrand::f64() < chance).then_some((Why::Sample, None))
    }

    /// The first message that the plugin refused, if its cause is due.
    fn refused(&self, stage: usize, decisions: &Decisions) -> Option<usize> {
        decisions.messages.iter().position(|decision| match &decision.verdict {
            Verdict::Retry { code, .. } | Verdict::Reject { code, .. } => {
                self.causes().refused(stage, code)
            }
            Verdict::Next(_) | Verdict::Done | Verdict::Drop { .. } => false,
        })
    }

    fn causes(&self) -> MutexGuard<'_, Causes> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Taps ===

impl Taps {
    fn lock(&self) -> MutexGuard<'_, Vec<Tapped>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever looks; whether one of them wants the call recorded.
    fn tell(&self, call: &Called<'_>) -> bool {
        let mut record = false;
        let mut list = self.lock();
        list.retain_mut(|tap| {
            record |= tap.told(call);
            !tap.deaf()
        });
        self.count.store(list.len(), Ordering::Release);
        record
    }
}
