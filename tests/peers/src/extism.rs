//! [Extism](https://extism.org): a plugin is handed bytes and answers bytes.
//!
//! Its host has no notion of messages, keys or verdicts; how a batch is written is its user's affair. It is
//! measured with MessagePack as arrays, borrowed where it is read, and with a message's body alone in a
//! call. Its compiled code is cached, as by default, and no time limit is set, which it is fastest without.

use anyhow::Context as _;
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};
use peer_contract::{Decision, Message};
use sluicegate_bench::dispatch::{Logic, Turns};
use sluicegate_bench::method::{Contender, Done};
use sluicegate_bench::sample::Sample;

use crate::guests;

/// Bytes of all meters' variables.
const VAR_BYTES: u64 = 64 << 20;

/// How it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Batches; state in its variables.
    Batches,
    /// Batches; state in the plugin's memory.
    Remembering,
    /// A body a call. State in the plugin's memory.
    Bodies,
}

impl Usage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Batches => "Extism",
            Self::Remembering => "Extism, own memory",
            Self::Bodies => "Extism, a body a call",
        }
    }
}

/// An instance of the plugin.
pub(crate) struct Extism {
    plugin: Plugin,
    usage: Usage,
    turns: Turns,
}

impl Extism {
    pub(crate) fn new(
        logic: Logic,
        usage: Usage,
        samples: &[Sample],
        batch: usize,
    ) -> anyhow::Result<Self> {
        let name = match (logic, usage) {
            (Logic::Anomaly, Usage::Remembering | Usage::Bodies) => "remembered",
            _ => logic.as_str(),
        };
        let mut manifest =
            Manifest::new([Wasm::data(guests::EXTISM)]).with_config_key("logic", name);
        manifest.memory.max_var_bytes = Some(VAR_BYTES);
        let compiled = CompiledPlugin::new(PluginBuilder::new(manifest))?;
        let plugin = Plugin::new_from_compiled(&compiled)?;
        Ok(Self { plugin, usage, turns: Turns::new(samples, batch) })
    }

    fn call(&mut self, done: &mut Done) -> anyhow::Result<()> {
        let samples = self.turns.take();
        if self.usage == Usage::Bodies {
            for sample in samples {
                let answer: &[u8] = self.plugin.call("one", &*sample.body)?;
                count(&rmp_serde::from_slice(answer)?, done);
            }
            return Ok(());
        }
        let messages: Vec<Message<'_>> = samples
            .iter()
            .map(|sample| Message {
                exchange: "meters",
                routing_key: &sample.routing_key,
                key: &sample.key,
                body: &sample.body,
            })
            .collect();
        let input = rmp_serde::to_vec(&messages)?;
        let answer: &[u8] = self.plugin.call("batch", input)?;
        let decisions: Vec<Decision<'_>> = rmp_serde::from_slice(answer)?;
        decisions.iter().for_each(|decision| count(decision, done));
        Ok(())
    }
}

fn count(decision: &Decision<'_>, done: &mut Done) {
    done.messages += 1;
    done.refused += u64::from(decision.refused.is_some());
    done.told += u64::from(decision.told.is_some());
}

impl Contender for Extism {
    fn name(&self) -> &str {
        self.usage.name()
    }

    fn take(&mut self, batches: usize) -> anyhow::Result<Done> {
        let mut done = Done::default();
        for _ in 0..batches {
            self.call(&mut done).with_context(|| self.name().to_owned())?;
        }
        Ok(done)
    }
}

/// All ways to use it for that logic.
pub(crate) fn usages(logic: Logic) -> &'static [Usage] {
    match logic {
        Logic::Anomaly => &[Usage::Batches, Usage::Remembering, Usage::Bodies],
        _ => &[Usage::Batches, Usage::Bodies],
    }
}
