//! Capsules as files: `state_dir/capsules/PIPELINE/TIME-ID-sSTAGE-aATTEMPT.capsule`, readable by the
//! host's own user alone, written by a thread of their own, the oldest thrown away where there are too
//! many, where they take too much room or have been there too long.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::redact::redact;
use crate::config::{Bodies, Record};
use crate::limits::{
    CAPSULE_FOLDER, CAPSULES_WAITING, CAPSULES_WAITING_BYTES, RECORD_INTERVAL, RECORDED_BYTES,
    RECORDED_CALLS, RECORDED_LOOKS, RECORDER_FLUSH,
};
use crate::pipeline::stages::stage_seed;
use crate::plugin::capsule::{Capsule, OwnedBatch};
use crate::telemetry::RecorderMetrics;

/// How a capsule's file ends.
pub const EXTENSION: &str = "capsule";

/// What a pipeline's name may keep of itself as a folder's.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// A capsule on its way to the shelf.
pub(super) struct Waiting {
    pub(super) capsule: Capsule,
    pub(super) bodies: Bodies,
    pub(super) metrics: RecorderMetrics,
}

/// The way to the thread that writes.
pub(super) struct Shelf {
    orders: SyncSender<Order>,
    waiting_bytes: Arc<AtomicUsize>,
}

enum Order {
    Put(Box<Waiting>, usize),
    Bounds(BTreeMap<String, Record>),
    Flush(SyncSender<()>),
}

/// The thread's own.
struct Keeper {
    folder: PathBuf,
    bounds: BTreeMap<String, Record>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// One file of a pipeline's.
struct Kept {
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

impl Shelf {
    /// Starts the thread. It ends when nobody can put anything any more.
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let (orders, inbox) = sync_channel(CAPSULES_WAITING);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let keeper = Keeper {
            folder: folder(state_dir),
            bounds: BTreeMap::new(),
            waiting_bytes: Arc::clone(&waiting_bytes),
        };
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || keeper.run(&inbox))?;
        Ok(Self { orders, waiting_bytes })
    }

    /// Puts a capsule, if there is room for it.
    pub(super) fn put(&self, waiting: Waiting) -> bool {
        let bytes = waiting.capsule.batch.with_batch(OwnedBatch::bytes_of);
        if self.waiting_bytes.load(Ordering::Relaxed) + bytes > CAPSULES_WAITING_BYTES {
            return false;
        }
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let put = self.orders.try_send(Order::Put(Box::new(waiting), bytes)).is_ok();
        if !put {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        put
    }

    /// How much of each pipeline may be kept, from now on.
    pub(super) fn bounds(&self, bounds: BTreeMap<String, Record>) {
        // Only a thread that died takes nothing, and it is told of where something is put.
        let _ = self.orders.send(Order::Bounds(bounds));
    }

    /// Waits for what was put so far, with a bound.
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.orders.send(Order::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(RECORDER_FLUSH);
        }
    }
}

/// Where capsules are in a state folder.
#[must_use]
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join(CAPSULE_FOLDER)
}

/// A pipeline's folder in there.
#[must_use]
pub fn pipeline_folder(folder: &Path, pipeline: &str) -> PathBuf {
    folder.join(utf8_percent_encode(pipeline, PLAIN).to_string())
}

/// The failure's id that a capsule's name carries: the same that its report has.
#[must_use]
pub fn failure_id(capsule: &Capsule) -> String {
    let first = capsule.meta.message.unwrap_or(0);
    let seed = capsule.batch.messages.get(first).map_or([0; 16], |message| message.seed);
    format!("{:032x}", u128::from_be_bytes(stage_seed(seed, capsule.meta.stage)))
}

/// The newest capsule whose name carries that id, or starts with its first digits.
///
/// # Errors
/// The folder can't be read.
pub fn find(folder: &Path, id: &str) -> io::Result<Option<PathBuf>> {
    let id = id.strip_suffix("-failure").unwrap_or(id);
    let mut found: Option<(String, PathBuf)> = None;
    for pipeline in fs::read_dir(folder)? {
        let pipeline = pipeline?.path();
        if !pipeline.is_dir() {
            continue;
        }
        for kept in fs::read_dir(pipeline)? {
            let path = kept?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let matches = name.split_once('-').is_some_and(|(_, rest)| rest.starts_with(id));
            let newer = found.as_ref().is_none_or(|(best, _)| *best < name);
            if matches && newer && path.extension().is_some_and(|end| end == EXTENSION) {
                found = Some((name, path));
            }
        }
    }
    Ok(found.map(|(_, path)| path))
}

/// The newest capsules of those pipelines that are wanted, as far as their files can be read: some calls, not
/// all of them.
pub(super) fn newest(
    folder: &Path,
    pipelines: &[String],
    wanted: impl Fn(&Capsule) -> bool,
) -> Vec<Capsule> {
    let files = pipelines.iter().filter_map(|it| kept(&pipeline_folder(folder, it)).ok());
    let mut files: Vec<Kept> = files.flatten().collect();
    // Names start with the time.
    files.sort_by(|one, other| other.path.file_name().cmp(&one.path.file_name()));
    let (mut found, mut bytes) = (Vec::new(), 0);
    for file in files.into_iter().take(RECORDED_LOOKS) {
        bytes += file.bytes;
        if bytes > RECORDED_BYTES || found.len() >= RECORDED_CALLS {
            break;
        }
        let capsule = fs::read(&file.path).ok().and_then(|bytes| Capsule::decode(&bytes).ok());
        found.extend(capsule.filter(&wanted));
    }
    found
}

// === impl Keeper ===

impl Keeper {
    fn run(mut self, inbox: &Receiver<Order>) {
        loop {
            match inbox.recv_timeout(RECORD_INTERVAL) {
                Ok(Order::Put(waiting, bytes)) => {
                    self.put(*waiting);
                    self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
                }
                Ok(Order::Bounds(bounds)) => {
                    self.bounds = bounds;
                    self.look();
                }
                Ok(Order::Flush(done)) => drop(done.try_send(())),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn put(&self, waiting: Waiting) {
        let Waiting { mut capsule, bodies, metrics } = waiting;
        redact(&mut capsule, bodies);
        let Some(bounds) = self.bounds.get(&capsule.meta.pipeline) else { return };
        let folder = pipeline_folder(&self.folder, &capsule.meta.pipeline);
        match write(&folder, &capsule) {
            Ok(path) => {
                metrics.recorded(capsule.meta.why.as_str());
                tracing::debug!(path = %path.display(), "a call was recorded");
                prune(&folder, bounds);
            }
            Err(error) => {
                metrics.lost("unwritable");
                tracing::warn!(folder = %folder.display(), %error, "a call can't be recorded");
            }
        }
    }

    /// Throws away what is too old, whether or not anything comes.
    fn look(&self) {
        for (pipeline, bounds) in &self.bounds {
            prune(&pipeline_folder(&self.folder, pipeline), bounds);
        }
    }
}

/// Writes a file under another name first: who finds a capsule finds it whole.
fn write(folder: &Path, capsule: &Capsule) -> io::Result<PathBuf> {
    let bytes = capsule.encode().map_err(io::Error::other)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let at = jiff::Timestamp::from_microsecond(
        i64::try_from(capsule.meta.recorded_at_us).unwrap_or(i64::MAX),
    )
    .map_err(io::Error::other)?;
    let attempt = capsule.batch.messages.first().map_or(0, |message| message.attempt);
    let name = format!(
        "{}-{}-s{}-a{attempt}.{EXTENSION}",
        at.strftime("%Y%m%dT%H%M%S%6fZ"),
        failure_id(capsule),
        capsule.meta.stage
    );
    let (whole, part) = (folder.join(&name), folder.join(format!("{name}.part")));
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part);
    let written = file.and_then(|mut file| file.write_all(&bytes));
    match written.and_then(|()| fs::rename(&part, &whole)) {
        Ok(()) => Ok(whole),
        Err(error) => {
            // Half a file takes room that may be what is missing.
            let _ = fs::remove_file(&part);
            Err(error)
        }
    }
}

/// Keeps the newest that fit the bounds.
fn prune(folder: &Path, bounds: &Record) {
    let mut kept = match kept(folder) {
        Ok(kept) => kept,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "capsules can't be looked through");
            return;
        }
    };
    // Names start with the time: the newest first.
    kept.sort_by(|one, other| other.path.cmp(&one.path));
    #[expect(
        clippy::disallowed_methods,
        reason = "files have the times that the system gives them"
    )]
    let now = SystemTime::now();
    let mut bytes = 0;
    for (at, file) in kept.iter().enumerate() {
        bytes += file.bytes;
        let age = now.duration_since(file.written).unwrap_or(Duration::ZERO);
        if at < bounds.max_files && bytes <= bounds.max_bytes && age <= bounds.max_age {
            continue;
        }
        if let Err(error) = fs::remove_file(&file.path) {
            tracing::warn!(path = %file.path.display(), %error, "an old capsule can't be removed");
        }
    }
}

fn kept(folder: &Path) -> io::Result<Vec<Kept>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|end| end == EXTENSION) {
            let about = entry.metadata()?;
            found.push(Kept { path, bytes: about.len(), written: about.modified()? });
        }
    }
    Ok(found)
}
