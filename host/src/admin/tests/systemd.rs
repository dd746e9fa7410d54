//! What systemd is told, received at a socket of its kind.

use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::admin::systemd::Systemd;

/// A service manager's end of the socket.
fn manager(folder: &TempDir) -> (UnixDatagram, Systemd) {
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let systemd = Systemd { socket: Some(path.into()), watchdog: Some(Duration::from_secs(30)) };
    (socket, systemd)
}

fn told(manager: &UnixDatagram) -> Vec<String> {
    let mut said = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(length) = manager.recv(&mut buffer) {
        said.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    said
}

#[test]
fn the_service_manager_is_told_each_state_and_one_line_of_status() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, systemd) = manager(&folder);
    systemd.ready();
    systemd.status("2 pipelines\nREADY=0");
    systemd.stopping();
    assert_eq!(told(&manager), ["READY=1", "STATUS=2 pipelines READY=0", "STOPPING=1"]);
}

#[test]
fn without_a_service_manager_nothing_happens() {
    let systemd = Systemd::default();
    systemd.ready();
    systemd.stopping();
    assert!(systemd.watchdog(|| true, CancellationToken::new()).is_none());
}

#[test]
fn a_service_manager_that_is_gone_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, systemd) = manager(&folder);
    drop(manager);
    systemd.ready();
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_is_fed_by_progress_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (manager, systemd) = manager(&folder);
    let working = Arc::new(AtomicBool::new(true));
    let end = CancellationToken::new();
    let seen = working.clone();
    let task = systemd.watchdog(move || seen.load(Ordering::Relaxed), end.clone()).unwrap();

    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert_eq!(told(&manager), ["WATCHDOG=1"]);
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::task::yield_now().await;
        assert_eq!(told(&manager), ["WATCHDOG=1"]);
    }
    working.store(false, Ordering::Relaxed);
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::task::yield_now().await;
        assert!(told(&manager).is_empty());
    }
    end.cancel();
    task.await.unwrap();
}
