//! A map of metrics that can't grow without end, whatever names it is asked for.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// At most `max` metrics by key; keys that come later share what `overflow` names.
#[derive(Debug)]
pub(super) struct Bounded<K, M> {
    made: RwLock<BTreeMap<K, M>>,
    max: usize,
}

// === impl Bounded ===

impl<K: Ord + Clone, M: Clone> Bounded<K, M> {
    pub(super) fn new(max: usize) -> Self {
        Self { made: RwLock::default(), max }
    }

    /// The metric of that key, made at its first use.
    pub(super) fn get<Q>(
        &self,
        key: &Q,
        overflow: impl FnOnce() -> K,
        make: impl FnOnce(&K) -> M,
    ) -> M
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(metric) = self.made.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return metric.clone();
        }
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        let full = made.len() >= self.max && !made.contains_key(key);
        let key = if full { overflow() } else { key.to_owned() };
        made.entry(key).or_insert_with_key(make).clone()
    }

    /// Every key with its metric, in order.
    pub(super) fn all(&self) -> Vec<(K, M)> {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        made.iter().map(|(key, metric)| (key.clone(), metric.clone())).collect()
    }
}
