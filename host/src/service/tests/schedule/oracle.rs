//! What must hold when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use super::book::{Facts, Line};
use super::memory::Memory;
use super::plan::{KEYS, Letters, Spec, What};
use super::world::World;
use crate::state::{self, StateStore as _};

/// An output: message, stage, index.
type Place = (u32, usize, usize);

impl World {
    /// Notes everything that is wrong.
    pub(super) fn judge(&self) {
        let mut wrong = Vec::new();
        {
            let facts = self.book.facts();
            for spec in facts.specs.values() {
                match spec.end(facts.attempts) {
                    Ok(()) => self.success(spec, &mut wrong),
                    Err(code) => self.failure(&facts, spec, code, &mut wrong),
                }
            }
            self.duplicates(&facts, &mut wrong);
            self.state(&facts, &mut wrong);
            self.committed(&facts, &mut wrong);
            self.versions(&facts, &mut wrong);
        }
        for text in wrong {
            self.book.violation(text);
        }
    }

    /// Out on all targets, once it is known that it must be; and not dead as well.
    fn success(&self, spec: &Spec, wrong: &mut Vec<String>) {
        let id = spec.id;
        if !self.is_out(spec) {
            wrong.push(format!("lost: {id} isn't on all of its targets"));
        }
        if self.dead.contains(&id) {
            wrong.push(format!("died: {id}, which succeeds"));
        }
        if let Some(report) = self.reports_of(spec).first() {
            wrong.push(format!("reported: {id}, which succeeds, as '{}'", report["code"]));
        }
    }

    fn reports_of(&self, spec: &Spec) -> Vec<&serde_json::Value> {
        let digest = blake3::hash(&spec.body()).to_hex().to_string();
        self.reports.iter().filter(|report| report["body_digest"] == digest.as_str()).collect()
    }

    /// A dead letter and one report, each once but for what an outage doubled.
    fn failure(&self, facts: &Facts, spec: &Spec, code: &str, wrong: &mut Vec<String>) {
        let id = spec.id;
        let letters = self.dead.iter().filter(|dead| **dead == id).count();
        let discards = facts.letters_mode == Letters::Discard;
        if (letters == 0) != discards {
            wrong.push(format!("lost: {id} must be dead of '{code}', but for {letters} letters"));
        }
        let deliveries = facts.deliveries.get(&id).map_or(&[][..], Vec::as_slice);
        let copies = facts.unknown_copies.get(&id).copied().unwrap_or(0);
        let most = deliveries.len() + copies;
        if letters > most {
            wrong.push(format!("doubled: {id} has {letters} dead letters, {most} at most"));
        }
        let reports = self.reports_of(spec);
        let ids: BTreeSet<&str> =
            reports.iter().filter_map(|report| report["id"].as_str()).collect();
        for report in &reports {
            if report["code"] != code {
                wrong.push(format!("reported: {id} as '{}' instead of '{code}'", report["code"]));
            }
        }
        let untold: usize = ids.iter().map(|id| facts.unknown.get(*id).copied().unwrap_or(0)).sum();
        if reports.is_empty() || reports.len() > most + untold || spec.named && ids.len() > 1 {
            wrong.push(format!(
                "reports: {id} has {}, of {} ids; {} at most",
                reports.len(),
                ids.len(),
                most + untold
            ));
        }
    }

    /// Every output belongs where it is, has the id of its place, and came again only where an outage
    /// explains it.
    fn duplicates(&self, facts: &Facts, wrong: &mut Vec<String>) {
        let mut ids: BTreeMap<Place, BTreeSet<&str>> = BTreeMap::new();
        let mut places: BTreeMap<&str, BTreeSet<Place>> = BTreeMap::new();
        let mut counts: BTreeMap<(&str, &str, &Line), usize> = BTreeMap::new();
        let mut bodies: BTreeMap<(&str, &str, usize), BTreeSet<&Line>> = BTreeMap::new();
        for (queue, message_id, line) in &self.outputs {
            let place = (line.id, line.stage, line.index);
            ids.entry(place).or_default().insert(message_id);
            places.entry(message_id).or_default().insert(place);
            *counts.entry((queue, message_id, line)).or_default() += 1;
            bodies.entry((queue, message_id, line.life)).or_default().insert(line);
            let Some(spec) = facts.specs.get(&line.id) else {
                wrong.push(format!("unexpected: output of {}", line.id));
                continue;
            };
            let exchange = if *queue == "aside" { "aside" } else { "out" };
            let expected = spec.outputs().contains(&(exchange, line.stage, line.index));
            let partly = spec.fails_late();
            if !expected || spec.end(facts.attempts).is_err() && !partly {
                wrong.push(format!("unexpected: {line:?} in {queue}"));
            }
        }
        for (place, ids) in &ids {
            if facts.specs[&place.0].named && ids.len() > 1 {
                wrong.push(format!("derived id: output {place:?} has {ids:?}"));
            }
        }
        for (id, places) in &places {
            if places.len() > 1 {
                wrong.push(format!("derived id: {id} is of {places:?}"));
            }
        }
        for ((queue, message_id, line), count) in &counts {
            let unknown = facts.unknown.get(*message_id).copied().unwrap_or(0);
            // What was given up and brought back by the broker doesn't know what was out.
            let runs = facts.deliveries[&line.id].len();
            if *count > runs + unknown {
                let most = runs + unknown;
                wrong.push(format!("doubled: {line:?} {count} times in {queue}, {most} at most"));
            }
        }
        for ((queue, message_id, life), lines) in &bodies {
            let spec = &facts.specs[&lines.first().unwrap().id];
            let again = facts.deliveries[&spec.id].len() > 1;
            if lines.len() > 1 && spec.named && !again && !is_spoilt(facts, spec.key.as_deref()) {
                wrong.push(format!("amended: {message_id} of life {life} in {queue}: {lines:?}"));
            }
        }
    }

    /// What is kept of each key has each of its successes once, whatever died meanwhile.
    fn committed(&self, facts: &Facts, wrong: &mut Vec<String>) {
        let places = state::Place::of_stages("main", ["first", "first"]);
        for key in (0..KEYS).map(|key| format!("k{key}")) {
            for (stage, place) in places.iter().enumerate() {
                let kept = self.store.load(place, &key).unwrap();
                let bytes = kept.and_then(|kept| kept.entry.bytes).unwrap_or_default();
                let memory = Memory::parse(&bytes);
                self.timers(facts, (&key, stage), &memory, wrong);
                let mut kept = memory.seen;
                kept.sort_unstable();
                let counts = |spec: &&Spec| {
                    let own = spec.named && spec.key.as_ref() == Some(&key);
                    let reaches = spec.outputs().iter().any(|(_, at, _)| *at == stage);
                    own && reaches && spec.end(facts.attempts).is_ok()
                };
                let expected: Vec<u32> =
                    facts.specs.values().filter(counts).map(|spec| spec.id).collect();
                if kept != expected {
                    wrong.push(format!(
                        "counted: key {key} at stage {stage} keeps {kept:?} instead of {expected:?}"
                    ));
                }
            }
        }
    }

    /// Each timer came once, after what set it, and was told; none waits.
    fn timers(
        &self,
        facts: &Facts,
        (key, stage): (&str, usize),
        memory: &Memory,
        wrong: &mut Vec<String>,
    ) {
        let place = format!("key {key} at stage {stage}");
        if !memory.waits.is_empty() {
            wrong.push(format!("timer: {place} waits for {:?}, which never came", memory.waits));
        }
        let once: BTreeSet<u32> = memory.rung.iter().copied().collect();
        if once.len() != memory.rung.len() {
            wrong.push(format!("timer: {place}: {:?} has one twice", memory.rung));
        }
        let queues: &[&str] = if stage == 0 { &["sink"] } else { &["aside"] };
        for id in once {
            let set = facts.specs.get(&id).is_some_and(|spec| {
                matches!(spec.what, What::Set(_)) && spec.at == stage && memory.seen.contains(&id)
            });
            if !set {
                wrong.push(format!("timer: {place}: {id} came, and didn't set it"));
            }
            let told = |queue: &&&str| {
                self.rung
                    .iter()
                    .any(|(at, _, line)| at == *queue && line.id == id && line.stage == stage)
            };
            if queues.iter().find(|queue| !told(queue)).is_some() {
                wrong.push(format!("lost: what the timer of {id} at {place} led to"));
            }
        }
    }

    /// All that one delivery of a message led to is of one version.
    fn versions(&self, facts: &Facts, wrong: &mut Vec<String>) {
        let mut versions: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        for (_, _, line) in &self.outputs {
            versions.entry(line.id).or_default().insert(line.version);
        }
        for (id, versions) in versions {
            let spec = &facts.specs[&id];
            let once = facts.deliveries[&id].len() == 1;
            if versions.len() > 1 && once && !is_spoilt(facts, spec.key.as_deref()) {
                wrong.push(format!("versions: {id} has effects of {versions:?}"));
            }
        }
    }

    /// Keyed state is what the successes make it, each once, in order.
    fn state(&self, facts: &Facts, wrong: &mut Vec<String>) {
        let mut last: BTreeMap<(Place, usize), &Line> = BTreeMap::new();
        for (queue, _, line) in &self.outputs {
            if *queue != "mirror" {
                last.insert(((line.id, line.stage, line.index), line.life), line);
            }
        }
        let mut lists: BTreeMap<(&str, usize, usize), Vec<&Line>> = BTreeMap::new();
        for ((_, life), line) in &last {
            let spec = &facts.specs[&line.id];
            if let (Some(key), true) = (&spec.key, spec.named) {
                lists.entry((key, line.stage, *life)).or_default().push(line);
            }
        }
        for ((key, stage, life), lines) in lists {
            let spoilt = is_spoilt(facts, Some(key));
            // What was undone can be the longest of a life that ended before it was amended.
            if spoilt && life != facts.life {
                continue;
            }
            let sound = |line: &&&Line| facts.specs[&line.id].end(facts.attempts).is_ok();
            let whole = lines.iter().filter(sound).max_by_key(|line| line.list.len());
            let Some(whole) = whole.map(|line| &line.list) else { continue };
            let place = format!("key {key} at stage {stage} in life {life}");
            for line in lines.iter().filter(sound) {
                if !whole.starts_with(&line.list) || line.list.last() != Some(&line.id) {
                    wrong.push(format!("state: {place}: {line:?} is no part of {whole:?}"));
                }
            }
            let once: BTreeSet<u32> = whole.iter().copied().collect();
            if once.len() != whole.len() {
                wrong.push(format!("state: {place}: {whole:?} has one twice"));
            }
            for id in whole {
                let spec = &facts.specs[id];
                if let Err(code) = spec.end(facts.attempts) {
                    wrong.push(format!("state: {place}: {whole:?} has {id}, dead of '{code}'"));
                }
            }
            order(facts, whole, &place, wrong);
        }
    }
}

/// Messages of one priority that succeeded at once are in order of their publication.
fn order(facts: &Facts, list: &[u32], place: &str, wrong: &mut Vec<String>) {
    let mut last: BTreeMap<Option<u8>, u32> = BTreeMap::new();
    for id in list {
        let spec = &facts.specs[id];
        if spec.copies > 1 || matches!(spec.what, What::Fail(..)) {
            continue;
        }
        if let Some(before) = last.insert(spec.priority, *id)
            && before > *id
        {
            wrong.push(format!("order: {place}: {list:?} has {id} after {before}"));
        }
    }
}

/// Whether results of that key may be undone after they are out: another of its messages is one
/// whose outputs can't be published, which shows only when they are.
fn is_spoilt(facts: &Facts, key: Option<&str>) -> bool {
    let of_key = |spec: &&Spec| key.is_some() && spec.key.as_deref() == key;
    facts.specs.values().filter(of_key).any(Spec::fails_late)
}
