//! What went wrong in a call, told from what wasmtime returned and what the sandbox saw.

use std::fmt::Write as _;
use std::time::Duration;

use wasmtime::{FrameInfo, Trap, WasmBacktrace};

use super::CallError;
use super::sandbox::{Sandbox, TooMuch};
use super::wasi::Forbidden;
use crate::limits::{self, PLUGIN_BACKTRACE_FRAMES, PLUGIN_CALL_WALL_FACTOR};
use crate::verdict::FailureClass;

/// Tells the class and the text of a failed call.
pub(super) fn classify(error: &wasmtime::Error, sandbox: &Sandbox) -> CallError {
    let backtrace = backtrace(error);
    let (class, text) = if let Some(text) = deadline(sandbox) {
        (FailureClass::Deadline, text)
    } else if let Some(text) = memory(sandbox) {
        (FailureClass::Memory, text)
    } else if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
        (FailureClass::Trap, forbidden.to_string())
    } else if let Some(too_much) = error.downcast_ref::<TooMuch>() {
        (FailureClass::Malformed, too_much.to_string())
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        (FailureClass::Trap, trapped(*trap, sandbox))
    } else if fuel_exhausted(error) {
        (FailureClass::Malformed, too_large())
    } else if backtrace.is_empty() {
        // Nothing was running: wasmtime couldn't read what the guest returned.
        (FailureClass::Malformed, format!("the plugin's answer can't be read: {}", whole(error)))
    } else {
        (FailureClass::Trap, whole(error))
    };
    CallError { class, text, backtrace }
}

fn deadline(sandbox: &Sandbox) -> Option<String> {
    let spent = sandbox.timer.passed?;
    let limit = sandbox.timer.limit();
    Some(format!(
        "the call passed its limit of {} processor time ({} wall time): it had used {} and {}; \
         raise the plugin's limits.call if it is meant to take so long",
        ms(limit),
        ms(limit * PLUGIN_CALL_WALL_FACTOR),
        ms(spent.cpu),
        ms(spent.wall),
    ))
}

/// A growth that was denied during this call is why it failed: Rust's allocator aborts then.
fn memory(sandbox: &Sandbox) -> Option<String> {
    let asked = sandbox.memory.denied?;
    Some(format!(
        "the plugin asked for {asked} bytes more than the {} it holds; its limit is {} bytes \
         (limits.memory)",
        sandbox.memory.used,
        sandbox.memory.limit(),
    ))
}

fn trapped(trap: Trap, sandbox: &Sandbox) -> String {
    if let Some(panic) = sandbox.output.panic() {
        return panic;
    }
    let mut text = match trap {
        Trap::StackOverflow => format!(
            "stack overflow: the plugin recursed through the {} bytes of stack that a call has",
            limits::PLUGIN_STACK_BYTES
        ),
        Trap::MemoryOutOfBounds => {
            "out-of-bounds memory access; deep recursion that overflows the plugin's own stack \
             looks like this too"
                .to_owned()
        }
        Trap::UnreachableCodeReached => "the plugin aborted".to_owned(),
        other => other.to_string(),
    };
    if let Some(line) = sandbox.output.last_line() {
        let _ = write!(text, "; its last line on stderr: {line}");
    }
    text
}

/// wasmtime's own type for it is private; its text is the only way to know.
fn fuel_exhausted(error: &wasmtime::Error) -> bool {
    whole(error).contains(FUEL_TEXT)
}

const FUEL_TEXT: &str = "fuel allocated for hostcalls has been exhausted";

fn too_large() -> String {
    "the plugin handed over more bytes in one call than it may; return less, or raise its \
     limits.output"
        .to_owned()
}

/// The error with its causes, without wasmtime's rendering of the backtrace.
pub(super) fn whole(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if cause.starts_with("error while executing at wasm backtrace") {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// Names of the guest's functions, innermost first.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let name = |frame: &FrameInfo| match frame.func_name() {
        Some(name) => demangled(name),
        None => format!("function {}", frame.func_index()),
    };
    backtrace.frames().iter().take(PLUGIN_BACKTRACE_FRAMES).map(name).collect()
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
