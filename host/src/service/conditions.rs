//! Looks at what readiness looks at, again and again, and says what is the matter as conditions.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::limits;
use crate::notice::ConditionKind;
use crate::pipeline::State;

/// Looks until the host stops.
pub(super) async fn watch(inner: Arc<Inner>, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(limits::CONDITION_LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // What a drain stops isn't the matter.
        if !inner.drain.is_cancelled() {
            look(&inner);
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
