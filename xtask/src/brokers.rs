//! Runs what speaks to a broker on newer RabbitMQs than the system's own.
//!
//! Debian's later releases carry them: each is unpacked into a folder of `target/brokers` and its
//! server started inside, as any other `rabbitmq-server` that the tests are told of. Needs root and
//! `debootstrap`, so the main test command does without.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::rabbitmq::{self, VARIABLE};
use crate::{run, shown_time, suite};

/// Releases of Debian, from old to new. The last one always has the newest.
const RELEASES: [&str; 2] = ["trixie", "sid"];
/// Where else than at its usual place `debootstrap` finds packages.
const MIRROR: &str = "SLUICEGATE_DEBIAN_MIRROR";
/// What speaks to a broker, as names of tests begin.
const SUITES: [&str; 6] =
    ["contract::rabbit", "amqp::", "topology::", "publish::", "service::", "chaos::"];

/// Runs a program that belongs to an unpacked release, with this machine's processes, devices and
/// folders of the tests in its sight.
const ENTER: &str = r#"#!/bin/sh
exec unshare --mount --propagation slave sh -c '
set -e
mount --rbind /proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
for seen in "$TEMP" "$WORKSPACE"; do
    mkdir -p "$ROOT$seen"
    mount --bind "$seen" "$ROOT$seen"
done
exec chroot "$ROOT" "$@"' sh "$@"
"#;

/// Tests on each of those releases, all where none is named; what is behind `--` names tests.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    let (named, filters) = match arguments.iter().position(|argument| argument == "--") {
        Some(at) => (&arguments[..at], &arguments[at + 1..]),
        None => (arguments, &[][..]),
    };
    let releases =
        if named.is_empty() { RELEASES.map(str::to_owned).to_vec() } else { named.to_vec() };
    if let Some(unknown) = releases.iter().find(|name| !RELEASES.contains(&name.as_str())) {
        bail!(
            "'{unknown}' is no release that has a RabbitMQ for this; there are: {}",
            RELEASES.join(", ")
        );
    }
    let mut lines = Vec::new();
    let mut failed = false;
    for release in &releases {
        let server = unpacked(release).with_context(|| format!("{release} can't be unpacked"))?;
        let version = version(&server)?;
        eprintln!("\nRabbitMQ {version} ({release})");
        let started = Instant::now();
        let mut all = vec!["--test".to_owned(), "all".to_owned(), "--".to_owned()];
        all.extend(if filters.is_empty() {
            SUITES.map(str::to_owned).to_vec()
        } else {
            filters.to_vec()
        });
        let done = suite::run_with(&all, &[(VARIABLE, server.as_os_str())]);
        let said = match &done {
            Ok(summary) => format!("{} tests passed", summary.count("passed")),
            Err(error) => format!("{error:#}"),
        };
        failed |= done.is_err();
        lines.push(format!("RabbitMQ {version:<8} {said}, in {}", shown_time(started.elapsed())));
    }
    println!("\n{}", lines.join("\n"));
    if failed {
        bail!("not every test passed on every broker");
    }
    Ok(())
}

/// The server of an unpacked release; unpacks it first where it isn't there.
fn unpacked(release: &str) -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let folder = target.join("brokers").join(release);
    let root = folder.join("root");
    if !root.join("usr/lib/rabbitmq/bin/rabbitmq-server").is_file() {
        rabbitmq::ensure_debootstrap()?;
        fs::create_dir_all(&folder)?;
        let partly = folder.join("partly");
        if partly.exists() {
            fs::remove_dir_all(&partly).with_context(|| format!("{}", partly.display()))?;
        }
        let mut command = Command::new("debootstrap");
        command.args(["--variant=minbase", "--include=rabbitmq-server", release]).arg(&partly);
        command.args(env::var_os(MIRROR));
        run(&mut command)?;
        // Else its server asks name servers for itself, for minutes.
        fs::write(partly.join("etc/hosts"), "127.0.0.1 localhost\n")?;
        fs::rename(&partly, &root)?;
    }
    let variables = format!(
        "ROOT='{}' TEMP='{}' WORKSPACE='{}'",
        root.display(),
        env::temp_dir().display(),
        workspace.display()
    );
    let bin = folder.join("bin");
    fs::create_dir_all(&bin)?;
    script(&bin.join("enter"), ENTER)?;
    for program in ["rabbitmq-server", "rabbitmqctl"] {
        let enter = bin.join("enter");
        let text = format!(
            "#!/bin/sh\nexport {variables}\nexec '{}' /usr/lib/rabbitmq/bin/{program} \"$@\"\n",
            enter.display()
        );
        script(&bin.join(program), &text)?;
    }
    Ok(bin.join("rabbitmq-server"))
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("can't write {}", path.display()))
}

fn version(server: &Path) -> Result<String> {
    let output = Command::new(server.with_file_name("rabbitmqctl"))
        .args(["version", "--silent"])
        .output()
        .context("its rabbitmqctl can't be started")?;
    if !output.status.success() {
        bail!(
            "its rabbitmqctl failed (entering the folder needs root): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
