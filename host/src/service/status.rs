//! The host as the admin room sees it: how everything is doing, and what it can be told to do.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::Inner;
use super::parts::Parts;
use crate::admin::protocol::Tap;
use crate::admin::{self, Command, Following, Watch};
use crate::config::BrokerKind;
use crate::limits::{LIVE_SILENCE, TAP_RATE_MAX};
use crate::notice::ConditionKind;
use crate::pipeline::{State, Want};
use crate::recorder::{Ear, TapSettings};

impl Inner {
    /// Why nothing can be done with a pipeline of that name.
    fn no_pipeline(&self, name: &str) -> String {
        let names: Vec<String> =
            self.pipelines.status().into_iter().map(|pipeline| pipeline.name).collect();
        format!("there is no pipeline '{name}'; there are: {}", names.join(", "))
    }

    fn tap(&self, tap: Tap) -> Result<Following, String> {
        let (lines, following) = Following::new(format!("pipeline '{}'", tap.pipeline));
        let settings = TapSettings {
            bodies: tap.bodies,
            sample: f64::from(tap.sample_ppm) / 1e6,
            rate: tap.rate.min(TAP_RATE_MAX),
            record: tap.record,
        };
        let ear = Ear { lines: lines.sender, lost: lines.lost };
        self.recorder.tap(&tap.pipeline, settings, ear)?;
        Ok(following)
    }

    fn broker_status(parts: &Parts, name: &str) -> admin::BrokerStatus {
        let kind = match parts.config.brokers.get(name).map(|broker| &broker.kind) {
            Some(BrokerKind::Amqp(_)) => "amqp",
            Some(BrokerKind::Mqtt(_)) => "mqtt",
            Some(BrokerKind::Embedded) | None => "embedded",
        };
        let state = parts.connections.get(name).map(|it| it.states.borrow().clone());
        let state = state.unwrap_or_default();
        admin::BrokerStatus {
            name: name.to_owned(),
            kind: kind.to_owned(),
            connected: state.trouble.is_none(),
            server: state.server.map(|server| format!("{} {}", server.product, server.version)),
            error: state.trouble,
        }
    }

    fn pipeline_status(&self) -> Vec<admin::PipelineStatus> {
        let mut counters: BTreeMap<String, _> = self
            .telemetry
            .snapshot()
            .into_iter()
            .map(|snapshot| (snapshot.name.clone(), snapshot))
            .collect();
        let status = |pipeline: crate::pipeline::PipelineStatus| admin::PipelineStatus {
            counters: counters.remove(&pipeline.name).unwrap_or_default(),
            state: match pipeline.state {
                State::Running => admin::PipelineState::Running,
                State::Waiting(_) => admin::PipelineState::Connecting,
                State::Paused => admin::PipelineState::Paused,
                State::Draining => admin::PipelineState::Draining,
                State::Stopped => admin::PipelineState::Stopped,
            },
            name: pipeline.name,
            queue: pipeline.queue,
        };
        self.pipelines.status().into_iter().map(status).collect()
    }
}

impl admin::Host for Inner {
    fn live(&self) -> bool {
        let silence = self.elapsed_ms().saturating_sub(self.last_pong_ms.load(Ordering::Acquire));
        u128::from(silence) < LIVE_SILENCE.as_millis()
    }

    fn ready(&self) -> admin::Readiness {
        let mut reasons = Vec::new();
        if self.drain.is_cancelled() {
            reasons.push("draining".to_owned());
        }
        let parts = self.parts();
        for (name, connection) in &parts.connections {
            if let Some(trouble) = &connection.states.borrow().trouble {
                reasons.push(format!("broker '{name}': {trouble}"));
            }
            if let Some(why) = connection.broker.link().blocked {
                reasons.push(format!("broker '{name}' takes no publishes: {why}"));
            }
        }
        let mut paused: BTreeMap<String, Option<String>> = self
            .telemetry
            .snapshot()
            .into_iter()
            .map(|snapshot| (snapshot.name, snapshot.paused))
            .collect();
        for pipeline in self.pipelines.status() {
            let name = &pipeline.name;
            match pipeline.state {
                State::Running => {}
                State::Waiting(why) => {
                    reasons.push(format!("pipeline '{name}': {why}"));
                    continue;
                }
                State::Paused => reasons.push(format!("pipeline '{name}' is paused")),
                State::Draining => reasons.push(format!("pipeline '{name}' is draining")),
                State::Stopped => reasons.push(format!("pipeline '{name}' has stopped")),
            }
            if let Some(why) = paused.remove(name).flatten() {
                reasons.push(format!("pipeline '{name}' is held up: {why}"));
            }
        }
        let notes = self.telemetry.conditions().into_iter();
        let notes = notes.filter(|it| it.kind == ConditionKind::ConfigStale).map(|it| it.text);
        let reloads = parts.plugins.keys().filter_map(|plugin| {
            Some(format!("plugin '{plugin}': {}", self.reload_status(plugin)?))
        });
        admin::Readiness {
            notes: notes.chain(reloads).collect(),
            ..admin::Readiness::unless(reasons)
        }
    }

    fn status(&self) -> admin::Status {
        let parts = self.parts();
        admin::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            readiness: admin::Host::ready(self),
            brokers: parts
                .connections
                .keys()
                .map(|name| Self::broker_status(&parts, name))
                .collect(),
            pipelines: self.pipeline_status(),
            plugins: parts.plugins.values().map(|slot| self.plugin_status(slot)).collect(),
        }
    }

    fn control(&self, command: Command) -> Result<String, String> {
        let known = |name: &str, want, done: &str| {
            if self.pipelines.want(name, want) {
                return Ok(format!("pipeline '{name}' {done}"));
            }
            Err(self.no_pipeline(name))
        };
        match command {
            Command::Drain => {
                if self.drain.is_cancelled() {
                    return Err("already draining".to_owned());
                }
                self.drain.cancel();
                Ok(format!(
                    "draining: at most {} s for what is in hand",
                    self.parts().config.service.drain.as_secs()
                ))
            }
            Command::Pause(name) => known(&name, Want::Pause, "takes no more deliveries"),
            Command::Resume(name) => known(&name, Want::Run, "takes deliveries again"),
            Command::Scale(name, shards) => match self.pipelines.scale(&name, shards) {
                Some(granted) if granted == shards => {
                    Ok(format!("pipeline '{name}' is to use {shards} of its shards"))
                }
                Some(granted) => Ok(format!(
                    "pipeline '{name}' is to use {granted} of its shards, the most that it may"
                )),
                None => Err(self.no_pipeline(&name)),
            },
            Command::PluginHistory(plugin) => self.plugin_history(plugin.as_deref()),
        }
    }
    fn follow(&self, watch: Watch) -> Result<Following, String> {
        match watch {
            Watch::Tap(tap) => self.tap(tap),
            Watch::Reload(plugin) => self.follow_reload(plugin),
            Watch::ReloadPlugin(plugin) => self.reload_plugin(&plugin),
            Watch::State(request) => self.follow_state(request),
            Watch::Rollback { plugin, to } => self.roll_back(&plugin, to),
        }
    }
}
