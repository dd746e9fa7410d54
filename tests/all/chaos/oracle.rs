//! Knows every input and what must become of it, is told what comes out, and says what doesn't fit.
//!
//! It only keeps books: no broker, no clock. Times are since the trial's start.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::counts::Counts;

/// Violations that are told one by one; more are only counted.
const TOLD_MAX: usize = 20;

/// What must become of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// An output on each of those targets.
    Out(&'static [usize]),
    /// Dead-lettered, with a report of that class.
    Dead(&'static str),
    /// Dropped by the plugin, on purpose: nothing comes out.
    Dropped,
}

/// An input before it is published.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) id: String,
    pub(super) pipeline: usize,
    pub(super) key: u32,
    /// Grows along each key.
    pub(super) sequence: u64,
    pub(super) body: u64,
    pub(super) fate: Fate,
    /// Whether its key's order holds for it: not for what is retried.
    pub(super) ordered: bool,
}

/// A message that came out, at a target or as a dead letter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting<'a> {
    /// The id of the input that it follows from.
    pub(super) input: &'a str,
    /// Its own id.
    pub(super) id: &'a str,
    pub(super) body: u64,
    /// The broker delivered it to the collector before: that is the collector's doing.
    pub(super) redelivered: bool,
}

/// The books.
pub(super) struct Oracle {
    inputs: HashMap<String, Input>,
    /// Inputs of each pipeline whose fate is still to come.
    open: Vec<usize>,
    /// When the latest of each pipeline's inputs that came out was published.
    reached: Vec<Duration>,
    /// The last sequence of each target, pipeline and key.
    last: HashMap<(usize, usize, u32), u64>,
    disturbances: usize,
    disturbed_until: Option<Duration>,
    counts: Counts,
    told: Vec<String>,
}

struct Input {
    planned: Planned,
    published: Duration,
    publishes: u32,
    acknowledged: bool,
    gone: bool,
    settled: bool,
    /// Digest of the id of the first output on each target.
    outputs: HashMap<usize, u64>,
    lettered: bool,
    reported: bool,
}

/// The digest by which bodies are compared.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

// === impl Oracle ===

impl Oracle {
    pub(super) fn new(pipelines: usize) -> Self {
        Self {
            inputs: HashMap::new(),
            open: vec![0; pipelines],
            reached: vec![Duration::ZERO; pipelines],
            last: HashMap::new(),
            disturbances: 0,
            disturbed_until: None,
            counts: Counts::default(),
            told: Vec::new(),
        }
    }

    /// An input is about to be published, for the first time or again.
    pub(super) fn attempted(&mut self, planned: &Planned, at: Duration) {
        if let Some(input) = self.inputs.get_mut(&planned.id) {
            input.publishes += 1;
            return;
        }
        self.counts.attempted += 1;
        self.open[planned.pipeline] += 1;
        let input = Input {
            planned: planned.clone(),
            published: at,
            publishes: 1,
            acknowledged: false,
            gone: false,
            settled: false,
            outputs: HashMap::new(),
            lettered: false,
            reported: false,
        };
        self.inputs.insert(planned.id.clone(), input);
    }

    /// The broker has it.
    pub(super) fn acknowledged(&mut self, id: &str) {
        if let Some(input) = self.inputs.get_mut(id)
            && !input.acknowledged
        {
            input.acknowledged = true;
            self.counts.acknowledged += 1;
            self.look(id);
        }
    }

    /// From now on something goes on that may double what is under way.
    pub(super) fn disturbed(&mut self) {
        self.disturbances += 1;
    }

    /// It is over.
    pub(super) fn calmed(&mut self, at: Duration) {
        self.disturbances = self.disturbances.saturating_sub(1);
        self.disturbed_until = self.disturbed_until.max(Some(at));
    }

    /// A pipeline's queue was deleted: what it may have held is gone with it.
    pub(super) fn gone(&mut self, pipeline: usize) {
        for input in self.inputs.values_mut() {
            if input.planned.pipeline == pipeline && !input.settled && !input.gone {
                input.gone = true;
                self.open[pipeline] -= 1;
                self.counts.gone += 1;
            }
        }
    }

    /// Something came out at a target.
    pub(super) fn output(&mut self, target: usize, sighting: Sighting<'_>) {
        let Some(input) = self.inputs.get_mut(sighting.input) else {
            self.unknown("an output", sighting);
            return;
        };
        let id = digest(sighting.id.as_bytes());
        let first = input.outputs.get(&target).copied();
        if first.is_none() {
            input.outputs.insert(target, id);
        }
        let wanted = matches!(input.planned.fate, Fate::Out(targets) if targets.contains(&target));
        let altered = input.planned.body != sighting.body;
        let place = (target, input.planned.pipeline, input.planned.key);
        let (sequence, ordered) = (input.planned.sequence, input.planned.ordered);
        match first {
            Some(first) if first != id => {
                self.counts.other_ids += 1;
                self.tell(format!("{} came out twice at {target}, with two ids", sighting.input));
            }
            Some(_) => self.doubled(sighting),
            None if ordered => {
                let before = self.last.insert(place, sequence).filter(|last| *last > sequence);
                if let Some(before) = before {
                    self.last.insert(place, before);
                    self.counts.disordered += 1;
                    self.tell(format!(
                        "{} came out at {target} behind its key's {before}, redelivered: {}",
                        sighting.input, sighting.redelivered
                    ));
                }
            }
            None => {}
        }
        if !wanted {
            self.counts.unexpected += 1;
            self.tell(format!("{} should not have come out at {target}", sighting.input));
        }
        self.seen(altered, sighting);
    }

    /// A dead letter came.
    pub(super) fn letter(&mut self, sighting: Sighting<'_>) {
        let Some(input) = self.inputs.get_mut(sighting.input) else {
            self.unknown("a dead letter", sighting);
            return;
        };
        let before = std::mem::replace(&mut input.lettered, true);
        let altered = input.planned.body != sighting.body;
        if !matches!(input.planned.fate, Fate::Dead(_)) {
            self.counts.unexpected += 1;
            self.tell(format!("{} should not have been dead-lettered", sighting.input));
        }
        if before {
            self.doubled(sighting);
        }
        self.seen(altered, sighting);
    }

    /// A failure report came.
    pub(super) fn report(&mut self, input: &str, class: &str) {
        let Some(known) = self.inputs.get_mut(input) else {
            self.counts.unexpected += 1;
            self.tell(format!("a report of {input}, which nobody published"));
            return;
        };
        known.reported = true;
        if matches!(known.planned.fate, Fate::Dead(wanted) if wanted == class) {
            self.look(input);
        } else {
            let fate = known.planned.fate;
            self.counts.unexpected += 1;
            self.tell(format!("{input} is reported as {class}; its fate is {fate:?}"));
        }
    }

    /// How many inputs of each key the first and the second courier of their pipelines have counted.
    pub(super) fn counted(&self) -> BTreeMap<(usize, u32), [u64; 2]> {
        let mut counted: BTreeMap<_, [u64; 2]> = BTreeMap::new();
        for Input { planned, .. } in self.inputs.values() {
            let counts = match planned.fate {
                Fate::Out(&[0, 1]) => [1, 1],
                Fate::Out(&[0]) | Fate::Dropped => [1, 0],
                Fate::Out(_) | Fate::Dead(_) => continue,
            };
            if planned.pipeline < 2 {
                let sums = counted.entry((planned.pipeline, planned.key)).or_default();
                sums.iter_mut().zip(counts).for_each(|(sum, one)| *sum += one);
            }
        }
        counted
    }

    /// Inputs of that pipeline whose fate is still to come.
    pub(super) fn open(&self, pipeline: usize) -> usize {
        self.open[pipeline]
    }

    /// Whether every pipeline has brought out something that was published since.
    pub(super) fn reached(&self, since: Duration) -> bool {
        self.reached.iter().all(|reached| *reached >= since)
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What is wrong so far, in words.
    pub(super) fn told(&self) -> &[String] {
        &self.told
    }

    /// Once everything has come to rest: the counts, and what is wrong, in words.
    pub(super) fn verdict(mut self) -> (Counts, Vec<String>) {
        let missing: Vec<String> = self.inputs.values().filter_map(Input::missing).collect();
        self.counts.lost += missing.len() as u64;
        self.told.extend(missing.into_iter().take(TOLD_MAX));
        let split = self.inputs.values().filter(|it| it.lettered && !it.outputs.is_empty());
        self.counts.split += split.count() as u64;
        (self.counts, self.told)
    }

    fn unknown(&mut self, what: &str, sighting: Sighting<'_>) {
        self.counts.unexpected += 1;
        self.tell(format!("{what} of {:?}, which nobody published", sighting.input));
    }

    /// It came before: is there a reason?
    fn doubled(&mut self, sighting: Sighting<'_>) {
        if sighting.redelivered {
            return;
        }
        self.counts.duplicated += 1;
        let Some(input) = self.inputs.get(sighting.input) else { return };
        let disturbed = self.disturbances > 0 || self.disturbed_until >= Some(input.published);
        if input.publishes == 1 && !disturbed {
            self.counts.unexplained += 1;
            self.tell(format!("{} came out twice, for no reason", sighting.input));
        }
    }

    fn seen(&mut self, altered: bool, sighting: Sighting<'_>) {
        if altered {
            self.counts.altered += 1;
            self.tell(format!("{} came out with another body", sighting.input));
        }
        self.look(sighting.input);
    }

    /// Has its fate come?
    fn look(&mut self, id: &str) {
        let Some(input) = self.inputs.get_mut(id) else { return };
        if input.settled || !input.complete() {
            return;
        }
        input.settled = true;
        let pipeline = input.planned.pipeline;
        if !input.gone {
            self.open[pipeline] -= 1;
        }
        match input.planned.fate {
            Fate::Out(_) => {
                self.counts.delivered += 1;
                self.reached[pipeline] = self.reached[pipeline].max(input.published);
            }
            Fate::Dead(_) => self.counts.dead_lettered += 1,
            Fate::Dropped => self.counts.dropped += 1,
        }
    }

    fn tell(&mut self, what: String) {
        if self.told.len() < TOLD_MAX {
            self.told.push(what);
        }
    }
}

// === impl Input ===

impl Input {
    /// All that its fate asks for is there.
    fn complete(&self) -> bool {
        match self.planned.fate {
            Fate::Out(targets) => targets.iter().all(|target| self.outputs.contains_key(target)),
            Fate::Dead(_) => self.lettered && self.reported,
            Fate::Dropped => self.acknowledged,
        }
    }

    /// What should be there and isn't.
    fn missing(&self) -> Option<String> {
        if !self.acknowledged || self.gone || self.complete() {
            return None;
        }
        let id = &self.planned.id;
        Some(match self.planned.fate {
            Fate::Out(targets) => {
                let missing: Vec<_> =
                    targets.iter().filter(|target| !self.outputs.contains_key(target)).collect();
                let times = self.publishes;
                format!("{id} is lost at {missing:?}; dead: {}; published {times}", self.lettered)
            }
            Fate::Dead(class) => format!(
                "{id} ({class}) is lost; dead letter: {}, report: {}, outputs: {}",
                self.lettered,
                self.reported,
                self.outputs.len()
            ),
            Fate::Dropped => format!("{id} is lost"),
        })
    }
}

#[cfg(test)]
mod tests;
