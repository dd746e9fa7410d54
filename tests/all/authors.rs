//! A new author's way, typed: what the guide says, in a folder that knows nothing of this repository.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::tidy::source::root;

/// The host's own binary, built by cargo with these tests.
const BINARY: &str = env!("CARGO_BIN_EXE_sluicegate-under-test");

/// An author's folder, and what is typed there.
pub(crate) struct Desk {
    folder: TempDir,
    within: PathBuf,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().to_owned();
        Self { folder, within }
    }

    /// A command line, which may be `cd`.
    fn command(&self, words: &[&str]) -> Command {
        let program = if words[0] == "sluicegate" { BINARY } else { words[0] };
        let mut command = Command::new(program);
        command
            .args(&words[1..])
            .current_dir(&self.within)
            .env("NO_COLOR", "1")
            // The host's build has compiled there what every plugin needs; authors wait for it once.
            .env("CARGO_TARGET_DIR", target())
            // What a new plugin depends on was fetched for the host's own plugins.
            .env("CARGO_NET_OFFLINE", "true")
            .stdin(Stdio::null());
        // The tests' own package is none of its business.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST") {
                command.env_remove(&*name);
            }
        }
        command
    }

    fn run(&self, line: &str) -> Output {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.command(&words).output().unwrap()
    }

    /// A new plugin, where everything else is typed from now on.
    pub(crate) fn enter(&mut self, plugin: &str) {
        self.good(&format!("sluicegate plugin new {plugin}"));
        self.within = self.folder.path().join(plugin);
    }

    /// What was said by a command that succeeds.
    pub(crate) fn good(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", said(&output));
        said(&output)
    }

    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.within.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
}

fn said(output: &Output) -> String {
    let [out, errors] = [&output.stdout, &output.stderr].map(|s| String::from_utf8_lossy(s));
    format!("{out}{errors}")
}

/// Where the host's build script builds plugins.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("plugins")
}

/// The lines of the guide's blocks of that language.
fn guide(language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let blocks = page.split("\n```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_guide_does_what_it_says() {
    let mut desk = Desk::new();
    let lines = guide("sh");
    assert!(lines.len() > 5, "{lines:?}");
    for line in lines {
        match line.strip_prefix("cd ") {
            Some(folder) => desk.within = desk.within.join(folder),
            // The component lies where this test has everything built.
            None => {
                drop(desk.good(
                    &line.replace("target/wasm32", &format!("{}/wasm32", target().display())),
                ))
            }
        }
    }
    let read = |file: &str| fs::read_to_string(desk.within.join(file)).unwrap();
    let shown = guide("rust").join("\n");
    assert!(read("src/lib.rs").starts_with(&shown), "the guide shows another src/lib.rs");
    assert_eq!(guide("toml-case").join("\n"), read("cases/first.toml").trim_end());

    desk.edit("src/lib.rs", "seen.hot == self.readings", "seen.hot > self.readings");
    let failed = desk.run("sluicegate plugin test");
    assert_eq!(failed.status.code(), Some(1));
    let shown = guide("text").join("\n");
    assert!(said(&failed).contains(shown.trim()), "{}\nis not\n{shown}", said(&failed));
    desk.good("sluicegate plugin test --update");
    desk.good("sluicegate plugin test");
    assert!(!read("cases/first.toml").contains("hot.s-1"), "{}", read("cases/first.toml"));
}

#[test]
fn every_template_passes_its_own_tests() {
    for template in ["stateless", "timer"] {
        let mut desk = Desk::new();
        desk.good(&format!("sluicegate plugin new a-{template} --template {template}"));
        desk.within = desk.folder.path().join(format!("a-{template}"));
        let told = desk.good("sluicegate plugin test --offline");
        assert!(told.contains("1 of 1 cases pass"), "{told}");
        desk.good("cargo test --offline");
        let again = desk.run(&format!("sluicegate plugin new a-{template} --dir ."));
        assert!(said(&again).contains("there is something already"), "{}", said(&again));
    }
}

/// `plugin dev`, and what it has said; ended when dropped.
pub(crate) struct Dev {
    child: Child,
    told: Arc<(Mutex<String>, Condvar)>,
}

/// How long a build may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(600);

impl Dev {
    pub(crate) fn start(desk: &Desk, line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = desk.command(&words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let told = Arc::<(Mutex<String>, Condvar)>::default();
        let (out, to) = (child.stdout.take().unwrap(), Arc::clone(&told));
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                to.0.lock().unwrap().push_str(&(line + "\n"));
                to.1.notify_all();
            }
        });
        Self { child, told }
    }

    /// Waits until it says that, and forgets all that it said up to that line.
    pub(crate) fn says(&self, part: &str) -> String {
        let (told, more) = &*self.told;
        let told = told.lock().unwrap();
        let (mut told, end) =
            more.wait_timeout_while(told, PATIENCE, |told| !told.contains(part)).unwrap();
        assert!(!end.timed_out(), "no {part:?} in: {told}");
        let at = told.find(part).map_or(told.len(), |at| at + part.len());
        let end = told[at..].find('\n').map_or(told.len(), |line| at + line + 1);
        told.drain(..end).collect()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn dev_follows_edits_through_compile_errors_in_a_host_of_its_own() {
    let mut desk = Desk::new();
    desk.enter("an-edit");
    let dev = Dev::start(&desk, "sluicegate plugin dev --offline --rate 5");
    let told = dev.says("waiting for a change");
    assert!(told.contains("→ alerts (hot.s-1)") && told.contains("1 of 1 cases pass"), "{told}");
    assert!(told.contains("live "), "{told}");
    // The case's messages come again and again, with what is remembered of them.
    assert!(dev.says("emits   alerts hot.s-1").contains("key s-1 stage 0 an-edit → next"));
    dev.says("had     [2]");

    desk.edit("src/lib.rs", "seen.hot == self.readings", "seen.hot === self.readings");
    assert!(dev.says("waiting for a change").contains("not built"));
    // The version before goes on.
    dev.says("stage 0 an-edit → next");

    desk.edit("src/lib.rs", "seen.hot === self.readings", "seen.hot > self.readings");
    let told = dev.says("waiting for a change");
    assert!(told.contains("0 of 1 cases pass") && told.contains("live "), "{told}");
    dev.says("emits   alerts hot.s-1");

    // An output that nobody has spoken of is there once it is named.
    desk.edit("src/lib.rs", "\"alerts\"", "\"alarms\"");
    dev.says("emits   alarms hot.s-1");
    desk.edit(
        "cases/first.toml",
        "emit = [{ output = \"alerts\", routing_key = \"hot.s-1\" }]",
        "emit = []",
    );
    dev.says("1 of 1 cases pass");
}

#[test]
fn what_is_typed_wrong_is_answered_with_what_to_type() {
    let mut desk = Desk::new();
    let says = |desk: &Desk, line: &str, parts: &[&str]| {
        let output = desk.run(line);
        assert!(!output.status.success(), "{line}");
        let told = said(&output);
        for part in parts {
            assert!(told.contains(part), "{line}: '{told}' doesn't say '{part}'");
        }
        assert!(told.trim().lines().count() < 25, "{line}: {told}");
    };
    says(&desk, "sluicegate plugin new Too_Hot", &["'Too_Hot'", "as in too-hot"]);
    says(&desk, "sluicegate plugin new serde", &["'serde'", "take another"]);
    says(&desk, "sluicegate plugin new x --dir /proc/x", &["/proc/x", "--dir"]);
    says(&desk, "sluicegate plugin new x --template y", &["stateless", "stateful", "timer"]);
    for verb in ["build", "sdk", "dev", "dev --host"] {
        let line = format!("sluicegate plugin {verb} nowhere");
        says(&desk, &line, &["there is no nowhere/Cargo.toml", "sluicegate plugin new NAME"]);
    }
    says(&desk, "sluicegate plugin test nowhere", &["there is no nowhere", "component"]);
    says(&desk, "sluicegate plugin inspect nowhere", &["can't read nowhere"]);
    says(&desk, "sluicegate plugin inspect .", &["is no file", "sluicegate plugin build"]);
    fs::write(desk.within.join("text.wasm"), "no component").unwrap();
    says(&desk, "sluicegate plugin inspect text.wasm", &["isn't a WebAssembly component"]);
    says(&desk, "sluicegate plugin test text.wasm", &["no cases in cases", "--cases"]);
    says(&desk, "sluicegate plugin bench text.wasm", &["--messages", "--size"]);
    fs::write(desk.within.join("other.wasm"), sluicegate_tests::guests::OTHER_WORLD).unwrap();
    says(&desk, "sluicegate plugin inspect other.wasm", &["another world"]);
    says(&desk, "sluicegate plugin bench other.wasm --size 64", &["another world"]);
    says(&desk, "sluicegate plugin inspect other.wasm --config [1]", &["JSON object"]);

    desk.enter("a-mistake");
    let socket = desk.folder.path().join("nobody.sock");
    let line = format!("sluicegate plugin dev --host --socket {}", socket.display());
    says(&desk, &line, &["no running sluicegate answers", "nobody.sock", "sluicegate run"]);
    says(&desk, "sluicegate plugin dev --plugin x", &["--host"]);
    fs::write(desk.within.join("cases/broken.toml"), "[[call]]\n[[call.message]]\nkeys = 1\n")
        .unwrap();
    let component = target().join("wasm32-wasip2/plugin/a_mistake.wasm");
    desk.good("sluicegate plugin build --offline");
    let line = format!("sluicegate plugin test {} --cases cases", component.display());
    says(&desk, &line, &["cases/broken.toml", "line 3", "keys"]);
    desk.edit("src/lib.rs", "impl Plugin", "imply Plugin");
    says(&desk, "sluicegate plugin build --offline", &["cargo's messages are above"]);
    assert!(!said(&desk.run("sluicegate plugin build --offline")).contains("without --offline"));
    desk.edit("Cargo.toml", "serde = {", "no-crate-of-that-name = \"1\"\nserde = {");
    let told = said(&desk.run("sluicegate plugin build --offline"));
    assert!(told.contains("without --offline cargo fetches"), "{told}");
}

#[test]
fn without_cargo_authors_are_told_what_to_install() {
    let mut desk = Desk::new();
    desk.enter("no-cargo");
    let mut command = desk.command(&["sluicegate", "plugin", "build"]);
    let output = command.env("PATH", desk.folder.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("install Rust, https://rustup.rs"), "{}", said(&output));
}
