//! What a store has, as an operator asks for it: lines of JSON, the same from a running host as from its folder.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lines::{Line, header};
use super::store::{Kept, Place, StateStore, StoreError, Usage};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "look", rename_all = "snake_case")]
pub enum Look {
    /// How much each stage keeps.
    Places,
    /// The keys of a pipeline.
    Keys {
        /// The pipeline.
        pipeline: String,
        /// Only of this stage.
        stage: Option<String>,
        /// Only those that begin so.
        prefix: String,
        /// At most so many.
        limit: usize,
    },
    /// All that one key has.
    Key(OneKey),
    /// Everything, as `state import` takes it up.
    Export,
}

/// One key of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneKey {
    /// The pipeline.
    pub pipeline: String,
    /// The key.
    pub key: String,
    /// Only at this stage.
    pub stage: Option<String>,
}

/// Why it can't be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// The pipeline has no state, or not at that stage.
    #[error("nothing is kept there; pipeline '{pipeline}' has state at: {}", stages.join(", "))]
    Nowhere {
        /// The pipeline.
        pipeline: String,
        /// Where it has some.
        stages: Vec<String>,
    },
    /// It can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tells it line by line, as it is at one moment, until the listener has enough.
///
/// # Errors
/// Nothing is kept there, or it can't be read.
pub fn look(
    store: &dyn StateStore,
    what: &Look,
    tell: &mut dyn FnMut(String) -> bool,
) -> Result<(), LookError> {
    match what {
        Look::Places => {
            for (place, Usage { keys, bytes }) in store.places() {
                let (pipeline, stage) = (&*place.pipeline, place.stage());
                let line =
                    json!({ "pipeline": pipeline, "stage": stage, "keys": keys, "bytes": bytes });
                if !tell(line.to_string()) {
                    break;
                }
            }
        }
        Look::Keys { pipeline, stage, prefix, limit } => {
            let places = places(store, pipeline, stage.as_deref())?;
            let mut left = *limit;
            store.walk(&|place| places.iter().any(|it| **it == *place), &mut |place, key, kept| {
                if !key.starts_with(prefix) {
                    return true;
                }
                let Some(fewer) = left.checked_sub(1) else { return false };
                left = fewer;
                let bytes = kept.entry.size();
                let line = json!({
                    "stage": place.stage(), "key": key, "bytes": bytes, "touched_s": kept.touched_s
                });
                tell(line.to_string())
            })?;
        }
        Look::Key(one) => {
            for place in places(store, &one.pipeline, one.stage.as_deref())? {
                if let Some(kept) = store.load(&place, &one.key)?
                    && !tell(shown(&place, &one.key, &kept))
                {
                    break;
                }
            }
        }
        Look::Export => {
            if tell(header().to_string()) {
                let mut line =
                    |place: &Place, key: &str, kept: Kept| tell(Line::of(place, key, &kept).text());
                store.walk(&|_| true, &mut line)?;
            }
        }
    }
    Ok(())
}

/// The places of a pipeline, or that of a stage.
///
/// # Errors
/// There is none.
pub fn places(
    store: &dyn StateStore,
    pipeline: &str,
    stage: Option<&str>,
) -> Result<Vec<Arc<Place>>, LookError> {
    let all = store.places().into_iter().map(|(place, _)| Arc::new(place));
    let own: Vec<Arc<Place>> = all.filter(|place| &*place.pipeline == pipeline).collect();
    let named = own.iter().filter(|place| stage.is_none_or(|stage| place.stage() == stage));
    let found: Vec<Arc<Place>> = named.cloned().collect();
    if found.is_empty() {
        let stages = own.iter().map(|place| place.stage()).collect();
        return Err(LookError::Nowhere { pipeline: pipeline.to_owned(), stages });
    }
    Ok(found)
}

/// All that a key has at a stage, decoded where it is MessagePack.
fn shown(place: &Place, key: &str, kept: &Kept) -> String {
    let mut shown = Line::of(place, key, kept).value();
    if let Some(bytes) = &kept.entry.bytes
        && let Ok(decoded) = rmp_serde::from_slice::<Value>(bytes)
    {
        shown["decoded"] = decoded;
    }
    shown.to_string()
}

#[cfg(test)]
mod tests;
