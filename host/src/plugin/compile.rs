//! Compiling in a process of its own, whose time and memory are bounded.
//!
//! A component can be made so that compiling it takes gigabytes or hours, and nothing that the compiler
//! offers stops it. So the host starts itself again ([`reexecutable`], [`child`]) under resource limits;
//! that process compiles into the cache, and this one takes the code from there. Where the cache is off
//! a private one is made for the while. What compiled within its limits once is noted beside the cache
//! by its digest, so that a warm start needs no process.
//!
//! Where this process is no sluicegate (a library's test) compiling happens here, unbounded.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use wasmtime::component::Component;

use super::{Engine, cache, engine, failure};
use crate::config::PluginLimits;
use crate::limits::{
    PLUGIN_COMPILE_ANSWER_BYTES, PLUGIN_COMPILE_THREADS, PLUGIN_COMPILE_WALL_FACTOR,
};

/// The verb by which the host starts itself to compile.
pub const VERB: &str = "compile-plugin";

/// This process's own program, even where its file has been replaced.
const SELF: &str = "/proc/self/exe";

/// The folder, beside the compiled code, of what compiled within its limits.
const PROVEN: &str = "proven";

/// What a compiling process ends with where the component is at fault.
const DAMAGED: u8 = 2;

static REEXECUTABLE: OnceLock<()> = OnceLock::new();

/// Says that this process's program knows [`VERB`]: engines compile in processes of their own from now on.
pub fn reexecutable() {
    // A second time says nothing new.
    let _ = REEXECUTABLE.set(());
}

/// Whether engines compile in processes of their own.
pub(super) fn in_children() -> bool {
    REEXECUTABLE.get().is_some()
}

/// What a compiling process is told.
#[derive(Clone, Debug)]
pub struct Task {
    /// The cache that it compiles into.
    pub cache_dir: PathBuf,
    /// Processor time, in seconds.
    pub cpu_s: u64,
    /// Address space, in bytes.
    pub memory_bytes: u64,
}

/// Compiles a component, bounded where that can be.
pub(super) fn component(
    engine: &Engine,
    wasm: &[u8],
    digest: &str,
    limits: &PluginLimits,
) -> Result<Component, String> {
    if let Some(dir) = engine.cache_dir().filter(|_| in_children()) {
        let proof = proof(engine, dir, digest);
        if !proof.exists() {
            in_child(dir, wasm, limits)?;
            note(&proof);
        }
    }
    let compiled = Component::new(engine.wasmtime(), wasm);
    engine.forget_compiled();
    compiled.map_err(|error| damaged(wasm, &failure::whole(&error)))
}

fn damaged(wasm: &[u8], why: &str) -> String {
    format!("it can't be compiled; it is damaged or cut off ({} bytes): {why}", wasm.len())
}

/// Where it is noted that this component compiled within limits, by this compiler.
fn proof(engine: &Engine, dir: &Path, digest: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
    dir.join(PROVEN).join(format!("{digest}-{:016x}", hasher.finish()))
}

fn note(proof: &Path) {
    let noted =
        proof.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(proof, b""));
    if let Err(error) = noted {
        tracing::warn!(%error, "the next start compiles this plugin in a process again");
    }
}

fn in_child(dir: &Path, wasm: &[u8], limits: &PluginLimits) -> Result<(), String> {
    let cpu_s = limits.compile.as_secs().max(1);
    let mut command = Command::new(SELF);
    command
        .arg(VERB)
        .arg("--cache")
        .arg(dir)
        .args(["--cpu-s", &cpu_s.to_string()])
        .args(["--memory-bytes", &limits.compile_memory_bytes.to_string()])
        // What is secret in this process's environment is none of the compiler's business.
        .env_clear()
        .env("RAYON_NUM_THREADS", threads().to_string())
        .env("TOKIO_WORKER_THREADS", "1")
        // Each arena of the allocator takes address space.
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let cant = |error: std::io::Error| format!("the process that compiles it can't start: {error}");
    let mut child = command.spawn().map_err(cant)?;
    let end = converse(&mut child, wasm, limits.compile * PLUGIN_COMPILE_WALL_FACTOR);
    let Some(said) = end else {
        // It may have ended this very moment.
        let _ = child.kill();
        let _ = child.wait();
        return Err(too_long(limits));
    };
    let status = child.wait().map_err(cant)?;
    outcome(status, &said, wasm, limits)
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(PLUGIN_COMPILE_THREADS)
}

/// Hands the component over and takes what is said on stdout and stderr; `None` past the time.
fn converse(child: &mut Child, wasm: &[u8], wall: Duration) -> Option<String> {
    // One answer of each of two pipes.
    let (said, heard) = mpsc::sync_channel(2);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let wasm = wasm.to_vec();
    // The threads end with the child's ends of the pipes, at the latest when it is killed.
    thread::spawn(move || {
        // One that ended without listening says why itself.
        stdin.map(|mut stdin| stdin.write_all(&wasm))
    });
    let listen = |stream: Option<Box<dyn std::io::Read + Send>>| {
        let said = said.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(stream) = stream {
                // What can't be read is missing from a message, no more.
                let _ = stream.take(PLUGIN_COMPILE_ANSWER_BYTES).read_to_end(&mut text);
            }
            said.send(String::from_utf8_lossy(&text).trim().to_owned())
        });
    };
    listen(stdout.map(|it| Box::new(it) as _));
    listen(stderr.map(|it| Box::new(it) as _));
    let started = std::time::Instant::now();
    let mut all = heard.recv_timeout(wall).ok()?;
    let more = heard.recv_timeout(wall.saturating_sub(started.elapsed())).ok()?;
    all.push_str(&more);
    Some(all)
}

/// What the end of a compiling process means.
fn outcome(
    status: ExitStatus,
    said: &str,
    wasm: &[u8],
    limits: &PluginLimits,
) -> Result<(), String> {
    if status.success() {
        return Ok(());
    }
    if status.code() == Some(i32::from(DAMAGED)) && !out_of_memory(said) {
        return Err(damaged(wasm, said));
    }
    if out_of_memory(said) {
        return Err(format!(
            "compiling it takes more than {} bytes of memory (limits.compile_memory); make it \
             smaller, or raise that",
            limits.compile_memory_bytes
        ));
    }
    let signal = status.signal();
    if [Signal::XCPU, Signal::KILL].iter().any(|it| signal == Some(it.as_raw())) {
        return Err(too_long(limits));
    }
    Err(format!("the process that compiled it failed ({status}): {said}"))
}

fn out_of_memory(said: &str) -> bool {
    [
        "memory allocation of",
        "Cannot allocate memory",
        "os error 12",
        "failed to allocate",
        "out of memory",
        // No room for another thread's stack.
        "Resource temporarily unavailable",
    ]
    .iter()
    .any(|sign| said.contains(sign))
}

fn too_long(limits: &PluginLimits) -> String {
    format!(
        "compiling it takes longer than {} s (limits.compile); make it smaller, or raise that",
        limits.compile.as_secs_f64()
    )
}

/// Compiles what comes on standard input, in the process that `component` started. Answers the
/// exit code.
///
/// # Errors
/// The limits, the cache or the input can't be had.
pub fn child(task: &Task) -> anyhow::Result<u8> {
    let limit = |resource, at: u64| {
        setrlimit(resource, Rlimit { current: Some(at), maximum: Some(at.saturating_add(1)) })
    };
    limit(Resource::Core, 0)?;
    limit(Resource::Cpu, task.cpu_s)?;
    limit(Resource::As, task.memory_bytes)?;
    // Those who serve messages come first.
    let _ = rustix::process::nice(10);
    let mut wasm = Vec::new();
    std::io::stdin().lock().read_to_end(&mut wasm)?;
    let cache = cache::open(&task.cache_dir)?;
    let engine = wasmtime::Engine::new(&engine::config(Some(cache)))
        .map_err(|error| anyhow::anyhow!(failure::whole(&error)))?;
    match Component::new(&engine, &wasm) {
        Ok(_) => Ok(0),
        Err(error) => {
            print!("{}", failure::whole(&error));
            Ok(DAMAGED)
        }
    }
}

#[cfg(test)]
mod tests;
