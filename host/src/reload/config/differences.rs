//! In which keys two sections of the same name differ. A key that is new to the config is new here too:
//! the compiler asks for it.

use crate::config::{Pipeline, Plugin, Queue, Retry, Service};
use crate::topology;

/// Keys with whether they differ → those that do.
fn keys<'k>(all: impl IntoIterator<Item = (&'k str, bool)>) -> Vec<String> {
    all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}

/// Of a plugin.
pub(super) fn of_plugin(old: &Plugin, new: &Plugin) -> Vec<String> {
    let Plugin { name: _, source, sha256, config, limits, breaker, purity_sample, reload } = old;
    keys([
        ("file", *source != new.source),
        ("sha256", *sha256 != new.sha256),
        ("config", *config != new.config),
        ("limits", *limits != new.limits),
        ("breaker", *breaker != new.breaker),
        ("purity_sample", *purity_sample != new.purity_sample),
        ("reload", *reload != new.reload),
    ])
}

/// Of a pipeline.
pub(super) fn of_pipeline(old: &Pipeline, new: &Pipeline) -> Vec<String> {
    let Pipeline {
        name: _,
        queue,
        broker,
        key,
        key_required,
        content_type,
        kind,
        id,
        id_window,
        state_ttl,
        stages,
        outputs,
        prefetch,
        rate,
        shards,
        batch,
        exclusive,
        retry,
        // Nothing that a pipeline must end for.
        record: _,
    } = old;
    keys([
        ("queue", *queue != new.queue),
        ("broker", *broker != new.broker),
        ("key", *key != new.key || *key_required != new.key_required),
        ("content_type", *content_type != new.content_type),
        ("type", *kind != new.kind),
        ("id", *id != new.id),
        ("id_window", *id_window != new.id_window),
        ("state_ttl", *state_ttl != new.state_ttl),
        ("stages", *stages != new.stages),
        ("outputs", *outputs != new.outputs),
        ("prefetch", *prefetch != new.prefetch),
        ("rate", *rate != new.rate),
        ("shards", *shards != new.shards),
        ("batch", *batch != new.batch),
        ("exclusive", *exclusive != new.exclusive),
        ("retry", in_use(retry) != in_use(&new.retry)),
    ])
}

/// As far as it says anything: what may wait in the host follows from the prefetch.
fn in_use(retry: &Retry) -> Retry {
    Retry { park: retry.parked(), ..retry.clone() }
}

/// Whether a pipeline that consumes the queue would do it in another way. What feeds a shared queue is
/// nothing to its consumer.
pub(super) fn is_consumed_otherwise(old: Option<&Queue>, new: Option<&Queue>) -> bool {
    let as_consumed = |queue: &Queue| {
        let mut queue = queue.clone();
        if !topology::is_private(&queue) {
            queue.bind.clear();
        }
        queue
    };
    old.map(as_consumed) != new.map(as_consumed)
}

/// Of the process itself, as far as they count only at its next start.
pub(super) fn at_next_start(old: &Service, new: &Service) -> Vec<String> {
    let Service {
        http,
        socket,
        shards,
        drain: _,
        state_dir,
        archive_dir: _,
        archive_bytes: _,
        cache_dir,
        watch: _,
    } = old;
    keys([
        ("service.http", *http != new.http),
        ("service.socket", *socket != new.socket),
        ("service.shards", *shards != new.shards),
        ("service.state_dir", *state_dir != new.state_dir),
        ("service.cache_dir", *cache_dir != new.cache_dir),
    ])
}

/// Takes those from the old one.
pub(super) fn keep(old: &Service, new: &mut Service) {
    let Service { http, socket, shards, state_dir, cache_dir, .. } = old.clone();
    *new = Service { http, socket, shards, state_dir, cache_dir, ..new.clone() };
}
