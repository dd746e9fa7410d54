//! Looks at what readiness looks at, again and again, and says what is the matter as conditions.

mod trend;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use self::trend::{Ended, Trend};
use super::Inner;
use super::parts::Parts;
use crate::limits;
use crate::notice::ConditionKind;
use crate::pipeline::{PipelineStatus, State};

/// Looks until the host stops.
pub(super) async fn watch(inner: Arc<Inner>) {
    let mut ticks = tokio::time::interval(limits::CONDITION_LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trends = BTreeMap::new();
    for look_number in 0_u64.. {
        ticks.tick().await;
        // What a drain stops isn't the matter.
        if !inner.drain.is_cancelled() && !inner.closing.is_cancelled() {
            look(&inner);
            plugins(&inner);
            if look_number.is_multiple_of(limits::RISING_LOOKS) {
                rising(&inner, &mut trends);
                let state_dir = inner.parts().config.service.state_dir.clone();
                let why = untold(&state_dir).await;
                inner.telemetry.condition(ConditionKind::UntoldFailures, "", why.as_deref());
            }
        }
    }
}

fn look(inner: &Inner) {
    let telemetry = &inner.telemetry;
    let parts = inner.parts();
    for (name, connection) in &parts.connections {
        let trouble = connection.states.borrow().trouble.clone();
        telemetry.condition(ConditionKind::BrokerUnreachable, name, trouble.as_deref());
        let blocked = connection.broker.link().blocked;
        telemetry.condition(ConditionKind::PublishesBlocked, name, blocked.as_deref());
    }
    let pipelines = inner.pipelines.status();
    end_of_what_is_gone(inner, &parts, &pipelines);
    for pipeline in pipelines {
        let (waiting, mut paused) = match pipeline.state {
            State::Waiting(why) => (Some(why), None),
            State::Paused => (None, Some("paused by an operator".to_owned())),
            State::Running => (None, None),
            // On its way out.
            State::Draining | State::Stopped => continue,
        };
        if paused.is_none() {
            paused = telemetry.pipeline(&pipeline.name).paused_why();
        }
        let name = &pipeline.name;
        telemetry.condition(ConditionKind::PipelineWaiting, name, waiting.as_deref());
        telemetry.condition(ConditionKind::PipelinePaused, name, paused.as_deref());
    }
}

/// What a config that was read again has no more isn't the matter any more.
fn end_of_what_is_gone(inner: &Inner, parts: &Parts, pipelines: &[PipelineStatus]) {
    let pipelines: BTreeSet<&str> = pipelines.iter().map(|it| it.name.as_str()).collect();
    let queues = parts.governance.of.queues();
    for condition in inner.telemetry.conditions() {
        let subject = condition.subject.as_str();
        let is_there = match condition.kind.subject() {
            "broker" => parts.connections.contains_key(subject),
            "pipeline" => pipelines.contains(subject),
            "queue" => queues.contains(subject),
            _ => true,
        };
        if !is_there {
            inner.telemetry.condition(condition.kind, subject, None);
        }
    }
}

fn plugins(inner: &Inner) {
    for (name, slot) in &inner.parts().plugins {
        let broken = slot.guard().why();
        inner.telemetry.condition(ConditionKind::PluginBroken, name, broken.as_deref());
        let impure = inner.purity.impure(&slot.current());
        inner.telemetry.condition(ConditionKind::PluginImpure, name, impure.as_deref());
    }
}

fn rising(inner: &Inner, trends: &mut BTreeMap<String, Trend>) {
    let running: BTreeSet<String> =
        inner.pipelines.status().into_iter().map(|pipeline| pipeline.name).collect();
    trends.retain(|name, _| running.contains(name));
    for it in inner.telemetry.snapshot().into_iter().filter(|it| running.contains(&it.name)) {
        let failed = it.dead_lettered + it.annotated + it.discarded;
        let now = Ended { all: it.done + it.dropped + failed, failed };
        let why = trends.entry(it.name.clone()).or_default().note(now);
        inner.telemetry.condition(ConditionKind::FailuresRising, &it.name, why.as_deref());
    }
}

/// What of failures is on disk because no broker took it.
async fn untold(state_dir: &Path) -> Option<String> {
    let path = state_dir.join(limits::JOURNAL_FILE);
    let bytes = tokio::fs::metadata(&path).await.map_or(0, |it| it.len());
    let text = || {
        format!(
            "{} holds {bytes} bytes of failure reports; read them, then take it away",
            path.display()
        )
    };
    (bytes > 0).then(text)
}
