//! One store: a plugin's memory, called by one shard, thrown away after the first error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wasmtime::Store;

use super::load::Plugin;
use super::output::LogGate;
use super::sandbox::Sandbox;
use super::{Batch, CallCost, CallError, Decisions, Description, failure, v0_1};
use crate::limits;
use crate::verdict::FailureClass;

/// A plugin with memory of its own.
///
/// What it keeps in that memory may be thrown away between any two calls; after an error it must be.
pub struct Instance {
    plugin: Arc<Plugin>,
    store: Store<Sandbox>,
    guest: v0_1::Guest,
    spent: bool,
    memory_at_start: usize,
}

impl Instance {
    pub(super) fn new(plugin: Arc<Plugin>, log: Arc<LogGate>) -> Result<Self, CallError> {
        let (mut store, guest) = open_with(&plugin, log)?;
        configure(&plugin, &mut store, &guest)?;
        let memory_at_start = store.data().memory.used;
        Ok(Self { plugin, store, guest, spent: false, memory_at_start })
    }

    /// Bytes of linear memory that it had when it was new and configured.
    #[must_use]
    pub fn memory_at_start(&self) -> usize {
        self.memory_at_start
    }

    /// The plugin that this is an instance of.
    #[must_use]
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Linear memory that it holds, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.store.data().memory.used
    }

    /// Whether a call failed: further ones are refused.
    #[must_use]
    pub fn spent(&self) -> bool {
        self.spent
    }

    /// Hands a batch to the plugin and checks its answer.
    ///
    /// # Errors
    ///
    /// When the plugin trapped, passed a limit, or answered with what breaks the contract. Nothing
    /// of the batch is decided then, and this instance is spent.
    pub fn process(&mut self, batch: &Batch<'_>) -> Result<(Decisions, CallCost), CallError> {
        if self.spent {
            return Err(CallError {
                class: FailureClass::Trap,
                text: "this instance failed before; make another".to_owned(),
                backtrace: Vec::new(),
            });
        }
        let limits = &self.plugin.limits;
        let running = self.plugin.engine.running();
        begin(&mut self.store, limits.call, batch.now_us);
        let answer = self.guest.process(&mut self.store, batch, limits);
        drop(running);
        let sandbox = self.store.data_mut();
        sandbox.output.flush(Some(batch));
        let sandbox = self.store.data();
        match answer {
            Ok(decisions) => {
                let wall = sandbox.timer.wall();
                Ok((decisions, CallCost { wall, memory_bytes: sandbox.memory.used }))
            }
            Err(failed) => {
                self.spent = true;
                Err(match failed {
                    v0_1::Failed::Call(error) => failure::classify(&error, sandbox),
                    v0_1::Failed::Malformed(text) => {
                        CallError { class: FailureClass::Malformed, text, backtrace: Vec::new() }
                    }
                })
            }
        }
    }

    /// State of another version of the schema, as this version keeps it.
    ///
    /// # Errors
    ///
    /// When the plugin trapped, passed a limit, can't read that state, or made too much of it.
    pub fn migrate(&mut self, from: u32, state: &[u8]) -> Result<Bytes, CallError> {
        let limits = &self.plugin.limits;
        let running = self.plugin.engine.running();
        begin(&mut self.store, limits.call, 0);
        let answer = self.guest.migrate(&mut self.store, from, state);
        drop(running);
        self.store.data_mut().output.flush(None);
        let refused = |text: String| {
            let end = text.floor_char_boundary(limits::FAILURE_TEXT_BYTES);
            let text = format!("it can't migrate state of version {from}: {}", &text[..end]);
            CallError { class: FailureClass::Malformed, text, backtrace: Vec::new() }
        };
        match answer {
            Ok(Ok(migrated)) if migrated.len() > limits.state_bytes => Err(refused(format!(
                "it makes {} bytes of it where {} are allowed (limits.state)",
                migrated.len(),
                limits.state_bytes
            ))),
            Ok(Ok(migrated)) => Ok(migrated.into()),
            Ok(Err(why)) => Err(refused(why)),
            Err(error) => {
                self.spent = true;
                Err(failure::classify(&error, self.store.data()))
            }
        }
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.plugin.name)
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}

/// Describes and configures on an instance that is thrown away.
pub(super) fn probe(plugin: &Plugin) -> Result<Description, CallError> {
    let (mut store, guest) = open(plugin)?;
    let description = setup(plugin, &mut store, "describe", |store| guest.describe(store))?;
    configure(plugin, &mut store, &guest)?;
    Ok(description)
}

/// Describes on an instance that is thrown away.
pub(super) fn describe(plugin: &Plugin) -> Result<Description, CallError> {
    let (mut store, guest) = open(plugin)?;
    setup(plugin, &mut store, "describe", |store| guest.describe(store))
}

/// Describes on an instance that is thrown away, and says how much memory that one held.
pub(super) fn weigh(plugin: &Plugin) -> Result<(Description, usize), CallError> {
    let (mut store, guest) = open(plugin)?;
    let description = setup(plugin, &mut store, "describe", |store| guest.describe(store))?;
    Ok((description, store.data().memory.used))
}

fn open(plugin: &Plugin) -> Result<(Store<Sandbox>, v0_1::Guest), CallError> {
    open_with(plugin, Arc::clone(&plugin.log))
}

fn open_with(
    plugin: &Plugin,
    log: Arc<LogGate>,
) -> Result<(Store<Sandbox>, v0_1::Guest), CallError> {
    let sandbox = Sandbox::new(&plugin.limits, log);
    let mut store = Store::new(plugin.pre.engine(), sandbox);
    store.limiter(|sandbox| &mut sandbox.memory);
    store.set_hostcall_fuel(plugin.limits.output_bytes);
    store.epoch_deadline_callback(|mut store| Ok(store.data_mut().timer.check()));
    let guest = setup(plugin, &mut store, "instantiation", |store| plugin.pre.instantiate(store))?;
    Ok((store, guest))
}

fn configure(
    plugin: &Plugin,
    store: &mut Store<Sandbox>,
    guest: &v0_1::Guest,
) -> Result<(), CallError> {
    let answer = setup(plugin, store, "configure", |store| guest.configure(store, &plugin.config))?;
    answer.map_err(|why| {
        let end = why.floor_char_boundary(limits::FAILURE_TEXT_BYTES);
        CallError {
            class: FailureClass::Trap,
            text: format!("it refuses its config: {}", &why[..end]),
            backtrace: Vec::new(),
        }
    })
}

/// A call that isn't about messages, under limits of its own.
fn setup<T>(
    plugin: &Plugin,
    store: &mut Store<Sandbox>,
    what: &str,
    call: impl FnOnce(&mut Store<Sandbox>) -> wasmtime::Result<T>,
) -> Result<T, CallError> {
    let running = plugin.engine.running();
    begin(store, limits::PLUGIN_SETUP, 0);
    let answer = call(store);
    drop(running);
    store.data_mut().output.flush(None);
    answer.map_err(|error| {
        let error = failure::classify(&error, store.data());
        CallError { text: format!("{what} failed ({}): {}", error.class, error.text), ..error }
    })
}

fn begin(store: &mut Store<Sandbox>, limit: Duration, now_us: u64) {
    store.data_mut().begin(limit, now_us);
    // The next tick calls the timer, which calls for the one after.
    store.set_epoch_deadline(1);
}
