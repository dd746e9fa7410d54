//! A store that can't be had: a host that keeps no state works without one, and says why where it is asked.

use std::sync::Arc;

use super::store::{Commit, Kept, Place, Remembered, StateStore, StoreError, Usage};

/// No store, and why.
#[derive(Clone, Debug)]
pub struct AbsentStore(pub StoreError);

impl StateStore for AbsentStore {
    fn load(&self, _: &Place, _: &str) -> Result<Option<Kept>, StoreError> {
        Err(self.0.clone())
    }

    fn commit(&self, _: &[Commit]) -> Result<(), StoreError> {
        Err(self.0.clone())
    }

    fn keys(
        &self,
        _: &Place,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<(Arc<str>, Kept)>, StoreError> {
        Err(self.0.clone())
    }

    fn walk(
        &self,
        _: &dyn Fn(&Place) -> bool,
        _: &mut dyn FnMut(&Place, &str, Kept) -> bool,
    ) -> Result<(), StoreError> {
        Err(self.0.clone())
    }

    fn due(&self, _: &Place, _: u64, _: usize) -> Result<Vec<(u64, Arc<str>)>, StoreError> {
        Err(self.0.clone())
    }

    fn remembered(&self, _: &str) -> Result<Vec<Remembered>, StoreError> {
        Err(self.0.clone())
    }

    fn places(&self) -> Vec<(Place, Usage)> {
        Vec::new()
    }

    fn usage(&self, _: &str) -> Usage {
        Usage::default()
    }

    fn check(&self) -> Result<(), StoreError> {
        Err(self.0.clone())
    }
}
