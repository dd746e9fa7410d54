//! Where state is looked at: its folder, or the host that runs on it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::Where;
use crate::admin::client;
use crate::admin::protocol::{Request, StateAsk, StateEnded, StateRequest};
use crate::config;
use crate::limits::STATE_FOLDER;
use crate::state::look::places;
use crate::state::{
    Change, Commit, Durability, EmbeddedStore, Entry, Look, OneKey, StateStore as _, StoreError,
    look,
};
use crate::telemetry::logging::printable;

/// What answers.
pub(super) enum Source {
    /// Nobody runs on it.
    Folder(EmbeddedStore),
    /// A host does.
    Host {
        /// Its folder of state, of which the store is part.
        state_dir: PathBuf,
        /// Where it is asked.
        socket: Option<PathBuf>,
    },
}

impl Source {
    /// What answers for that place.
    pub(super) async fn open(place: &Where) -> anyhow::Result<Self> {
        let (folder, socket) = folder(place)?;
        if !EmbeddedStore::is_there(&folder) {
            bail!("there is no state in {}", folder.display());
        }
        let state_dir = folder.parent().map_or_else(PathBuf::new, Path::to_owned);
        let open = move || EmbeddedStore::open(&folder, Durability::Power);
        match tokio::task::spawn_blocking(open).await? {
            Ok(store) => Ok(Self::Folder(store)),
            Err(StoreError::InUse { .. }) => Ok(Self::Host { state_dir, socket }),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells line by line what is there.
    pub(super) async fn look(
        self,
        what: &Look,
        tell: &mut dyn FnMut(String) -> bool,
    ) -> anyhow::Result<()> {
        match self {
            Self::Folder(store) => Ok(look(&store, what, tell)?),
            host @ Self::Host { .. } => {
                host.ask(StateAsk::Look(what.clone()), tell).await.map(|_| ())
            }
        }
    }

    /// Forgets a key. The number of stages at which it had something.
    pub(super) async fn forget(self, one: OneKey) -> anyhow::Result<usize> {
        match self {
            Self::Folder(store) => forget(&store, &one),
            host @ Self::Host { .. } => {
                Ok(host.ask(StateAsk::Forget(one), &mut |_| true).await?.forgotten)
            }
        }
    }

    async fn ask(
        self,
        ask: StateAsk,
        tell: &mut dyn FnMut(String) -> bool,
    ) -> anyhow::Result<StateEnded> {
        let Self::Host { state_dir: folder, socket } = self else {
            return Ok(StateEnded::default());
        };
        let folder = std::path::absolute(folder)?;
        let request = Request::State(StateRequest { folder, ask });
        let asked = client::follow(socket.as_deref(), &request).await;
        let asked = asked.context("a host runs on this state, and has to be asked");
        let mut lines =
            asked?.map_err(|error| anyhow!("the host refused: {}", printable(&error)))?;
        while let Some(line) = lines.next().await? {
            if let Ok(end) = serde_json::from_str::<StateEnded>(&line) {
                return match end.error {
                    None => Ok(end),
                    Some(error) => Err(anyhow!("{}", printable(&error))),
                };
            }
            if !tell(line) {
                return Ok(StateEnded::default());
            }
        }
        bail!("the host ended before it had told everything")
    }
}

fn forget(store: &EmbeddedStore, one: &OneKey) -> anyhow::Result<usize> {
    let mut commit = Commit::new(one.pipeline.as_str().into(), 0);
    for place in places(store, &one.pipeline, one.stage.as_deref())? {
        let key = one.key.as_str().into();
        commit.entries.push(Change { place, key, entry: Entry::default() });
    }
    let before = store.usage(&one.pipeline).keys;
    store.commit(&[commit])?;
    let left = store.usage(&one.pipeline).keys;
    Ok(usize::try_from(before.saturating_sub(left)).unwrap_or(usize::MAX))
}

/// The folder of the store, and where a host that runs on it is asked.
pub(super) fn folder(place: &Where) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    let (dir, socket) = match &place.dir {
        Some(dir) => (dir.clone(), None),
        None => {
            let (config, _) = config::read(&place.config).map_err(|problems| {
                let text = config::load(&place.config).unwrap_or_default();
                anyhow!("{}", config::render_all(&problems, &text, false))
            })?;
            (config.service.state_dir, config.service.socket)
        }
    };
    Ok((dir.join(STATE_FOLDER), place.socket.clone().or(socket)))
}
