//! The one engine of a process: how plugins are compiled, and the tick that bounds their time.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use wasmtime::component::Linker;
use wasmtime::{Cache, Config, EngineWeak, WasmBacktraceDetails, WasmFeatures};

use super::sandbox::Sandbox;
use super::{cache, compile, failure, v0_1, wasi};
use crate::limits;

/// Compiles and runs plugins. One per process; clones share it.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What an engine may be told.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Where compiled plugins are kept between starts; `None` compiles each time.
    ///
    /// What is in there is run as native code: it is created for this user alone (0700), and one that
    /// others could write to is refused.
    pub cache_dir: Option<PathBuf>,
}

/// Why there is no engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub(super) String);

struct Shared {
    wasmtime: wasmtime::Engine,
    linker: Linker<Sandbox>,
    ticker: Ticker,
    cache_dir: Option<PathBuf>,
    /// Where the compiled code is handed over that isn't kept.
    private: Option<cache::Private>,
}

/// Advances the epoch while something runs.
struct Ticker {
    pulse: Arc<Pulse>,
    thread: Option<JoinHandle<()>>,
}

/// What the ticker and those who need it know of each other.
#[derive(Default)]
struct Pulse {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The ticker sleeps until somebody wakes it.
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// A call that may run; the epoch advances until it is dropped.
pub(super) struct Running<'a>(&'a Pulse);

// === impl Engine ===

impl Engine {
    /// Starts the engine and its ticker.
    ///
    /// # Errors
    ///
    /// When the cache folder can't be used, or no thread can be started.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let said = |error: wasmtime::Error| EngineError(failure::whole(&error));
        let handed_over = options.cache_dir.is_none() && compile::in_children();
        let private = handed_over.then(cache::Private::new).and_then(|made| {
            made.inspect_err(
                |error| tracing::warn!(%error, "plugins are compiled in this process, unbounded"),
            )
            .ok()
        });
        let cache_dir =
            private.as_ref().map(|it| it.dir().to_owned()).or_else(|| options.cache_dir.clone());
        let opened = cache_dir.as_deref().map(cache::open).transpose()?;
        let wasmtime = wasmtime::Engine::new(&config(opened)).map_err(said)?;
        let mut linker = Linker::new(&wasmtime);
        wasi::link(&mut linker).map_err(said)?;
        v0_1::link(&mut linker).map_err(said)?;
        let ticker = Ticker::start(wasmtime.weak())?;
        Ok(Self { shared: Arc::new(Shared { wasmtime, linker, ticker, cache_dir, private }) })
    }

    /// Where compiled code is.
    pub(super) fn cache_dir(&self) -> Option<&Path> {
        self.shared.cache_dir.as_deref()
    }

    /// What was compiled has been taken: it goes, unless it is to be kept.
    pub(super) fn forget_compiled(&self) {
        if let Some(private) = &self.shared.private {
            private.empty();
        }
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.wasmtime
    }

    /// Keeps the epoch advancing for a call.
    pub(super) fn running(&self) -> Running<'_> {
        self.shared.ticker.running()
    }

    pub(super) fn linker(&self) -> &Linker<Sandbox> {
        &self.shared.linker
    }
}

/// What the engine knows and plugins don't need: each is refused by its name, so that less can go wrong in
/// the compiler. Relaxed SIMD is in, in its one form; what isn't here is off without being told.
fn beyond() -> WasmFeatures {
    WasmFeatures::MEMORY64
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::GC
}

/// What makes a plugin deterministic, interruptible, and its failures legible.
pub(super) fn config(cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_features(beyond(), false)
        // Lines would be looked up by parsing the plugin's debug information again for each frame of
        // each trap, ten and more milliseconds of a shard's time. A panic says its line itself.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(limits::PLUGIN_BACKTRACE_FRAMES))
        // The stack is the engine's, the same for every plugin.
        .max_wasm_stack(limits::PLUGIN_STACK_BYTES)
        .memory_init_cow(true)
        .cache(cache);
    config
}

// === impl Ticker ===

impl Ticker {
    fn start(engine: EngineWeak) -> Result<Self, EngineError> {
        let pulse = Arc::new(Pulse::default());
        let shared = Arc::clone(&pulse);
        let thread = thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || shared.tick(&engine))
            .map_err(|error| EngineError(format!("the epoch's thread doesn't start: {error}")))?;
        Ok(Self { pulse, thread: Some(thread) })
    }

    fn running(&self) -> Running<'_> {
        self.pulse.begun.fetch_add(1, Ordering::SeqCst);
        if self.pulse.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(&self.pulse)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.pulse.stop.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Pulse {
    /// Ticks until it is told to stop; sleeps while nothing has run for a while, so that an idle host
    /// is idle.
    fn tick(&self, engine: &EngineWeak) {
        let mut seen = 0;
        let mut quiet = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let begun = self.begun.load(Ordering::SeqCst);
            quiet = if self.idle(seen) { quiet + 1 } else { 0 };
            seen = begun;
            if quiet > limits::EPOCH_QUIET_TICKS {
                self.asleep.store(true, Ordering::SeqCst);
                // Who began before seeing `asleep` is seen here; who begins later wakes this thread.
                if self.idle(seen) && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep.store(false, Ordering::SeqCst);
                quiet = 0;
            }
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            drop(engine);
            thread::park_timeout(limits::EPOCH_TICK);
        }
    }

    /// Whether nothing runs and nothing began since.
    fn idle(&self, seen: u64) -> bool {
        let begun = self.begun.load(Ordering::SeqCst);
        begun == seen && begun == self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}
