//! What a running host does about dead letters: looks at how many there are, archives what their queues
//! keep no longer.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use crate::broker::Broker;
use crate::config::Config;
use crate::deadletter::archive::{self, Archive, Files};
use crate::deadletter::watch;
use crate::pipeline::Readiness;
use crate::telemetry::Telemetry;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is to be run until the host stops.
pub(super) fn tasks(
    config: &Config,
    brokers: &BTreeMap<String, Arc<dyn Broker>>,
    readiness: &BTreeMap<String, Readiness>,
    telemetry: &Telemetry,
) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    for (name, broker) in brokers {
        let Some(ready) = readiness.get(name).map(|it| it.ready.clone()) else { continue };
        let queues = watch::watched(config, name);
        if !queues.is_empty() {
            let (name, broker) = (name.clone(), Arc::clone(broker));
            tasks.push(Box::pin(watch::run(name, broker, queues, ready, telemetry.clone())));
        }
    }
    let files = Arc::new(Files::new(&config.service.archive_dir, config.service.archive_bytes));
    for (name, queue) in archive::queues(config) {
        let (Some(broker), Some(ready)) = (brokers.get(&name), readiness.get(&name)) else {
            continue;
        };
        let broker = (name.as_str(), Arc::clone(broker));
        let (ready, files) = (ready.ready.clone(), Arc::clone(&files));
        tasks.push(Box::pin(Archive::new(broker, &queue, ready, files, telemetry).run()));
    }
    tasks
}
