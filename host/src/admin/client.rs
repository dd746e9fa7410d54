//! Asks a running host over its control socket.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::protocol::{Answer, Request};
use super::socket;
use crate::limits;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "no running sluicegate answers at {}; start one with `sluicegate run`, or name its socket with --socket (a system service's is root's: try sudo)", listed(.tried)
    )]
    NoHost {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The socket is there but not for this user.
    #[error("{path}: {cause}; only the host's own user and root may control it")]
    Forbidden {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The conversation broke.
    #[error("{path}: {reason}; see the host's log")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

/// Lines of what is followed, for as long as this is kept.
#[derive(Debug)]
pub struct Followed {
    /// What is followed.
    pub message: String,
    path: PathBuf,
    reader: BufReader<UnixStream>,
}

/// Asks the host at that socket, or at the first of the usual places where one answers.
///
/// # Errors
/// Where no host answers, this user may not ask, or the answer makes no sense.
pub async fn ask(socket: Option<&Path>, request: &Request) -> Result<Answer, AskError> {
    let (path, stream) = connect(socket).await?;
    within(&path, exchange(stream, request)).await
}

/// Follows what a host tells.
///
/// # Errors
/// As with [`ask`]; where the host refuses, what it says.
pub async fn follow(
    socket: Option<&Path>,
    request: &Request,
) -> Result<Result<Followed, String>, AskError> {
    let (path, stream) = connect(socket).await?;
    let (answer, reader) = within(&path, begin(stream, request)).await?;
    Ok(match answer {
        Answer::Following { message } => Ok(Followed { message, path, reader }),
        Answer::Refused { error } => Err(error),
        Answer::Status { .. } | Answer::Done { .. } => {
            Err("the host answered another question; is it another version?".to_owned())
        }
    })
}

async fn connect(socket: Option<&Path>) -> Result<(PathBuf, UnixStream), AskError> {
    let tried = socket.map_or_else(socket::candidates, |path| vec![path.to_owned()]);
    for path in &tried {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok((path.clone(), stream)),
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                return Err(AskError::Forbidden { path: path.clone(), cause });
            }
            Err(_) => {}
        }
    }
    Err(AskError::NoHost { tried })
}

async fn within<T>(
    path: &Path,
    conversation: impl Future<Output = io::Result<T>>,
) -> Result<T, AskError> {
    let broken = |reason| AskError::Broken { path: path.to_owned(), reason };
    tokio::time::timeout(limits::CONTROL_TIMEOUT, conversation)
        .await
        .map_err(|_| broken("the host doesn't answer in time".to_owned()))?
        .map_err(|error| broken(error.to_string()))
}

async fn begin(
    mut stream: UnixStream,
    request: &Request,
) -> io::Result<(Answer, BufReader<UnixStream>)> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut reader = BufReader::new(stream);
    let mut answer = Vec::new();
    (&mut reader).take(limits::STREAM_LINE_BYTES).read_until(b'\n', &mut answer).await?;
    let answer = serde_json::from_slice(&answer)
        .map_err(|error| io::Error::other(format!("the answer makes no sense: {error}")))?;
    Ok((answer, reader))
}

async fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Answer> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    stream.take(limits::CONTROL_ANSWER_BYTES as u64).read_to_end(&mut answer).await?;
    serde_json::from_slice(&answer)
        .map_err(|error| io::Error::other(format!("the answer makes no sense: {error}")))
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

// === impl Followed ===

impl Followed {
    /// The next line; `None` once the host has ended it.
    ///
    /// # Errors
    /// Where the host is gone, or a line has no end.
    pub async fn next(&mut self) -> Result<Option<String>, AskError> {
        let broken = |reason: String| AskError::Broken { path: self.path.clone(), reason };
        let mut line = Vec::new();
        (&mut self.reader)
            .take(limits::STREAM_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .await
            .map_err(|error| broken(error.to_string()))?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            if line.is_empty() {
                return Ok(None);
            }
            return Err(broken("a line was cut off".to_owned()));
        }
        String::from_utf8(line).map(Some).map_err(|error| broken(error.to_string()))
    }
}
