//! `wit/v0.1`: its bindings, and its layout's encoder and decoder. Nothing above sees a version.

mod decode;
mod encode;
mod properties;
mod table;
mod wire;

use std::collections::HashMap;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::sandbox::{Sandbox, Source};
use super::{Batch, Decisions, Description};
use crate::config::PluginLimits;
use bindings::exports::sluicegate::plugin::guest;
use bindings::sluicegate::plugin::log;

/// The interface that a plugin of this version exports.
pub(super) const GUEST: &str = "sluicegate:plugin/guest@0.1.0";
/// The interface that it may import beside WASI's.
pub(super) const LOG: &str = "sluicegate:plugin/log@0.1.0";

/// The offset of a span that is absent.
const NONE: u32 = u32::MAX;
const LAYOUT_VERSION: u32 = 1;
/// Words of the header of an index.
const HEADER_WORDS: usize = 16;

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::cast_possible_truncation,
    reason = "generated"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "plugin",
        imports: { default: trappable },
    });
}

/// A component whose imports are satisfied and whose exports are known.
pub(super) struct Pre(bindings::PluginPre<Sandbox>);

/// A component with memory, and the buffers that its batches are encoded in.
pub(super) struct Guest {
    bindings: bindings::Plugin,
    batch: guest::Batch,
}

/// Why a call didn't give decisions.
pub(super) enum Failed {
    /// The call itself failed.
    Call(wasmtime::Error),
    /// The answer broke the contract, or a message can't be put into a batch.
    Malformed(String),
}

/// Links what the interface `log` offers.
pub(super) fn link(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    log::add_to_linker::<_, wasmtime::component::HasSelf<_>>(linker, |sandbox| sandbox)
}

impl Pre {
    pub(super) fn new(pre: InstancePre<Sandbox>) -> wasmtime::Result<Self> {
        bindings::PluginPre::new(pre).map(Self)
    }

    pub(super) fn engine(&self) -> &Engine {
        self.0.engine()
    }

    pub(super) fn component(&self) -> &Component {
        self.0.instance_pre().component()
    }

    pub(super) fn instantiate(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<Guest> {
        let bindings = self.0.instantiate(store)?;
        let batch = guest::Batch { now_us: 0, arena: Vec::new(), index: Vec::new() };
        Ok(Guest { bindings, batch })
    }
}

impl Guest {
    pub(super) fn describe(&self, store: &mut Store<Sandbox>) -> wasmtime::Result<Description> {
        let said = self.bindings.sluicegate_plugin_guest().call_describe(store)?;
        Ok(Description {
            name: said.name,
            version: said.version,
            sdk: said.sdk,
            state_version: said.state_version,
        })
    }

    pub(super) fn configure(
        &self,
        store: &mut Store<Sandbox>,
        config: &[u8],
    ) -> wasmtime::Result<Result<(), String>> {
        self.bindings.sluicegate_plugin_guest().call_configure(store, config)
    }

    pub(super) fn migrate(
        &self,
        store: &mut Store<Sandbox>,
        from: u32,
        state: &[u8],
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        self.bindings.sluicegate_plugin_guest().call_migrate(store, from, state)
    }

    /// Encodes, calls, and checks the answer.
    pub(super) fn process(
        &mut self,
        store: &mut Store<Sandbox>,
        batch: &Batch<'_>,
        limits: &PluginLimits,
    ) -> Result<Decisions, Failed> {
        let mut encoder = encode::Encoder {
            arena: std::mem::take(&mut self.batch.arena),
            index: std::mem::take(&mut self.batch.index),
            rows: HashMap::new(),
        };
        encoder.encode(batch).map_err(|broken| Failed::Malformed(broken.0))?;
        self.batch =
            guest::Batch { now_us: batch.now_us, arena: encoder.arena, index: encoder.index };
        let answer = self
            .bindings
            .sluicegate_plugin_guest()
            .call_process(store, &self.batch)
            .map_err(Failed::Call)?;
        let expected = decode::Expected {
            inputs: batch.messages,
            slots: batch.states.len(),
            now_us: batch.now_us,
            limits,
        };
        decode::decode(answer, expected)
            .map_err(|broken| Failed::Malformed(format!("the plugin's answer: {}", broken.0)))
    }
}

impl log::Host for Sandbox {
    fn write(&mut self, level: log::Level, message: u32, text: String) -> wasmtime::Result<()> {
        self.handed.take(text.len())?;
        let level = match level {
            log::Level::Error => tracing::Level::ERROR,
            log::Level::Warn => tracing::Level::WARN,
            log::Level::Info => tracing::Level::INFO,
            log::Level::Debug => tracing::Level::DEBUG,
            log::Level::Trace => tracing::Level::TRACE,
        };
        let message = usize::try_from(message).ok().filter(|_| message != NONE);
        self.output.line(Source::Log(level), message, text.as_bytes());
        Ok(())
    }
}
