//! What a running host does about dead letters: looks at how many there are, archives what their queues
//! keep no longer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use super::supervisor::Connection;
use crate::config::Config;
use crate::deadletter::archive::{self, Archive, Files};
use crate::deadletter::watch::{self, Watched};
use crate::telemetry::Telemetry;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Governed {
    /// Dead-letter queues by broker.
    watched: BTreeMap<String, Vec<Watched>>,
    /// Broker and name of each archive's queue.
    archives: BTreeSet<(String, String)>,
    folder: PathBuf,
    bytes: u64,
}

impl Governed {
    /// What that config has looked after.
    pub(super) fn by(config: &Config) -> Self {
        let watched = |name: &String| (name.clone(), watch::watched(config, name));
        Self {
            watched: config.brokers.keys().map(watched).collect(),
            archives: archive::queues(config),
            folder: config.service.archive_dir.clone(),
            bytes: config.service.archive_bytes,
        }
    }

    /// The queues of all of it.
    pub(super) fn queues(&self) -> BTreeSet<&str> {
        let archives = self.archives.iter().map(|(_, queue)| queue.as_str());
        self.watched.values().flatten().map(|it| it.queue.as_str()).chain(archives).collect()
    }

    /// Whether any of it is on that broker.
    pub(super) fn is_on(&self, broker: &str) -> bool {
        self.watched.get(broker).is_some_and(|queues| !queues.is_empty())
            || self.archives.iter().any(|(at, _)| at == broker)
    }
}

/// What is to be run for as long as that is looked after.
pub(super) fn tasks(
    governed: &Governed,
    connections: &BTreeMap<String, Connection>,
    telemetry: &Telemetry,
) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    for (name, queues) in governed.watched.iter().filter(|(_, queues)| !queues.is_empty()) {
        let Some(connection) = connections.get(name) else { continue };
        let (name, broker) = (name.clone(), Arc::clone(&connection.broker));
        let (queues, ready) = (queues.clone(), connection.readiness.ready.clone());
        tasks.push(Box::pin(watch::run(name, broker, queues, ready, telemetry.clone())));
    }
    let files = Arc::new(Files::new(&governed.folder, governed.bytes));
    for (name, queue) in &governed.archives {
        let Some(connection) = connections.get(name) else { continue };
        let broker = (name.as_str(), Arc::clone(&connection.broker));
        let (ready, files) = (connection.readiness.ready.clone(), Arc::clone(&files));
        tasks.push(Box::pin(Archive::new(broker, queue, ready, files, telemetry).run()));
    }
    tasks
}
