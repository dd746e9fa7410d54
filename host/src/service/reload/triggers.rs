//! What sets off a reload by itself: the config file has changed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Cause, Steps};
use crate::limits;
use crate::reload::watch::Expected;
use crate::service::Inner;

/// Follows the file, for as long as the host runs; what it tells counts where `service.watch` says so
/// then.
pub(super) fn watch(inner: &Arc<Inner>, file: &Path) -> io::Result<()> {
    let Some(watch) = inner.reloads.watch() else {
        return Err(io::Error::other("the system has no thread to follow it with"));
    };
    let expected = Expected { bytes_max: limits::CONFIG_FILE_BYTES, whole: |_| Ok(()) };
    let mut followed = watch.follow(file, None, expected);
    let weak = Arc::downgrade(inner);
    let stopping = inner.stopping.clone();
    let task = async move {
        // What is there first is told too: it may be newer than what the host was started with.
        while followed.changed().await.is_some() {
            let Some(inner) = weak.upgrade() else { return };
            if inner.parts().config.service.watch {
                inner.reload(Cause::Changed, Steps::default()).await;
            }
        }
    };
    inner.tasks().spawn_on(
        async move {
            tokio::select! {
                () = task => {}
                () = stopping.cancelled() => {}
            }
        },
        &inner.runtime,
    );
    Ok(())
}
