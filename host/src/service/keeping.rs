//! Opens the store of state. A host whose plugins keep none works without one.

use std::sync::Arc;

use crate::config::Config;
use crate::limits::STATE_FOLDER;
use crate::state::{AbsentStore, EmbeddedStore, StateStore, StoreError};

/// The store in the state folder, which is there or isn't; `needed` by a plugin of the config.
///
/// # Errors
/// It is needed and can't be opened; or it is damaged, or of a later release, which only gets worse.
pub(super) async fn open(
    config: &Config,
    is_there: bool,
    needed: bool,
) -> anyhow::Result<Arc<dyn StateStore>> {
    let folder = config.service.state_dir.join(STATE_FOLDER);
    let durability = config.state.durability;
    let opened = if is_there {
        let open = move || EmbeddedStore::open(&folder, durability);
        tokio::task::spawn_blocking(open).await?
    } else {
        let why = format!("the state folder {} can't be used", config.service.state_dir.display());
        Err(StoreError::Failed { doing: "kept", why })
    };
    match opened {
        Ok(store) => Ok(Arc::new(store)),
        Err(error @ (StoreError::Failed { .. } | StoreError::InUse { .. })) if !needed => {
            tracing::error!(%error, "no plugin needs it yet");
            Ok(Arc::new(AbsentStore(error)))
        }
        Err(error) => Err(error.into()),
    }
}
