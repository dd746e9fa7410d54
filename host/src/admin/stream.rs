//! Lines for a client that follows what happens: bounded, so that one that is slow loses lines and hears
//! how many, and one that has gone costs nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::limits;

/// What is followed, as the one who follows has it.
#[derive(Debug)]
pub struct Following {
    /// What is followed, for people.
    pub message: String,
    /// Lines of JSON, without their ends. The end of all lines is the end of what was followed.
    pub lines: mpsc::Receiver<String>,
    /// Lines that found no room.
    pub lost: Arc<AtomicU64>,
}

/// The end that lines are put into.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Never waited for: what finds no room is lost.
    pub sender: mpsc::Sender<String>,
    /// Lines that found no room.
    pub lost: Arc<AtomicU64>,
}

impl Following {
    /// Both ends.
    #[must_use]
    pub fn new(message: String) -> (Lines, Self) {
        let (sender, lines) = mpsc::channel(limits::STREAM_LINES);
        let lost = Arc::default();
        let following = Self { message, lines, lost: Arc::clone(&lost) };
        (Lines { sender, lost }, following)
    }
}

impl Lines {
    /// Adds a line; `false` once nobody follows any more.
    pub fn tell(&self, line: String) -> bool {
        match self.sender.try_send(line) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// Writes lines until they end, the host stops, or the client leaves.
pub(super) async fn tell(
    stream: &mut UnixStream,
    following: Following,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let Following { mut lines, lost, .. } = following;
    let (mut reading, mut writing) = stream.split();
    let mut told = 0;
    let mut ignored = [0; 64];
    loop {
        let line = tokio::select! {
            () = shutdown.cancelled() => break,
            // A client has nothing more to say: what can be read is that it left.
            read = reading.read(&mut ignored) => match read? {
                0 => break,
                _ => continue,
            },
            line = lines.recv() => line,
        };
        let Some(mut line) = line else { break };
        line.push('\n');
        let missed = lost.load(Ordering::Relaxed);
        if missed > told {
            line.push_str(&format!("{{\"lost\":{}}}\n", missed - told));
            told = missed;
        }
        let write =
            tokio::time::timeout(limits::STREAM_PATIENCE, writing.write_all(line.as_bytes()));
        match write.await {
            Ok(written) => written?,
            Err(_) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it reads no more lines"));
            }
        }
    }
    writing.shutdown().await
}
