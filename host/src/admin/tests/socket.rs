//! The control socket: who may, what is answered, what happens to a hostile client.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::admin::client::{AskError, ask, follow};
use crate::admin::protocol::{Answer, Request};
use crate::admin::socket::{ServeError, Server, private, serve};
use crate::limits;

struct Desk {
    folder: TempDir,
    host: Arc<FakeHost>,
    server: Server,
    shutdown: CancellationToken,
}

impl Desk {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (host, shutdown) = (host(), CancellationToken::new());
        let server = serve(&path(&folder), host.clone(), shutdown.clone()).unwrap();
        Self { folder, host, server, shutdown }
    }

    async fn ask(&self, request: Request) -> Answer {
        ask(Some(&self.server.path), &request).await.unwrap()
    }

    /// What the host answers to bytes that our own client wouldn't send.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = tokio::net::UnixStream::connect(&self.server.path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("s.sock")
}

#[tokio::test]
async fn status_and_commands_go_there_and_back() {
    let desk = Desk::open();
    let Answer::Status { status } = desk.ask(Request::Status).await else { panic!("no status") };
    assert_eq!(*status, desk.host.status());
    assert_eq!(
        desk.ask(Request::Pause { pipeline: "readings".to_owned() }).await,
        Answer::Done { message: "paused".to_owned() }
    );
    assert_eq!(
        desk.ask(Request::Resume { pipeline: "nope".to_owned() }).await,
        Answer::Refused { error: "no pipeline 'nope'".to_owned() }
    );
    assert_eq!(desk.ask(Request::Drain).await, Answer::Done { message: "draining".to_owned() });
    assert_eq!(
        *desk.host.commands.lock().unwrap(),
        [Command::Pause("readings".to_owned()), Command::Resume("nope".to_owned()), Command::Drain]
    );
}

fn tap(pipeline: &str) -> Request {
    Request::Tap(Tap { pipeline: pipeline.to_owned(), ..Tap::default() })
}

#[tokio::test]
async fn what_is_followed_comes_line_by_line_until_the_host_ends_it() {
    let desk = Desk::open();
    let path = Some(desk.server.path.as_path());
    let mut followed = follow(path, &tap("readings")).await.unwrap().unwrap();
    let lines = desk.host.lines.lock().unwrap().take().unwrap();
    assert!(lines.tell("{\"first\":1}".to_owned()));
    assert_eq!(followed.next().await.unwrap().unwrap(), "{\"first\":1}");
    lines.lost.store(3, std::sync::atomic::Ordering::Relaxed);
    assert!(lines.tell("{\"second\":2}".to_owned()));
    assert_eq!(followed.next().await.unwrap().unwrap(), "{\"second\":2}");
    assert_eq!(followed.next().await.unwrap().unwrap(), "{\"lost\":3}");
    drop(lines);
    assert_eq!(followed.next().await.unwrap(), None);
    let refused = follow(path, &tap("nope")).await.unwrap().unwrap_err();
    assert_eq!(refused, "no pipeline 'nope'");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_though_nothing_happens() {
    let desk = Desk::open();
    let followed = follow(Some(&desk.server.path), &tap("readings")).await.unwrap().unwrap();
    let lines = desk.host.lines.lock().unwrap().take().unwrap();
    drop(followed);
    lines.sender.closed().await;
    assert!(!lines.tell("nobody hears".to_owned()));
}

#[tokio::test]
async fn those_who_look_on_leave_places_for_commands() {
    let desk = Desk::open();
    let path = Some(desk.server.path.as_path());
    let mut looking = Vec::new();
    for _ in 0..limits::CONTROL_FOLLOWERS {
        let followed = follow(path, &tap("readings")).await.unwrap().unwrap();
        let lines = desk.host.lines.lock().unwrap().take().unwrap();
        looking.push((followed, lines));
    }
    let refused = follow(path, &tap("readings")).await.unwrap().unwrap_err();
    assert!(refused.contains("look on already"), "{refused}");
    assert!(matches!(desk.ask(Request::Status).await, Answer::Status { .. }));
    desk.shutdown.cancel();
    for (mut followed, _lines) in looking {
        assert_eq!(followed.next().await.unwrap(), None);
    }
}

#[test]
fn only_its_owner_can_open_the_socket() {
    let desk = Desk::open();
    let mode = fs::metadata(&desk.server.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_and_changes_nothing() {
    let desk = Desk::open();
    let unknown = desk.say(b"{\"request\":\"explode\"}\n").await;
    assert!(unknown.contains("doesn't know the request"), "{unknown}");
    let garbage = desk.say(b"GET / HTTP/1.1\r\n").await;
    assert!(garbage.contains("refused"), "{garbage}");
    assert!(desk.host.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_request_without_end_is_read_no_further_than_its_limit() {
    let desk = Desk::open();
    let answer = desk.say(&vec![b'x'; limits::CONTROL_REQUEST_BYTES]).await;
    assert!(answer.contains("one line of at most"), "{answer}");
}

#[test]
fn a_socket_that_a_dead_host_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(path(&folder)).unwrap());
    let shutdown = CancellationToken::new();
    let server = serve(&path(&folder), host(), shutdown.clone()).unwrap();
    assert!(UnixStream::connect(&server.path).is_ok());
}

#[test]
fn a_living_hosts_socket_is_left_alone() {
    let desk = Desk::open();
    let error = serve(&desk.server.path, host(), CancellationToken::new()).unwrap_err();
    assert!(matches!(error, ServeError::Live { .. }), "{error}");
    assert!(error.to_string().contains("service.socket"), "{error}");
    assert!(UnixStream::connect(&desk.server.path).is_ok());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(path(&folder), "precious").unwrap();
    let error = serve(&path(&folder), host(), CancellationToken::new()).unwrap_err();
    assert!(matches!(error, ServeError::NoSocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(path(&folder)).unwrap(), "precious");
}

#[test]
fn a_host_that_stops_takes_its_socket_with_it() {
    let desk = Desk::open();
    desk.shutdown.cancel();
    desk.server.thread.join().unwrap();
    assert!(!desk.server.path.exists());
    let again = serve(&path(&desk.folder), host(), CancellationToken::new());
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test]
async fn where_no_host_is_the_error_says_where_it_was_looked_for() {
    let error = ask(Some(Path::new("/nowhere/s.sock")), &Request::Status).await.unwrap_err();
    assert!(matches!(error, AskError::NoHost { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("/nowhere/s.sock") && error.contains("sluicegate run"), "{error}");
}

#[test]
fn a_runtime_folder_is_made_private_and_one_open_to_others_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ours = folder.path().join("ours");
    private(&ours).unwrap();
    assert_eq!(fs::metadata(&ours).unwrap().permissions().mode() & 0o777, 0o700);
    private(&ours).unwrap();

    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(private(&open).unwrap_err().to_string().contains("open to others (mode 777)"));

    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&ours, &link).unwrap();
    assert!(private(&link).unwrap_err().to_string().contains("is no folder"));
}
