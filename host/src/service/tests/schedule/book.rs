//! What is known of a schedule's run, by all who take part in it: the messages, what was seen of them
//! on their way, what was found wrong, and a trace of it all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

use super::plan::{Attempts, Letters, Settings, Spec};

/// Lines of trace that are kept to be shown.
const TRACE_LINES: usize = 400;

/// What is known of a run.
pub(super) struct Book {
    started: Instant,
    facts: Mutex<Facts>,
}

pub(super) struct Facts {
    pub(super) attempts: Attempts,
    pub(super) letters_mode: Letters,
    pub(super) specs: BTreeMap<u32, Spec>,
    /// The plugin's version that is to serve; how often it was another before.
    pub(super) version: usize,
    /// Hosts that were started.
    pub(super) life: usize,
    /// Lives that ended by a kill, whose receipts are nobody's.
    pub(super) killed: BTreeSet<usize>,
    /// Lives that a message was delivered in, and how often.
    pub(super) deliveries: BTreeMap<u32, Vec<usize>>,
    /// Outputs that the host knows to be safe: exchange, id, stage, index.
    pub(super) confirmed: BTreeSet<(String, u32, usize, usize)>,
    /// The highest attempt that the host knows a safe copy of.
    pub(super) copies: BTreeMap<u32, u32>,
    /// Annotated dead letters that the host knows to be safe.
    pub(super) letters: BTreeSet<u32>,
    /// Deliveries that the host asked to be dead-lettered: message and attempt.
    pub(super) nacked: BTreeSet<(u32, u32)>,
    /// Messages that arrived without their publisher's knowledge, by their ids.
    pub(super) unknown: BTreeMap<String, usize>,
    /// Retry copies that did.
    pub(super) unknown_copies: BTreeMap<u32, usize>,
    /// Receipts out, by channel; and whether the channel is gone.
    pub(super) open: BTreeMap<usize, (usize, bool)>,
    /// Channels that were opened.
    pub(super) channels: usize,
    pub(super) violations: Vec<String>,
    trace: Vec<String>,
    hasher: blake3::Hasher,
}

/// An output's body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) id: u32,
    pub(super) stage: usize,
    pub(super) index: usize,
    pub(super) life: usize,
    pub(super) version: usize,
    pub(super) list: Vec<u32>,
}

/// Outputs of timers have the id of the message that set them, and this.
pub(super) const RUNG: u32 = 1_000_000;

impl Line {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut parts = text.split('/');
        let mut number = || parts.next()?.parse::<u32>().ok();
        let (id, stage, index) = (number()?, number()?, number()?);
        let (life, version) = (number()?, number()?);
        let list = parts.next()?;
        let list = list.split(',').filter(|id| !id.is_empty()).map(str::parse);
        Some(Self {
            id,
            stage: stage as usize,
            index: index as usize,
            life: life as usize,
            version: version as usize,
            list: list.collect::<Result<_, _>>().ok()?,
        })
    }
}

impl Book {
    pub(super) fn new(settings: &Settings) -> Self {
        let facts = Facts {
            attempts: settings.attempts,
            letters_mode: settings.letters,
            specs: BTreeMap::new(),
            version: 0,
            life: 0,
            killed: BTreeSet::new(),
            deliveries: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            copies: BTreeMap::new(),
            letters: BTreeSet::new(),
            nacked: BTreeSet::new(),
            unknown: BTreeMap::new(),
            unknown_copies: BTreeMap::new(),
            open: BTreeMap::new(),
            channels: 0,
            violations: Vec::new(),
            trace: Vec::new(),
            hasher: blake3::Hasher::new(),
        };
        Self { started: Instant::now(), facts: Mutex::new(facts) }
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    /// Something happened that must not.
    pub(super) fn violation(&self, text: String) {
        self.trace(&format!("VIOLATION {text}"));
        self.facts().violations.push(text);
    }

    /// Something happened.
    pub(super) fn trace(&self, text: &str) {
        let mut line = String::new();
        let _ = write!(line, "{:>8} {text}", self.started.elapsed().as_millis());
        let mut facts = self.facts();
        facts.hasher.update(line.as_bytes()).update(b"\n");
        if facts.trace.len() == TRACE_LINES {
            facts.trace.remove(0);
        }
        facts.trace.push(line);
    }

    /// A digest of all that happened, and the end of it.
    pub(super) fn traced(&self) -> (String, Vec<String>) {
        let facts = self.facts();
        (facts.hasher.finalize().to_hex().to_string(), facts.trace.clone())
    }
}

impl Facts {
    /// Why a delivery of that message at that attempt may be acked now; `Err` if it may not.
    pub(super) fn may_ack(&self, id: u32, attempt: u32) -> Result<(), String> {
        let spec = &self.specs[&id];
        if self.copies.get(&id).is_some_and(|copy| *copy > attempt) || self.letters.contains(&id) {
            return Ok(());
        }
        // A copy that was published twice goes the way of its twin without dying again.
        if self.nacked.contains(&(id, attempt)) && attempt > 1 {
            return Ok(());
        }
        if let Err(code) = spec.end(self.attempts) {
            if self.letters_mode == Letters::Discard {
                return Ok(());
            }
            return Err(format!(
                "acked: {id} at attempt {attempt}, though it must die of '{code}'"
            ));
        }
        for (exchange, stage, index) in spec.outputs() {
            if !self.confirmed.contains(&(exchange.to_owned(), id, stage, index)) {
                return Err(format!(
                    "acked: {id} before its output {index} of stage {stage} is known to be safe"
                ));
            }
        }
        Ok(())
    }
}
