//! The control socket: a unix socket that the host's own user and root may open.
//!
//! A lock file beside it tells a living host from what a dead one left behind. Every command is logged
//! with the user and process that gave it.

mod place;

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(super) use self::place::private;
pub use self::place::{candidates, default_path};

use super::protocol::{Answer, Command, Request, Watch};
use super::{Following, Host, stream};
use crate::limits;

/// A socket that answers.
#[derive(Debug)]
pub struct Server {
    /// Where.
    pub path: PathBuf,
    /// Ends soon after the shutdown was asked for.
    pub thread: JoinHandle<()>,
}

/// Why the socket can't answer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another host has it.
    #[error(
        "control socket {path}: a running sluicegate has it; stop that one, or set service.socket to another path"
    )]
    Live {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is there.
    #[error(
        "control socket {path}: a file that is no socket is there; move it, or set service.socket"
    )]
    NoSocket {
        /// The file.
        path: PathBuf,
    },
    /// The folder isn't safe.
    #[error(
        "control socket: folder {path} {reason}; set service.socket to a path in a private folder"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system says no.
    #[error(
        "control socket {path}: {cause}; set service.socket to a path that this user may write"
    )]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
}

/// Answers on the socket until the shutdown, then removes it.
///
/// # Errors
/// Where another host has the socket, or it can't be made.
pub fn serve(
    path: &Path,
    host: Arc<dyn Host>,
    shutdown: CancellationToken,
) -> Result<Server, ServeError> {
    let failed = |cause| ServeError::Io { path: path.to_owned(), cause };
    let lock = claim(path)?;
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = path.to_owned();
    let thread = super::spawn("admin-socket", move || async move {
        run(listener, host, shutdown).await;
        if let Err(error) = fs::remove_file(&bound) {
            tracing::debug!(%error, "the control socket is already gone");
        }
        drop(lock);
    });
    Ok(Server { path: path.to_owned(), thread: thread.map_err(failed)? })
}

/// Takes the lock beside the socket and clears away what a dead host left. The lock is held as long as
/// the file is open, and the kernel lets go of it however the process ends.
fn claim(path: &Path) -> Result<File, ServeError> {
    let failed = |cause| ServeError::Io { path: path.to_owned(), cause };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(beside))
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(ServeError::Live { path: path.to_owned() }),
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
        Ok(_) => return Err(ServeError::NoSocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    Ok(lock)
}

async fn run(listener: UnixListener, host: Arc<dyn Host>, shutdown: CancellationToken) {
    let listener = match tokio::net::UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the control socket can't answer");
            return;
        }
    };
    let room = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS));
    let follow = Arc::new(Semaphore::new(limits::CONTROL_FOLLOWERS));
    loop {
        // Only a closed semaphore fails, and nobody closes this one.
        let place = room.clone().acquire_owned().await.ok();
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "control socket: a client couldn't be let in");
                    tokio::time::sleep(limits::ADMIN_CLOSE).await;
                    continue;
                }
            },
        };
        let (host, shutdown, follow) = (host.clone(), shutdown.clone(), follow.clone());
        tokio::spawn(async move {
            if let Err(error) = serve_one(stream, host, follow, shutdown).await {
                tracing::debug!(%error, "control socket: client lost");
            }
            drop(place);
        });
    }
    // The answer to the command that caused the shutdown may still be on its way.
    let all = u32::try_from(limits::CONTROL_CONNECTIONS).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(limits::ADMIN_CLOSE, room.acquire_many(all)).await;
}

/// What a client follows, and its place: commands keep theirs however many look on.
type Followed = (Following, OwnedSemaphorePermit);

/// One connection: a request, its answer, and lines where it asks for what is followed.
async fn serve_one(
    mut stream: UnixStream,
    host: Arc<dyn Host>,
    follow: Arc<Semaphore>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let conversation = converse(&mut stream, host, follow);
    match tokio::time::timeout(limits::CONTROL_TIMEOUT, conversation).await {
        Ok(Ok(Some((following, _place)))) => stream::tell(&mut stream, following, shutdown).await,
        Ok(Ok(None)) => stream.shutdown().await,
        Ok(Err(error)) => Err(error),
        Err(_) => {
            tracing::warn!("control socket: a client said nothing in time");
            Ok(())
        }
    }
}

async fn converse(
    stream: &mut UnixStream,
    host: Arc<dyn Host>,
    follow: Arc<Semaphore>,
) -> io::Result<Option<Followed>> {
    let peer = stream.peer_cred()?;
    let mut following = None;
    let answer = if peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw() {
        let mut line = Vec::new();
        let most = limits::CONTROL_REQUEST_BYTES as u64;
        BufReader::new(&mut *stream).take(most).read_until(b'\n', &mut line).await?;
        let request = request(&line);
        let watch = match &request {
            Ok(Request::Tap(tap)) => Some(Watch::Tap(tap.clone())),
            Ok(Request::Reload { plugin }) => Some(Watch::Reload(plugin.clone())),
            Ok(Request::ReloadPlugin { plugin }) => Some(Watch::ReloadPlugin(plugin.clone())),
            Ok(Request::State(state)) => Some(Watch::State(state.clone())),
            Ok(Request::Rollback { plugin, to }) => {
                Some(Watch::Rollback { plugin: plugin.clone(), to: to.clone() })
            }
            Ok(_) | Err(_) => None,
        };
        match (watch, request) {
            (Some(watch), _) => {
                let (answer, lines) = begin(watch, &*host, follow, (peer.uid(), peer.pid()));
                following = lines;
                answer
            }
            (None, Ok(request)) => answer(request, &*host, peer.uid(), peer.pid()),
            (None, Err(error)) => Answer::Refused { error },
        }
    } else {
        tracing::warn!(uid = peer.uid(), pid = peer.pid(), "control socket: another user refused");
        Answer::Refused { error: "only the host's own user and root may control it".to_owned() }
    };
    let mut line = serde_json::to_vec(&answer).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(following)
}

fn begin(
    watch: Watch,
    host: &dyn Host,
    follow: Arc<Semaphore>,
    (uid, pid): (u32, Option<i32>),
) -> (Answer, Option<Followed>) {
    let Ok(place) = follow.try_acquire_owned() else {
        let error = format!("{} clients look on already; end one", limits::CONTROL_FOLLOWERS);
        return (Answer::Refused { error }, None);
    };
    let said = format!("{watch:?}");
    match host.follow(watch) {
        Ok(following) => {
            tracing::info!(watch = said, uid, pid, "control: followed");
            (Answer::Following { message: following.message.clone() }, Some((following, place)))
        }
        Err(error) => {
            tracing::info!(watch = said, uid, pid, error, "control: refused");
            (Answer::Refused { error }, None)
        }
    }
}

fn request(line: &[u8]) -> Result<Request, String> {
    if !line.ends_with(b"\n") {
        return Err(format!(
            "a request is one line of at most {} bytes",
            limits::CONTROL_REQUEST_BYTES
        ));
    }
    serde_json::from_slice(line).map_err(|error| {
        format!("this host ({}) doesn't know the request: {error}", env!("CARGO_PKG_VERSION"))
    })
}

fn answer(request: Request, host: &dyn Host, uid: u32, pid: Option<i32>) -> Answer {
    let command = match request {
        Request::Status => return Answer::Status { status: Box::new(host.status()) },
        Request::Drain => Command::Drain,
        Request::Pause { pipeline } => Command::Pause(pipeline),
        Request::Resume { pipeline } => Command::Resume(pipeline),
        Request::Scale { pipeline, shards } => Command::Scale(pipeline, shards),
        // Told apart before.
        Request::PluginHistory { plugin } => Command::PluginHistory(plugin),
        Request::Tap(_)
        | Request::State(_)
        | Request::Reload { .. }
        | Request::ReloadPlugin { .. }
        | Request::Rollback { .. } => {
            return Answer::Refused { error: "that is to be followed".to_owned() };
        }
    };
    let said = format!("{command:?}");
    match host.control(command) {
        Ok(message) => {
            tracing::info!(command = said, uid, pid, "control: done");
            Answer::Done { message }
        }
        Err(error) => {
            tracing::info!(command = said, uid, pid, error, "control: refused");
            Answer::Refused { error }
        }
    }
}
