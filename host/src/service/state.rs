//! What plugins remember, as an operator looks at it and mends it while the host runs.

use std::path::Path;
use std::sync::Arc;

use super::Inner;
use crate::admin::{Following, StateAsk, StateEnded, StateRequest};
use crate::limits::STREAM_LINE_BYTES;
use crate::state::{Look, OneKey, StateStore, look};

impl Inner {
    /// Tells what was asked for, or does it; the last line says how that went.
    pub(super) fn follow_state(&self, request: StateRequest) -> Result<Following, String> {
        let parts = self.parts();
        let own = &parts.config.service.state_dir;
        if !same(own, &request.folder) {
            let (own, meant) = (own.display(), request.folder.display());
            return Err(format!("this host keeps its state in {own}, and {meant} is another's"));
        }
        let (lines, following) = Following::new("state".to_owned());
        match request.ask {
            StateAsk::Look(what) => {
                let store = Arc::clone(parts.commits.store());
                // Waits for a client that is slow: none of it may be lost.
                self.runtime.spawn_blocking(move || {
                    let mut tell = |line| lines.sender.blocking_send(line).is_ok();
                    let error = tell_all(&*store, &what, &mut tell).err();
                    tell(ended(StateEnded { error, ..StateEnded::default() }));
                });
            }
            StateAsk::Forget(one) => {
                let inner = self.own.upgrade().ok_or("the host is stopping")?;
                self.runtime.spawn(async move {
                    let line = ended(inner.forget(&one).await);
                    // Whoever asked may have gone; it is done all the same.
                    let _gone = lines.sender.send(line).await;
                });
            }
        }
        Ok(following)
    }

    async fn forget(&self, one: &OneKey) -> StateEnded {
        match self.pipelines.forget(one).await {
            Ok(forgotten) => StateEnded { forgotten, ..StateEnded::default() },
            Err(error) => StateEnded { error: Some(error.to_string()), ..StateEnded::default() },
        }
    }
}

fn tell_all(
    store: &dyn StateStore,
    what: &Look,
    tell: &mut dyn FnMut(String) -> bool,
) -> Result<(), String> {
    let mut long = None;
    let mut fitting = |line: String| {
        let fits = (line.len() as u64) < STREAM_LINE_BYTES;
        if !fits {
            let begin: String = line.chars().take(200).collect();
            long = Some(format!(
                "a line is longer than {STREAM_LINE_BYTES} bytes; stop the host to have it told: {begin}"
            ));
        }
        fits && tell(line)
    };
    let looked = look(store, what, &mut fitting).map_err(|error| error.to_string());
    looked.and(long.map_or(Ok(()), Err))
}

fn ended(end: StateEnded) -> String {
    let end = StateEnded { state_ended: true, ..end };
    // Text and numbers always have a JSON.
    serde_json::to_string(&end).unwrap_or_default()
}

fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}
