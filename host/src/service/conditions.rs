//! Looks at what readiness looks at, again and again, and says what is the matter as conditions.

mod trend;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::trend::{Ended, Trend};
use super::Inner;
use crate::limits;
use crate::notice::ConditionKind;
use crate::pipeline::State;

/// Looks until the host stops.
pub(super) async fn watch(inner: Arc<Inner>, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(limits::CONDITION_LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trends = BTreeMap::new();
    for look_number in 0_u64.. {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // What a drain stops isn't the matter.
        if !inner.drain.is_cancelled() {
            look(&inner);
            if look_number.is_multiple_of(limits::RISING_LOOKS) {
                rising(&inner, &mut trends);
                let why = untold(&inner.config.service.state_dir).await;
                inner.telemetry.condition(ConditionKind::UntoldFailures, "", why.as_deref());
            }
        }
    }
}

fn look(inner: &Inner) {
    let telemetry = &inner.telemetry;
    for (name, state) in &inner.supervised {
        let trouble = state.borrow().trouble.clone();
        telemetry.condition(ConditionKind::BrokerUnreachable, name, trouble.as_deref());
    }
    for (name, broker) in &inner.brokers {
        let blocked = broker.link().blocked;
        telemetry.condition(ConditionKind::PublishesBlocked, name, blocked.as_deref());
    }
    for pipeline in inner.pipelines.status() {
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

fn rising(inner: &Inner, trends: &mut BTreeMap<String, Trend>) {
    for it in inner.telemetry.snapshot() {
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
