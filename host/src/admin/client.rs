//! Asks a running host over its control socket.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// Asks the host at that socket, or at the first of the usual places where one answers.
///
/// # Errors
/// Where no host answers, this user may not ask, or the answer makes no sense.
pub async fn ask(socket: Option<&Path>, request: &Request) -> Result<Answer, AskError> {
    let tried = socket.map_or_else(socket::candidates, |path| vec![path.to_owned()]);
    for path in &tried {
        match UnixStream::connect(path).await {
            Ok(stream) => {
                let broken = |reason| AskError::Broken { path: path.clone(), reason };
                return tokio::time::timeout(limits::CONTROL_TIMEOUT, exchange(stream, request))
                    .await
                    .map_err(|_| broken("the host doesn't answer in time".to_owned()))?
                    .map_err(|error| broken(error.to_string()));
            }
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                return Err(AskError::Forbidden { path: path.clone(), cause });
            }
            Err(_) => {}
        }
    }
    Err(AskError::NoHost { tried })
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
