//! Delay queues that a broker still has and the config no longer uses: another ladder's, or of a work
//! queue that was of another kind. What waits in them comes back by itself; nobody deletes them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{RETRY_PREFIX, delay_queue, inventory, is_private, plan, queue, vhost};
use crate::broker::{Broker, BrokerError, Declaration};
use crate::config::{self, BrokerKind, Config, QueueKind};
use crate::limits;

/// Delay queues that the config doesn't use.
#[derive(Clone, Debug, PartialEq)]
pub struct Orphans {
    /// In order of their names.
    pub found: Vec<Orphan>,
    /// How they were looked for.
    pub source: Source,
}

/// A delay queue that the config doesn't use.
#[derive(Clone, Debug, PartialEq)]
pub struct Orphan {
    /// Its name.
    pub name: String,
    /// How long a message waits in it; `None` where the name doesn't say.
    pub rung: Option<Duration>,
    /// Its kind, by its name.
    pub kind: Option<QueueKind>,
    /// The work queue of this config that it leads back to; `None` where it is another's.
    pub work: Option<String>,
    /// Messages that wait; `None` where nobody could say.
    pub messages: Option<u64>,
}

/// How a broker's delay queues were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The management API lists every queue.
    Management,
    /// The definitions export lists every queue that there was when it was made.
    Export,
    /// AMQP lists nothing: so many names that a delay queue may have had were asked for.
    Guessed {
        /// How many.
        names: usize,
        /// Why the list that the config names couldn't be read, where it names one.
        why: Option<String>,
    },
}

/// The delay queues on that broker of the config which the config doesn't use.
///
/// # Errors
/// When the broker can't be asked.
pub async fn orphans(
    config: &Config,
    name: &str,
    broker: &dyn Broker,
) -> Result<Orphans, BrokerError> {
    let used = used(config, name);
    let works = work_queues(config, name);
    let (names, source) = match listed(config.brokers.get(name)).await {
        Ok(Some((names, source))) => (names, source),
        Ok(None) => guesses(config, &works, None),
        Err(why) => guesses(config, &works, Some(why)),
    };
    let mut found = Vec::new();
    for (name, counted) in names {
        if used.contains(&name) {
            continue;
        }
        let ready = match broker.depth(&name).await {
            Ok(depth) => Some(u64::from(depth.messages)),
            Err(BrokerError::NotFound(_)) => continue,
            Err(BrokerError::Locked(_) | BrokerError::Forbidden(_)) => None,
            Err(error) => return Err(error),
        };
        // The list also counts what a quorum queue is handing over.
        let messages = ready.max(counted);
        let work = works.iter().find(|work| leads_to(&name, work)).cloned();
        let (kind, rung) = read_name(&name);
        found.push(Orphan { name, rung, kind, work, messages });
    }
    Ok(Orphans { found, source })
}

/// Names of delay queues, with how many messages each holds where that is known.
type Names = Vec<(String, Option<u64>)>;

async fn listed(settings: Option<&config::Broker>) -> Result<Option<(Names, Source)>, String> {
    let Some(settings) = settings else { return Ok(None) };
    let BrokerKind::Amqp(amqp) = &settings.kind else { return Ok(None) };
    let Some(inventory) = inventory::read(amqp, &vhost(settings)).await? else { return Ok(None) };
    let mut names: Names = inventory
        .queues()
        .filter(|(name, _)| name.starts_with(RETRY_PREFIX))
        .map(|(name, messages)| (name.to_owned(), messages))
        .collect();
    names.sort();
    let source = if amqp.management.is_some() { Source::Management } else { Source::Export };
    Ok(Some((names, source)))
}

/// The names that this config's work queues would give the rungs of the default ladder, and all rungs
/// that the config names anywhere, whatever the queues were.
fn guesses(config: &Config, works: &BTreeSet<String>, why: Option<String>) -> (Names, Source) {
    let mut rungs: BTreeSet<Duration> = limits::RETRY_RUNGS.into();
    for retry in config.pipelines.iter().map(|pipeline| &pipeline.retry) {
        let own = std::iter::once(&retry.rungs).chain(retry.class_rungs.values());
        rungs.extend(own.flatten());
    }
    let mut names = BTreeSet::new();
    for work in works {
        for kind in [QueueKind::Classic, QueueKind::Quorum] {
            names.extend(rungs.iter().map(|rung| delay_queue(work, kind, *rung)));
        }
    }
    let source = Source::Guessed { names: names.len(), why };
    (names.into_iter().map(|name| (name, None)).collect(), source)
}

fn used(config: &Config, broker: &str) -> BTreeSet<String> {
    let plan = plan(config).remove(broker).unwrap_or_default();
    let queue = |object: Declaration| match object {
        Declaration::Queue(queue) => Some(queue.name),
        Declaration::Exchange(_) | Declaration::Binding(_) => None,
    };
    plan.shared.into_iter().filter_map(queue).collect()
}

/// Every queue of the config there that a pipeline could consume: it may have had one.
fn work_queues(config: &Config, broker: &str) -> BTreeSet<String> {
    let could = |q: &&config::Queue| !is_private(q) && q.kind != QueueKind::Stream;
    let queues = config.queues.iter().filter(|q| q.broker == broker).filter(could);
    queues.map(|q| q.name.clone()).collect()
}

/// Whether the delay queue is one that this work queue would give the name.
fn leads_to(name: &str, work: &str) -> bool {
    let (Some(kind), Some(rung)) = read_name(name) else { return false };
    delay_queue(work, kind, rung) == name
}

/// Kind and rung of a delay queue, read from the end of its name.
fn read_name(name: &str) -> (Option<QueueKind>, Option<Duration>) {
    let mut words = name.rsplit('.');
    let rung = words.next().and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
    let kinds = [QueueKind::Classic, QueueKind::Quorum];
    let kind = words
        .next()
        .and_then(|word| kinds.into_iter().find(|kind| queue::kind_name(*kind) == word));
    (kind, rung)
}
