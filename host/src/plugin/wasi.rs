//! The WASI that a plain `wasm32-wasip2` Rust guest links, as a pure function may have it.
//!
//! The environment is empty, standard input is at its end, what goes to stdout and stderr is logged,
//! the clocks stand at the batch's time, random numbers are the same in every call. Whatever would
//! wait traps. Files, sockets and the rest aren't here, and so are refused at load, by name.

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, Val,
};

use super::sandbox::Sandbox;

/// A host function's refusal: the call traps with this text.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Forbidden(pub(super) &'static str);

const WAIT: Forbidden = Forbidden("a plugin can't wait; use a timer");
const EXIT: Forbidden = Forbidden("the plugin called exit; return a verdict instead");
const NO_ERROR: Forbidden = Forbidden("there is no such error");

/// Bytes that a stream takes at once.
const WRITE_BYTES: u64 = 64 * 1024;
/// Random bytes that one call may ask for.
const RANDOM_BYTES: u64 = 1024 * 1024;

/// Every interface that is linked here, without version.
pub(super) const INTERFACES: [&str; 18] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
];

struct InputStream;
struct OutputStream;
struct Pollable;
struct IoError;
struct TerminalInput;
struct TerminalOutput;

/// The handles of the two output streams; there are no others.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

#[allow(unsafe_code, reason = "derived")]
mod types {
    use super::{ComponentType, IoError, Lift, Lower, Resource};

    #[derive(ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(super) enum StreamError {
        #[component(name = "last-operation-failed")]
        LastOperationFailed(Resource<IoError>),
        #[component(name = "closed")]
        Closed,
    }

    #[derive(ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct Datetime {
        pub(super) seconds: u64,
        pub(super) nanoseconds: u32,
    }
}
use types::{Datetime, StreamError};

type Cx<'a> = StoreContextMut<'a, Sandbox>;
type Linked = wasmtime::Result<()>;

/// Links all of it.
pub(super) fn link(linker: &mut Linker<Sandbox>) -> Linked {
    io(linker)?;
    cli(linker)?;
    clocks(linker)?;
    random(linker)
}

fn interface<'l>(
    linker: &'l mut Linker<Sandbox>,
    name: &str,
) -> wasmtime::Result<LinkerInstance<'l, Sandbox>> {
    // Any 0.2.x of a guest finds these: the linker matches by semantic versions.
    linker.instance(&format!("{name}@0.2.0"))
}

fn resource<R: 'static>(instance: &mut LinkerInstance<'_, Sandbox>, name: &str) -> Linked {
    instance.resource(name, ResourceType::host::<R>(), |_, _| Ok(()))
}

/// Functions that trap, whatever they are handed.
fn forbid(instance: &mut LinkerInstance<'_, Sandbox>, why: Forbidden, names: &[&str]) -> Linked {
    for name in names {
        instance.func_new(name, move |_: Cx<'_>, _: ComponentFunc, _: &[Val], _: &mut [Val]| {
            Err(why.into())
        })?;
    }
    Ok(())
}

fn io(linker: &mut Linker<Sandbox>) -> Linked {
    let mut error = interface(linker, "wasi:io/error")?;
    resource::<IoError>(&mut error, "error")?;
    forbid(&mut error, NO_ERROR, &["[method]error.to-debug-string"])?;

    let mut poll = interface(linker, "wasi:io/poll")?;
    resource::<Pollable>(&mut poll, "pollable")?;
    // All there is to poll are the output streams, which are always ready: what would have to wait
    // traps where it is subscribed to.
    poll.func_wrap("[method]pollable.ready", |_: Cx<'_>, _: (Resource<Pollable>,)| Ok((true,)))?;
    poll.func_wrap("[method]pollable.block", |_: Cx<'_>, _: (Resource<Pollable>,)| Ok(()))?;
    poll.func_wrap("poll", |_: Cx<'_>, (all,): (Vec<Resource<Pollable>>,)| {
        Ok(((0u32..).zip(all).map(|(at, _)| at).collect::<Vec<_>>(),))
    })?;

    let mut streams = interface(linker, "wasi:io/streams")?;
    resource::<IoError>(&mut streams, "error")?;
    resource::<Pollable>(&mut streams, "pollable")?;
    resource::<InputStream>(&mut streams, "input-stream")?;
    resource::<OutputStream>(&mut streams, "output-stream")?;
    input(&mut streams)?;
    output(&mut streams)
}

fn input(streams: &mut LinkerInstance<'_, Sandbox>) -> Linked {
    type In = (Resource<InputStream>, u64);
    streams.func_wrap("[method]input-stream.read", |_: Cx<'_>, _: In| {
        Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
    })?;
    streams.func_wrap("[method]input-stream.skip", |_: Cx<'_>, _: In| {
        Ok((Err::<u64, _>(StreamError::Closed),))
    })?;
    forbid(
        streams,
        WAIT,
        &[
            "[method]input-stream.blocking-read",
            "[method]input-stream.blocking-skip",
            "[method]input-stream.subscribe",
        ],
    )
}

fn output(streams: &mut LinkerInstance<'_, Sandbox>) -> Linked {
    type Done = (Result<(), StreamError>,);
    type Out = (Resource<OutputStream>,);
    type Write = (Resource<OutputStream>, Vec<u8>);

    streams.func_wrap("[method]output-stream.check-write", |_: Cx<'_>, _: Out| {
        Ok((Ok::<_, StreamError>(WRITE_BYTES),))
    })?;
    for name in ["write", "blocking-write-and-flush"] {
        let write = |mut cx: Cx<'_>, (stream, bytes): Write| -> wasmtime::Result<Done> {
            cx.data_mut().handed.take(bytes.len())?;
            let output = &mut cx.data_mut().output;
            match stream.rep() {
                STDERR => output.stderr(&bytes),
                _ => output.stdout(&bytes),
            }
            Ok((Ok(()),))
        };
        streams.func_wrap(&format!("[method]output-stream.{name}"), write)?;
    }
    streams.func_wrap("[method]output-stream.subscribe", |_: Cx<'_>, _: Out| {
        Ok((Resource::<Pollable>::new_own(0),))
    })?;
    // Writes are taken at once: there is never anything to wait for.
    for name in ["flush", "blocking-flush"] {
        let flush = |_: Cx<'_>, _: Out| -> wasmtime::Result<Done> { Ok((Ok(()),)) };
        streams.func_wrap(&format!("[method]output-stream.{name}"), flush)?;
    }
    for name in ["write-zeroes", "blocking-write-zeroes-and-flush"] {
        let zeroes = |_: Cx<'_>, _: (Resource<OutputStream>, u64)| -> wasmtime::Result<Done> {
            Ok((Ok(()),))
        };
        streams.func_wrap(&format!("[method]output-stream.{name}"), zeroes)?;
    }
    forbid(
        streams,
        WAIT,
        &["[method]output-stream.splice", "[method]output-stream.blocking-splice"],
    )
}

fn cli(linker: &mut Linker<Sandbox>) -> Linked {
    let mut environment = interface(linker, "wasi:cli/environment")?;
    environment
        .func_wrap("get-environment", |_: Cx<'_>, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_: Cx<'_>, (): ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_: Cx<'_>, (): ()| Ok((None::<String>,)))?;

    forbid(&mut interface(linker, "wasi:cli/exit")?, EXIT, &["exit", "exit-with-code"])?;

    let mut stdin = interface(linker, "wasi:cli/stdin")?;
    resource::<InputStream>(&mut stdin, "input-stream")?;
    stdin.func_wrap("get-stdin", |_: Cx<'_>, (): ()| Ok((Resource::<InputStream>::new_own(0),)))?;
    for (name, handle) in [("stdout", STDOUT), ("stderr", STDERR)] {
        let mut stream = interface(linker, &format!("wasi:cli/{name}"))?;
        resource::<OutputStream>(&mut stream, "output-stream")?;
        stream.func_wrap(&format!("get-{name}"), move |_: Cx<'_>, (): ()| {
            Ok((Resource::<OutputStream>::new_own(handle),))
        })?;
    }

    let mut terminal = interface(linker, "wasi:cli/terminal-input")?;
    resource::<TerminalInput>(&mut terminal, "terminal-input")?;
    let mut terminal = interface(linker, "wasi:cli/terminal-output")?;
    resource::<TerminalOutput>(&mut terminal, "terminal-output")?;
    let mut terminal = interface(linker, "wasi:cli/terminal-stdin")?;
    resource::<TerminalInput>(&mut terminal, "terminal-input")?;
    terminal.func_wrap("get-terminal-stdin", |_: Cx<'_>, (): ()| {
        Ok((None::<Resource<TerminalInput>>,))
    })?;
    for name in ["stdout", "stderr"] {
        let mut terminal = interface(linker, &format!("wasi:cli/terminal-{name}"))?;
        resource::<TerminalOutput>(&mut terminal, "terminal-output")?;
        terminal.func_wrap(&format!("get-terminal-{name}"), |_: Cx<'_>, (): ()| {
            Ok((None::<Resource<TerminalOutput>>,))
        })?;
    }
    Ok(())
}

fn clocks(linker: &mut Linker<Sandbox>) -> Linked {
    let mut monotonic = interface(linker, "wasi:clocks/monotonic-clock")?;
    resource::<Pollable>(&mut monotonic, "pollable")?;
    monotonic
        .func_wrap("now", |cx: Cx<'_>, (): ()| Ok((cx.data().now_us.saturating_mul(1000),)))?;
    monotonic.func_wrap("resolution", |_: Cx<'_>, (): ()| Ok((1000u64,)))?;
    forbid(&mut monotonic, WAIT, &["subscribe-instant", "subscribe-duration"])?;

    let mut wall = interface(linker, "wasi:clocks/wall-clock")?;
    wall.func_wrap("now", |cx: Cx<'_>, (): ()| Ok((datetime(cx.data().now_us),)))?;
    wall.func_wrap("resolution", |_: Cx<'_>, (): ()| Ok((datetime(1),)))?;
    Ok(())
}

fn datetime(us: u64) -> Datetime {
    let nanoseconds = u32::try_from(us % 1_000_000 * 1000).unwrap_or(0);
    Datetime { seconds: us / 1_000_000, nanoseconds }
}

fn random(linker: &mut Linker<Sandbox>) -> Linked {
    for (name, kind) in [("random", ""), ("insecure", "insecure-")] {
        let mut random = interface(linker, &format!("wasi:random/{name}"))?;
        random.func_wrap(
            &format!("get-{kind}random-bytes"),
            |mut cx: Cx<'_>, (count,): (u64,)| -> wasmtime::Result<(Vec<u8>,)> {
                if count > RANDOM_BYTES {
                    return Err(Forbidden("more than 1 MiB of random bytes asked for").into());
                }
                let count = usize::try_from(count)?;
                Ok((cx.data_mut().random.bytes(count),))
            },
        )?;
        random.func_wrap(&format!("get-{kind}random-u64"), |mut cx: Cx<'_>, (): ()| {
            Ok((cx.data_mut().random.next(),))
        })?;
    }
    let mut seed = interface(linker, "wasi:random/insecure-seed")?;
    // Named differently from one 0.2.x to the next.
    for name in ["insecure-seed", "get-insecure-seed"] {
        seed.func_wrap(name, |mut cx: Cx<'_>, (): ()| {
            let random = &mut cx.data_mut().random;
            Ok(((random.next(), random.next()),))
        })?;
    }
    Ok(())
}
