//! What another config changes on a running host: a plan, made before anything is touched.
//!
//! [`Plan::between`] is pure. It says which brokers, plugins and pipelines come, go or are altered, and
//! why; what the host can't change while it runs; and what it does in words for people. A pipeline that
//! isn't named there isn't touched: its consumer stays. Applying a plan is the service's.

mod differences;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, Exchange, Pipeline, Queue};
use crate::topology;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Brokers by name.
    pub brokers: BTreeMap<String, Change>,
    /// Plugins by name.
    pub plugins: BTreeMap<String, Change>,
    /// Pipelines by name.
    pub pipelines: BTreeMap<String, Change>,
    /// What else is altered, as `notify`, `exchange 'in'`.
    pub others: BTreeSet<String>,
    /// Keys that count only at the next start.
    pub at_next_start: Vec<String>,
}

/// What becomes of something that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is no more.
    Removed,
    /// It goes on in another way, because of these.
    Altered(Vec<String>),
}

// === impl Plan ===

impl Plan {
    /// What leads from one config to the other.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut plan = Self {
            brokers: named(&old.brokers, &new.brokers, |old, new| {
                if old == new { Vec::new() } else { vec!["its settings".to_owned()] }
            }),
            plugins: named(&old.plugins, &new.plugins, differences::of_plugin),
            ..Self::default()
        };
        let by_name = |config: &Config| -> BTreeMap<String, Pipeline> {
            config.pipelines.iter().map(|it| (it.name.clone(), it.clone())).collect()
        };
        let brokers = &plan.brokers;
        plan.pipelines = named(&by_name(old), &by_name(new), |before, after| {
            let mut why = differences::of_pipeline(before, after);
            why.extend(surroundings((old, before), (new, after), brokers));
            why
        });
        plan.others = others(old, new);
        plan.at_next_start = differences::at_next_start(&old.service, &new.service);
        if old.state != new.state {
            plan.at_next_start.push("state".to_owned());
        }
        plan
    }

    /// Whether the configs mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What counts only at the next start stays as it is until then.
    pub fn keep_what_stays(&self, old: &Config, new: &mut Config) {
        new.state = old.state.clone();
        differences::keep(&old.service, &mut new.service);
    }

    /// The pipelines that end, to begin again or not.
    pub fn ending(&self) -> impl Iterator<Item = &str> {
        let ends = |change: &Change| matches!(change, Change::Removed | Change::Altered(_));
        self.pipelines.iter().filter(move |(_, it)| ends(it)).map(|(name, _)| name.as_str())
    }

    /// Whether the pipeline of that name begins, or begins again.
    #[must_use]
    pub fn begins(&self, pipeline: &str) -> bool {
        matches!(self.pipelines.get(pipeline), Some(Change::Added | Change::Altered(_)))
    }

    /// A line for each thing that is done.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let lines =
            [("broker", &self.brokers), ("plugin", &self.plugins), ("pipeline", &self.pipelines)];
        let named = lines.into_iter().flat_map(|(what, all)| {
            all.iter().map(move |(name, change)| match change {
                Change::Added => format!("{what} '{name}' added"),
                Change::Removed => format!("{what} '{name}' removed"),
                Change::Altered(why) => format!("{what} '{name}' altered: {}", why.join(", ")),
            })
        });
        named.chain(self.others.iter().map(|it| format!("{it} altered"))).collect()
    }

    /// What the operator should know.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let text = |key: &String| {
            format!("{key} counts from the next start on; until then it stays as it is")
        };
        self.at_next_start.iter().map(text).collect()
    }
}

fn named<T>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    differences: impl Fn(&T, &T) -> Vec<String>,
) -> BTreeMap<String, Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |name: &&String| match (old.get(*name), new.get(*name)) {
        (None, _) => Some(Change::Added),
        (_, None) => Some(Change::Removed),
        (Some(old), Some(new)) => {
            let why = differences(old, new);
            (!why.is_empty()).then_some(Change::Altered(why))
        }
    };
    names.iter().filter_map(|name| Some(((*name).clone(), change(name)?))).collect()
}

/// What a pipeline depends on beside its own section.
fn surroundings(
    (old_config, old): (&Config, &Pipeline),
    (new_config, new): (&Config, &Pipeline),
    brokers: &BTreeMap<String, Change>,
) -> Vec<String> {
    let mut why = Vec::new();
    let outputs = new.outputs.values().map(|output| &output.broker);
    let used: BTreeSet<&String> = outputs.chain([&new.broker]).collect();
    why.extend(
        used.into_iter().filter(|it| brokers.contains_key(*it)).map(|it| format!("broker '{it}'")),
    );
    let queues = (topology::queue_of(old_config, old), topology::queue_of(new_config, new));
    if old.queue == new.queue && differences::is_consumed_otherwise(queues.0, queues.1) {
        why.push(format!("queue '{}'", new.queue));
    }
    let tables: BTreeSet<&String> = new.stages.iter().flat_map(|stage| &stage.tables).collect();
    let moved = |it: &&String| old_config.tables.get(*it) != new_config.tables.get(*it);
    why.extend(tables.into_iter().filter(moved).map(|it| format!("table '{it}'")));
    if old_config.failures.exchange != new_config.failures.exchange {
        why.push("failures.exchange".to_owned());
    }
    why
}

/// What is altered beside brokers, plugins and pipelines.
fn others(old: &Config, new: &Config) -> BTreeSet<String> {
    let exchange = |it: &Exchange| (it.broker.clone(), it.name.clone());
    let queue = |it: &Queue| (it.broker.clone(), it.name.clone());
    let mut all = differing("exchange", &old.exchanges, &new.exchanges, exchange);
    all.extend(differing("queue", &old.queues, &new.queues, queue));
    for new in &new.pipelines {
        let old = old.pipelines.iter().find(|it| it.name == new.name);
        if old.is_some_and(|old| old.record != new.record) {
            all.insert(format!("record of pipeline '{}'", new.name));
        }
    }
    let mut note = |what: &str, differs: bool| {
        if differs {
            all.insert(what.to_owned());
        }
    };
    note("failures", old.failures != new.failures);
    note("tables", old.tables != new.tables);
    note("notify", old.notify != new.notify);
    note("service.drain", old.service.drain != new.service.drain);
    let archive =
        |config: &Config| (config.service.archive_dir.clone(), config.service.archive_bytes);
    note("service.watch", old.service.watch != new.service.watch);
    note("service.archive", archive(old) != archive(new));
    all
}

/// Those that came, went or differ, by what they are called. `place` is broker and name.
fn differing<T: PartialEq>(
    what: &str,
    old: &[T],
    new: &[T],
    place: impl Fn(&T) -> (String, String),
) -> BTreeSet<String> {
    let by_place = |all: &'_ [T]| -> BTreeMap<(String, String), usize> {
        all.iter().enumerate().map(|(at, it)| (place(it), at)).collect()
    };
    let (before, after) = (by_place(old), by_place(new));
    let places: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differs = |at: &&&(String, String)| {
        before.get(**at).map(|it| &old[*it]) != after.get(**at).map(|it| &new[*it])
    };
    places.iter().filter(differs).map(|(_, name)| format!("{what} '{name}'")).collect()
}

#[cfg(test)]
mod tests;
