//! A host seen from outside: over HTTP, and by the verbs that an operator types.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sluicegate::admin::{Command, Following, Host, Readiness, Status, Watch, http, socket};
use sluicegate::cli::{self, Cli};
use sluicegate::telemetry::{Outcome, Telemetry, Together};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

struct Pausable;

impl Host for Pausable {
    fn live(&self) -> bool {
        true
    }

    fn ready(&self) -> Readiness {
        Readiness::unless(Vec::new())
    }

    fn status(&self) -> Status {
        Status { version: "1.2.3".to_owned(), readiness: self.ready(), ..Status::default() }
    }

    fn control(&self, command: Command) -> Result<String, String> {
        match command {
            Command::Pause(name) if name == "readings" => Ok("paused".to_owned()),
            other => Err(format!("can't {other:?}")),
        }
    }

    fn follow(&self, watch: Watch) -> Result<Following, String> {
        Err(format!("can't {watch:?}"))
    }
}

/// What the verb ends with, as a process's exit code.
async fn typed(words: &[&str], socket: &Path) -> anyhow::Result<ExitCode> {
    let mut all = vec!["sluicegate"];
    all.extend(words);
    let socket = socket.to_str().unwrap();
    all.extend(["--socket", socket]);
    cli::main(<Cli as clap::Parser>::try_parse_from(all)?).await
}

fn served() -> (TempDir, PathBuf, CancellationToken) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let shutdown = CancellationToken::new();
    socket::serve(&path, Arc::new(Pausable), shutdown.clone()).unwrap();
    (folder, path, shutdown)
}

#[tokio::test]
async fn verbs_on_a_running_host_succeed_or_fail_by_its_answer() {
    let (_folder, path, shutdown) = served();
    assert_eq!(typed(&["status"], &path).await.unwrap(), ExitCode::SUCCESS);
    assert_eq!(typed(&["status", "--json"], &path).await.unwrap(), ExitCode::SUCCESS);
    assert_eq!(typed(&["pause", "readings"], &path).await.unwrap(), ExitCode::SUCCESS);
    assert_eq!(typed(&["pause", "nope"], &path).await.unwrap(), ExitCode::from(cli::exit::FAILURE));
    assert_eq!(typed(&["drain"], &path).await.unwrap(), ExitCode::from(cli::exit::FAILURE));
    shutdown.cancel();
}

#[tokio::test]
async fn verbs_without_a_host_say_where_they_looked() {
    let error = typed(&["status"], Path::new("/nowhere/control.sock")).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/control.sock"), "{error}");
}

#[test]
fn a_host_whose_runtime_is_busy_still_answers_probes_and_scrapes() {
    let telemetry = Telemetry::new();
    let shutdown = CancellationToken::new();
    let addr: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server =
        http::serve(addr, telemetry.clone(), Arc::new(Pausable), shutdown.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The runtime's only thread is held by a client that blocks.
    let text = runtime.block_on(async {
        let metrics = telemetry.pipeline("readings");
        metrics.received(1, 0);
        let now = tokio::time::Instant::now();
        let mut together = Together::at(now);
        together.note(Outcome::Done, now);
        metrics.settled(&together);
        let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
        let agent = agent.build().new_agent();
        let url = format!("http://{}/metrics", server.addr);
        agent.get(&url).call().unwrap().body_mut().read_to_string().unwrap()
    });
    let series = "sluicegate_messages_settled_total{pipeline=\"readings\",outcome=\"done\"} 1";
    assert!(text.contains(series), "{text}");
    shutdown.cancel();
    server.thread.join().unwrap();
}
