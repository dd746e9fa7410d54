//! From bytes to a plugin: every check that can be made before the first message.

use std::sync::Arc;

use wasmtime::component::Component;

use super::instance::{self, Instance};
use super::output::LogGate;
use super::{CallError, Description, Engine, LoadError, compile, failure, v0_1, wasi};
use crate::config::PluginLimits;
use crate::digest;

/// A component, compiled, checked and configured once. Makes instances.
pub struct Plugin {
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) description: Description,
    pub(super) limits: PluginLimits,
    pub(super) config: Vec<u8>,
    pub(super) pre: v0_1::Pre,
    pub(super) log: Arc<LogGate>,
    pub(super) engine: Engine,
}

/// What a core module and a component start with.
const MAGIC: &[u8] = b"\0asm";
const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

const BUILD: &str = "build it with `sluicegate plugin build`";

impl Engine {
    /// Compiles and checks a component, then describes and configures it on a throwaway instance.
    ///
    /// `config` is a MessagePack map. Takes as long as compiling does, tens of milliseconds and
    /// more: not for a thread that serves others.
    ///
    /// # Errors
    ///
    /// When the bytes are no component of a plugin, import what a plugin can't have, or when the
    /// plugin itself fails or refuses its config.
    pub fn load(
        &self,
        name: &str,
        wasm: &[u8],
        config: &[u8],
        limits: &PluginLimits,
    ) -> Result<Arc<Plugin>, LoadError> {
        let mut plugin = self.compile(name, wasm, config, limits)?;
        plugin.description = instance::probe(&plugin)
            .map_err(|error| LoadError { plugin: name.to_owned(), text: error.text })?;
        Ok(Arc::new(plugin))
    }

    /// Compiles and checks a component as [`Engine::load`] does, and asks what it is, without a
    /// config: answers the digest and the description.
    ///
    /// # Errors
    ///
    /// As with [`Engine::load`].
    pub fn inspect(&self, name: &str, wasm: &[u8]) -> Result<(String, Description), LoadError> {
        let plugin = self.compile(name, wasm, &[], &PluginLimits::default())?;
        let description = instance::describe(&plugin)
            .map_err(|error| LoadError { plugin: name.to_owned(), text: error.text })?;
        Ok((plugin.digest, description))
    }

    pub(super) fn compile(
        &self,
        name: &str,
        wasm: &[u8],
        config: &[u8],
        limits: &PluginLimits,
    ) -> Result<Plugin, LoadError> {
        let refused = |text: String| LoadError { plugin: name.to_owned(), text };
        check_bytes(wasm, limits.file_bytes).map_err(refused)?;
        let digest = digest::sha256(wasm);
        let component = compile::component(self, wasm, &digest, limits).map_err(refused)?;
        check_imports(self, &component).map_err(refused)?;
        check_exports(self, &component).map_err(refused)?;
        let pre = self.linker().instantiate_pre(&component).and_then(v0_1::Pre::new).map_err(
            |error| {
                refused(format!(
                    "it doesn't fit sluicegate:plugin 0.1: {}; build it against this host's wit",
                    failure::whole(&error)
                ))
            },
        )?;
        Ok(Plugin {
            name: name.to_owned(),
            digest,
            description: Description::default(),
            limits: limits.clone(),
            config: config.to_owned(),
            pre,
            log: Arc::new(LogGate::new(name, limits.log_lines_per_s)),
            engine: self.clone(),
        })
    }
}

impl Plugin {
    /// Its name in the config.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its file, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Whether it keeps state; one that doesn't is sent none.
    #[must_use]
    pub fn stateful(&self) -> bool {
        self.description.state_version.is_some()
    }

    /// What it may use.
    #[must_use]
    pub fn limits(&self) -> &PluginLimits {
        &self.limits
    }

    /// What it was configured with: a MessagePack map.
    #[must_use]
    pub fn config(&self) -> &[u8] {
        &self.config
    }

    /// Log lines of all its instances that were dropped, since they were too many.
    #[must_use]
    pub fn log_lines_dropped(&self) -> u64 {
        self.log.dropped()
    }

    /// Makes an instance with memory of its own, configured and ready.
    ///
    /// # Errors
    ///
    /// When the plugin fails or refuses its config, which it didn't when it was loaded.
    pub fn instantiate(self: &Arc<Self>) -> Result<Instance, CallError> {
        Instance::new(Arc::clone(self), Arc::clone(&self.log))
    }

    /// The same, of which nobody hears: what it logs is dropped, and isn't counted.
    ///
    /// # Errors
    /// As [`Plugin::instantiate`].
    pub fn instantiate_unheard(self: &Arc<Self>) -> Result<Instance, CallError> {
        Instance::new(Arc::clone(self), Arc::new(LogGate::closed(&self.name)))
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

fn check_bytes(wasm: &[u8], bytes_max: u64) -> Result<(), String> {
    if wasm.len() as u64 > bytes_max {
        return Err(format!(
            "it has {} bytes where {bytes_max} are allowed; build it in release mode, without debug \
             information, or raise its limits.file",
            wasm.len(),
        ));
    }
    if wasm.is_empty() {
        return Err(format!("the file is empty; {BUILD}"));
    }
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(format!("it is precompiled native code, which can't be trusted; {BUILD}"));
    }
    match wasm.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<4>()) {
        Some(&COMPONENT) => Ok(()),
        Some(&CORE_MODULE) => Err(format!(
            "it is a core WebAssembly module, not a component; {BUILD}, or for the target \
             wasm32-wasip2"
        )),
        Some(other) => {
            Err(format!("it is WebAssembly of an unknown version ({other:02x?}); {BUILD}"))
        }
        None => Err(format!("it isn't a WebAssembly component; {BUILD}")),
    }
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), String> {
    let ty = component.component_type();
    let mut forbidden = Vec::new();
    for (import, _) in ty.imports(engine.wasmtime()) {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        let (log, log_version) = v0_1::LOG.split_once('@').unwrap_or_default();
        if interface == log {
            if !compatible(version, log_version) {
                return Err(other_version(version));
            }
        } else if !(wasi::INTERFACES.contains(&interface) && version.starts_with("0.2.")) {
            forbidden.push(import);
        }
    }
    if forbidden.is_empty() {
        return Ok(());
    }
    Err(format!(
        "it imports {}; a plugin reaches no files, sockets or other worlds: what it needs comes \
         with its messages and its config. Take out what uses them",
        forbidden.join(", ")
    ))
}

fn check_exports(engine: &Engine, component: &Component) -> Result<(), String> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine.wasmtime()).map(|(name, _)| name).collect();
    let (guest, ours) = v0_1::GUEST.split_once('@').unwrap_or_default();
    for export in &exports {
        if let Some((interface, version)) = export.split_once('@')
            && interface == guest
        {
            return if compatible(version, ours) { Ok(()) } else { Err(other_version(version)) };
        }
    }
    let has = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(format!(
        "it is a component of another world: it exports {has} where a plugin exports {}; write \
         it with sluicegate-sdk",
        v0_1::GUEST
    ))
}

fn other_version(version: &str) -> String {
    let (_, ours) = v0_1::GUEST.split_once('@').unwrap_or_default();
    format!(
        "it was built for sluicegate:plugin {version}; this host speaks {ours}: build it with the \
         sluicegate-sdk of that version, or run a host that speaks {version}"
    )
}

/// Below 1.0 the minor version is what may break.
fn compatible(version: &str, ours: &str) -> bool {
    let minor = |version: &str| {
        let mut parts = version.split('.');
        Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
    };
    minor(version).is_some() && minor(version) == minor(ours)
}
