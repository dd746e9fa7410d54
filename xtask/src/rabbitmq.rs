//! Finds a RabbitMQ server for the tests, or installs one where that is allowed.
//!
//! The tests start nodes of their own and never use a running one, so nothing is left running here:
//! Debian's package would start its service, which a policy forbids for the time of the install.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run;

/// Tells the tests which `rabbitmq-server` to start.
pub(crate) const VARIABLE: &str = "SLUICEGATE_RABBITMQ_SERVER";
/// Where Debian asks whether a package may start its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Makes sure that the tests will find a `rabbitmq-server`.
pub(crate) fn ensure() -> Result<()> {
    if let Some(server) = env::var_os(VARIABLE) {
        if Path::new(&server).is_file() {
            return Ok(());
        }
        bail!("{VARIABLE} names {}, which isn't there", Path::new(&server).display());
    }
    if let Some(server) = find() {
        eprintln!("RabbitMQ: {}", server.display());
        return Ok(());
    }
    if !(is_debian() && is_root()) {
        bail!("{}", advice());
    }
    install("rabbitmq-server")?;
    find().map(drop).context("rabbitmq-server was installed, and yet isn't where it should be")
}

/// Makes sure that there is a `debootstrap`.
pub(crate) fn ensure_debootstrap() -> Result<()> {
    ensure_package("debootstrap")
}

/// Makes sure that there is a `mosquitto`, which tests of MQTT start.
pub(crate) fn ensure_mosquitto() -> Result<()> {
    ensure_package("mosquitto")
}

/// Makes sure that there is a `valgrind`, which counts what the guard compares.
pub(crate) fn ensure_valgrind() -> Result<()> {
    ensure_package("valgrind")
}

/// Makes sure of a program that Debian has under its own name.
fn ensure_package(name: &str) -> Result<()> {
    if on_path(name) || Path::new("/usr/sbin").join(name).is_file() {
        return Ok(());
    }
    if !(is_debian() && is_root()) {
        bail!("{name} is missing: `apt-get install {name}` on Debian or Ubuntu, as root");
    }
    install(name)
}

fn find() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/lib/rabbitmq/bin", "/usr/sbin"].map(PathBuf::from))
        .map(|folder| folder.join("rabbitmq-server"))
        .find(|candidate| candidate.is_file())
}

/// Installs a package of Debian's, and starts nothing of it.
fn install(name: &str) -> Result<()> {
    run(Command::new("apt-get").arg("update"))?;
    let _no_service = NoService::begin()?;
    run(Command::new("apt-get")
        .args(["install", "-y", "--no-install-recommends", name])
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// While it lives, no package starts a service. A policy that is already there stays.
struct NoService {
    ours: bool,
}

impl NoService {
    fn begin() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        // 101 is "forbidden by policy".
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("can't write {POLICY}"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoService {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(POLICY).is_err() {
            eprintln!("{POLICY} must be removed by hand: it keeps packages from starting services");
        }
    }
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && on_path("apt-get")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn on_path(program: impl AsRef<OsStr>) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program.as_ref()).is_file())
}

/// What to do on this machine, exactly.
fn advice() -> String {
    let command = if is_debian() {
        "sudo apt-get update && sudo apt-get install -y rabbitmq-server"
    } else if on_path("dnf") {
        "sudo dnf install -y rabbitmq-server"
    } else if on_path("pacman") {
        "sudo pacman -S rabbitmq"
    } else if on_path("apk") {
        "sudo apk add rabbitmq-server"
    } else if on_path("brew") {
        "brew install rabbitmq"
    } else {
        "install RabbitMQ 3.10 or later: https://www.rabbitmq.com/docs/download"
    };
    let mut text = format!(
        "The tests start a RabbitMQ of their own, and no rabbitmq-server is installed.\n\n    \
         {command}\n\nThe service need not run: the tests use ports and folders of their own. Is \
         it somewhere else? Set {VARIABLE} to the path of rabbitmq-server."
    );
    for engine in ["docker", "podman"] {
        if on_path(engine) {
            text.push_str(&format!(
                "\n\nOr run everything in a container:\n\n    {engine} run --rm -it -v \"$PWD\":/src \
                 -w /src rust:1-bookworm cargo xtask test"
            ));
            break;
        }
    }
    text
}
