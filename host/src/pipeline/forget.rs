//! Has a key forgotten, wherever it has something: by the lane that runs it, or in the store alone where none does.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Pipelines;
use super::keeping::with_store;
use super::shard::{Event, partition};
use crate::state::look::places;
use crate::state::{Change, Commit, Entry, LookError, OneKey, Place, StateStore, StoreError};

/// Why a key isn't forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// Nothing is kept there.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The store can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its lane ended, or can't read the store.
    #[error(
        "pipeline '{0}' couldn't do it: it is being altered or stopped, or its state can't be read; try again"
    )]
    Left(String),
}

impl Pipelines {
    /// Forgets all that a key has. The number of stages at which that was something.
    ///
    /// # Errors
    /// Nothing is kept there, or it couldn't be done; then some of it may be forgotten.
    pub async fn forget(&self, one: &OneKey) -> Result<usize, ForgetError> {
        let places = places(&**self.commits.store(), &one.pipeline, one.stage.as_deref())?;
        let running = {
            let running = self.running();
            let it = running.iter().find(|it| it.name == one.pipeline);
            it.map(|it| ((it.lane, it.spread.now()), it.places.clone()))
        };
        let (lane, own) = running.unzip();
        let own = own.unwrap_or_default();
        let (mine, others): (Vec<_>, Vec<_>) =
            places.into_iter().partition(|place| own.contains(place));
        let mut forgotten = self.forget_left(one, others).await?;
        if let Some((lane, spread)) = lane.filter(|_| !mine.is_empty()) {
            let left = || ForgetError::Left(one.pipeline.clone());
            let (answer, answered) = oneshot::channel();
            let shard = &self.shards[spread.shard(partition(&one.key))];
            let event = Event::Forget(lane, one.key.as_str().into(), mine, answer);
            shard.send(event).await.map_err(|_| left())?;
            forgotten += answered.await.map_err(|_| left())?;
        }
        Ok(forgotten)
    }

    /// Forgets it at stages that no pipeline has any more.
    async fn forget_left(
        &self,
        one: &OneKey,
        places: Vec<Arc<Place>>,
    ) -> Result<usize, StoreError> {
        let key = Arc::<str>::from(one.key.as_str());
        let mut commit = Commit::new(one.pipeline.as_str().into(), 0);
        let forget = move |store: &dyn StateStore| {
            for place in places {
                if !matches!(store.load(&place, &key), Ok(None)) {
                    let (key, entry) = (Arc::clone(&key), Entry::default());
                    commit.entries.push(Change { place, key, entry });
                }
            }
            if !commit.is_empty() {
                store.commit(std::slice::from_ref(&commit))?;
            }
            Ok(commit.entries.len())
        };
        // It ends early where the runtime does.
        with_store(self.commits.store(), forget).await.unwrap_or(Ok(0))
    }
}
