//! `cargo xtask`: what cargo can't do alone.
//!
//! `setup` makes a machine able to run everything: the wasm target, a RabbitMQ. `test` is `setup`
//! and every test; `ci` is the whole gate.

mod rabbitmq;

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
cargo xtask setup          install what the tests need: the wasm target, a RabbitMQ
cargo xtask test [ARGS]    setup, then every test; ARGS go to cargo test
cargo xtask ci             formatting, clippy, every test";

/// What plugins are compiled for.
const WASM: &str = "wasm32-wasip2";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.split_first().map(|(verb, rest)| (verb.as_str(), rest)) {
        Some(("setup", [])) => setup(),
        Some(("test", rest)) => setup().and_then(|()| test(rest)),
        Some(("ci", [])) => ci(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn setup() -> Result<()> {
    wasm_target()?;
    rabbitmq::ensure()
}

fn test(arguments: &[String]) -> Result<()> {
    let cargo = cargo();
    let mut command = Command::new(cargo);
    run(command.args(["test", "--release", "--workspace"]).args(arguments))
}

fn ci() -> Result<()> {
    let step = |arguments: &[&str]| run(Command::new(cargo()).args(arguments));
    step(&["fmt", "--all", "--check"])?;
    step(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    setup()?;
    test(&[])
}

/// Adds the target where rustup has a say; elsewhere its library must already be there.
fn wasm_target() -> Result<()> {
    let libdir = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", WASM])
        .output()
        .context("rustc isn't there")?;
    let libdir = String::from_utf8_lossy(&libdir.stdout).trim().to_owned();
    if !libdir.is_empty() && std::path::Path::new(&libdir).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", WASM])).with_context(|| {
        format!("the target {WASM} is missing; without rustup, install your system's std for it")
    })
}

fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs a command, shown first, that must succeed.
fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("can't start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}
