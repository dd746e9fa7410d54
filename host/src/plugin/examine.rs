//! What a component is, without running it on anything: imports, exports, what it weighs, what it takes
//! to start.

mod sections;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::load::Plugin;
use super::{Description, Engine, LoadError, instance};
use crate::config::PluginLimits;

pub use self::sections::{Sections, sections};

/// What a component was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// What it says of itself.
    pub description: Description,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// How long it took to compile.
    pub compile: Duration,
    /// How long an instance takes to be made, and configured where there is a config.
    pub start: Duration,
    /// Linear memory that it then holds, in bytes.
    pub memory_bytes: usize,
    /// What it said to an empty config, where none was given: it wants one.
    pub wants_config: Option<String>,
}

impl Engine {
    /// Compiles and checks a component as [`Engine::load`] does, and says what it is. With a config, a
    /// MessagePack map, it must take that; without one it may want one.
    ///
    /// # Errors
    /// As with [`Engine::load`].
    pub fn examine(
        &self,
        name: &str,
        wasm: &[u8],
        config: Option<&[u8]>,
        limits: &PluginLimits,
    ) -> Result<Examined, LoadError> {
        let failed = |text: String| LoadError { plugin: name.to_owned(), text };
        let began = Instant::now();
        let plugin = self.compile(name, wasm, config.unwrap_or(&[]), limits)?;
        let compile = began.elapsed();
        let began = Instant::now();
        let (description, memory) = instance::weigh(&plugin).map_err(|error| failed(error.text))?;
        let start = began.elapsed();
        let (imports, exports) = interfaces(&plugin);
        let mut examined = Examined {
            digest: plugin.digest.clone(),
            description,
            imports,
            exports,
            compile,
            start,
            memory_bytes: memory,
            wants_config: None,
        };
        let began = Instant::now();
        match Arc::new(plugin).instantiate() {
            Ok(instance) => {
                examined.start = began.elapsed();
                examined.memory_bytes = instance.memory_bytes();
            }
            Err(error) if config.is_some() => return Err(failed(error.text)),
            Err(error) => examined.wants_config = Some(error.text),
        }
        Ok(examined)
    }
}

fn interfaces(plugin: &Plugin) -> (Vec<String>, Vec<String>) {
    let ty = plugin.pre.component().component_type();
    let engine = plugin.engine.wasmtime();
    let imports = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let exports = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
    (imports, exports)
}
